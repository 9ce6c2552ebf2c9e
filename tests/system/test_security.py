"""Attacks on a real Mosquitto that runs with exactly the files of `hiertk-cloud provision`."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge_configs import edge_config
from edge_parts import make_batch, make_manifest, write_bundle, write_images
from hiertk_edge.device import run_device
from hiertk_edge.watch import Outcome, Watch
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.topics import Topics
from mqtt_client import PATIENCE_S, PlainClient, wait_until
from numpy_learner import open_numpy_learner
from secured_broker import SecuredBroker, TlsClient, open_folder, why_refused

MANIFEST = make_manifest()
TOPICS = Topics(MANIFEST.deployment)
OTHER_TOPICS = Topics("0123456789abcdef")
EVERYTHING_UP = "hiertk/v1/+/+/up/#"
REFUSED = "Not authorized"
TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Parties:
    """A broker with two honest names: pi-1 has a certificate, pi-2 a password."""

    broker: SecuredBroker
    pi_1: Credentials
    pi_2: Credentials

    def as_service(self, *topics: str) -> TlsClient:
        return TlsClient(self.broker.service_url, self.broker.service, *topics)

    def as_pi_1(self, *topics: str) -> TlsClient:
        return TlsClient(self.broker.url, self.pi_1, *topics)

    def as_pi_2(self, *topics: str) -> TlsClient:
        return TlsClient(self.broker.password_url, self.pi_2, *topics)


@pytest.fixture(scope="module")
def parties() -> Iterator[Parties]:
    with open_folder() as folder:
        broker = SecuredBroker(folder)
        pi_1 = broker.provision("pi-1", deployment=MANIFEST.deployment)
        pi_2 = broker.provision("pi-2", kind="password")
        with broker:
            yield Parties(broker, pi_1, pi_2)


def publish_fairly(client: TlsClient, device: str, payload: bytes) -> None:
    assert client.try_to_publish(TOPICS.features(device), payload) == "Success"


# A provisioned device that misbehaves


@pytest.mark.parametrize(
    "topic",
    [
        TOPICS.features("pi-2"),
        TOPICS.status("pi-2"),
        TOPICS.features("hiertk-cloud"),
        TOPICS.ack("pi-1"),
        TOPICS.ack("pi-2"),
        TOPICS.class_map,
        TOPICS.model,
        OTHER_TOPICS.features("pi-1"),
        f"{TOPICS.root}/pi-1/up/made-up",
        f"{TOPICS.root}/pi-1/up",
        "anything/else",
        "$SYS/broker/clients/total",
    ],
)
def test_what_a_device_forges_reaches_nobody(parties: Parties, topic: str) -> None:
    everybody = (EVERYTHING_UP, "hiertk/v1/#", "anything/#")
    with (
        parties.as_service(*everybody) as service,
        parties.as_pi_2(TOPICS.ack("pi-2"), TOPICS.class_map, TOPICS.model) as victim,
        parties.as_pi_1() as forger,
    ):
        assert forger.try_to_publish(topic, b"forged", retain=True) == REFUSED
        publish_fairly(forger, "pi-1", b"own")
        assert service.receive().payload == b"own"
        service.publish(TOPICS.ack("pi-2"), b"real")
        assert victim.receive().payload == b"real"


def test_a_device_reads_nothing_that_is_for_the_service_or_for_others(parties: Parties) -> None:
    wanted = ("#", EVERYTHING_UP, TOPICS.ack("pi-2"), TOPICS.features("pi-2"), "$SYS/#")
    with (
        parties.as_pi_1(*wanted, f"$share/group/{EVERYTHING_UP}") as spy,
        parties.as_pi_2() as other,
        parties.as_service(EVERYTHING_UP) as service,
    ):
        publish_fairly(other, "pi-2", b"features")
        assert service.receive().payload == b"features"
        service.publish(TOPICS.ack("pi-2"), b"ack")
        service.publish(TOPICS.ack("pi-1"), b"its own")
        assert (spy.receive().topic, spy.received_nothing()) == (TOPICS.ack("pi-1"), True)


def test_a_device_reads_what_is_for_it_and_for_all(parties: Parties) -> None:
    topics = (TOPICS.ack("pi-1"), TOPICS.model, TOPICS.class_map)
    with parties.as_pi_1(*topics) as device, parties.as_service() as service:
        for topic in topics:
            service.publish(topic, b"news")
            assert device.receive().topic == topic


def test_a_last_will_on_another_devices_topic_is_not_published(parties: Parties) -> None:
    with parties.as_service(EVERYTHING_UP) as service:
        forger = TlsClient(
            parties.broker.url, parties.pi_1, will=(TOPICS.status("pi-2"), b"offline")
        )
        with forger:
            sock = forger.paho.socket()
            assert sock is not None
            sock.close()
        with parties.as_pi_1() as fair:
            publish_fairly(fair, "pi-1", b"own")
        assert service.receive().payload == b"own"


def test_a_client_identifier_of_the_service_or_another_device_ends_nobodys_connection(
    parties: Parties,
) -> None:
    service_id = f"hiertk-cloud-{MANIFEST.deployment}"
    with (
        TlsClient(
            parties.broker.service_url,
            parties.broker.service,
            EVERYTHING_UP,
            client_id=service_id,
        ) as service,
        parties.as_pi_2() as other,
    ):
        for stolen in (service_id, "pi-2"):
            with TlsClient(parties.broker.url, parties.pi_1, client_id=stolen) as thief:
                publish_fairly(thief, "pi-1", b"thief")
                assert service.receive().payload == b"thief"
        publish_fairly(other, "pi-2", b"still here")
        assert service.receive().payload == b"still here"


# Who is not let in at all


def test_without_a_certificate_or_password_nobody_is_let_in(parties: Parties) -> None:
    nothing = Credentials(ca=parties.pi_1.ca)
    broker = parties.broker
    assert "it wants a certificate" in why_refused(broker.url, nothing)
    assert "it wants a certificate" in why_refused(broker.service_url, nothing)
    assert REFUSED in why_refused(broker.password_url, nothing)


def test_a_wrong_password_and_the_services_name_are_refused(parties: Parties) -> None:
    for name in ("pi-2", "pi-1", "hiertk-cloud"):
        guess = Credentials(ca=parties.pi_2.ca, username=name, password="guess")
        assert f"{REFUSED}: check the user name" in why_refused(parties.broker.password_url, guess)


def test_a_certificate_of_another_ca_is_refused_even_with_the_services_name(
    parties: Parties, tmp_path: Path
) -> None:
    stranger = SecuredBroker(tmp_path)
    device = stranger.provision("pi-1")
    for foreign in (device, stranger.service):
        forged = Credentials(parties.pi_1.ca, foreign.certificate, foreign.key)
        for url in (parties.broker.url, parties.broker.service_url):
            assert f"does not trust certificate {foreign.certificate}" in why_refused(url, forged)


def test_a_device_is_not_let_in_where_the_service_is(parties: Parties) -> None:
    url = parties.broker.service_url
    assert "does not trust certificate" in why_refused(url, parties.pi_1)


def test_a_broker_that_is_not_of_our_ca_learns_nothing(parties: Parties, tmp_path: Path) -> None:
    stranger = SecuredBroker(tmp_path)
    other_ca = Credentials(
        stranger.provision("pi-1").ca, parties.pi_1.certificate, parties.pi_1.key
    )
    reason = why_refused(parties.broker.url, other_ca)
    assert f"is not trusted: its certificate is not of the CA in {other_ca.ca}" in reason


# Revoked


def test_a_revoked_certificate_is_refused_and_its_connection_carries_nothing_more(
    parties: Parties,
) -> None:
    lost = parties.broker.provision("lost-1")
    parties.broker.reload()
    with parties.as_service(EVERYTHING_UP) as service:
        wait_until(lambda: can_publish(parties.broker.url, lost, "lost-1"))
        while service.receive().payload != b"can publish":
            pass
        with TlsClient(parties.broker.url, lost, TOPICS.model) as live:
            parties.broker.revoke("lost-1")
            parties.broker.reload()
            topic = TOPICS.features("lost-1")
            wait_until(lambda: live.try_to_publish(topic, b"after") == REFUSED)
            service.publish(TOPICS.model, b"not for the lost")
            assert "is revoked" in why_refused(parties.broker.url, lost)
            assert live.received_nothing()
        again = parties.broker.provision("lost-1")
        parties.broker.reload()
        wait_until(lambda: can_publish(parties.broker.url, again, "lost-1"))


def test_a_revoked_password_ends_the_connection_and_is_refused(parties: Parties) -> None:
    lost = parties.broker.provision("lost-2", kind="password")
    parties.broker.reload()
    url = parties.broker.password_url
    wait_until(lambda: why_refused(url, lost) == "it is up")
    with TlsClient(url, lost) as live:
        parties.broker.revoke("lost-2")
        parties.broker.reload()
        wait_until(lambda: not live.paho.is_connected())
    assert REFUSED in why_refused(url, lost)


def can_publish(url: str, credentials: Credentials, device: str) -> bool:
    if why_refused(url, credentials) != "it is up":
        return False
    with TlsClient(url, credentials) as client:
        return client.try_to_publish(TOPICS.features(device), b"can publish") == "Success"


# Both sides together


@contextmanager
def running_service(parties: Parties, folder: Path) -> Iterator[Path]:
    """Run the service; yield its output."""
    output = folder / "service.log"
    credentials = parties.broker.folder / "credentials"
    with output.open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, TESTS / "system/serve_secured.py"),
                *(parties.broker.service_url, folder / "state", credentials),
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
    try:
        yield output
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()


def train(parties: Parties, folder: Path, device: str, url: str, shown: Credentials) -> Outcome:
    config = edge_config(
        folder / "bundle",
        folder / device,
        device=device,
        data=f"folder:{folder / 'images'}",
        training={"epochs": 2, "drain_timeout_s": PATIENCE_S},
        broker={"url": url} | shown_by(shown, folder / f"{device}.password"),
    )
    return run_device(config, Watch(), open_engine=open_numpy_learner)


def shown_by(credentials: Credentials, password_file: Path) -> dict[str, object]:
    """Return the credentials as a configuration names them."""
    values = {name: getattr(credentials, name) for name in ("ca", "certificate", "key", "username")}
    if credentials.password is not None:
        password_file.write_text(credentials.password)
        password_file.chmod(0o600)
        values["password_file"] = password_file
    return values


def test_devices_train_over_tls_and_a_replay_under_another_name_trains_nothing(
    parties: Parties, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle")
    write_images(tmp_path / "images", 4)
    with running_service(parties, tmp_path) as output:
        with parties.as_service(TOPICS.features("pi-1")) as tap:
            by_certificate = train(parties, tmp_path, "pi-1", parties.broker.url, parties.pi_1)
            captured = bytes(tap.receive().payload)
        with parties.as_pi_2() as replayer:
            publish_fairly(replayer, "pi-2", captured)
        wait_until(lambda: "pi-2 sends in the name of pi-1" in output.read_text())
        url = parties.broker.password_url
        by_password = train(parties, tmp_path, "pi-2", url, parties.pi_2)
    assert by_certificate.finished
    assert by_password.finished
    with closing(sqlite3.connect(tmp_path / "state" / "log.sqlite")) as log:
        counted = log.execute("SELECT device, count(*) FROM batches GROUP BY device").fetchall()
    assert dict(counted) == {"pi-1": 6, "pi-2": 6}


def test_a_message_that_is_no_secret_does_not_leave_the_device_unencrypted(
    parties: Parties,
) -> None:
    """A client that speaks plain MQTT to the TLS ports gets no answer at all."""
    payload = make_batch().SerializeToString()
    plain = PlainClient(parties.broker.url.replace("mqtts", "mqtt"))
    plain.paho.connect("127.0.0.1", parties.broker.port)
    plain.paho.publish(TOPICS.features("pi-1"), payload)
    codes = [plain.paho.loop() for _ in range(3)]
    assert codes[-1] != 0
    assert not plain.paho.is_connected()
