"""Credentials: what cannot be used is said at once; what the broker refuses, with its reason."""

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hiertk_cloud.provisioning import broker_files
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.mqtt import Handlers, MqttLink, Will, parse_broker
from mqtt_client import PATIENCE_S, wait_until
from secured_broker import SecuredBroker, open_folder, why_refused

SECRET = "correct horse"


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBroker]:
    with open_folder() as folder, SecuredBroker(folder) as running:
        yield running


@pytest.fixture
def good(secured: SecuredBroker, tmp_path: Path) -> Credentials:
    """A certificate of the running broker's CA, in files of this test's own."""
    return secured.provision("pi-1", out=tmp_path / "pi-1")


def link_to(url: str, credentials: Credentials) -> tuple[MqttLink, "queue.Queue[str]"]:
    told: queue.Queue[str] = queue.Queue()
    link = MqttLink(
        parse_broker(url),
        client_id="owner",
        subscriptions=("unused",),
        will=Will("unused", b"unused"),
        handlers=Handlers(lambda _incoming: None, lambda: told.put("up"), told.put),
        max_message_bytes=1000,
        credentials=credentials,
    )
    return link, told


# Before anything is connected


def test_good_files_are_taken(good: Credentials) -> None:
    good.check(tls=True)
    Credentials(ca=good.ca).check(tls=True)
    Credentials().check(tls=False)


def test_a_password_is_not_shown() -> None:
    assert SECRET not in repr(Credentials(username="pi-1", password=SECRET))


@pytest.mark.parametrize(
    "credentials",
    [Credentials(ca=Path("ca.pem")), Credentials(username="pi-1", password=SECRET)],
)
def test_nothing_of_it_goes_over_a_connection_without_tls(credentials: Credentials) -> None:
    with pytest.raises(ConfigError, match=r"need TLS: write the broker as mqtts://") as caught:
        link_to("mqtt://localhost", credentials)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "missing"),
    [
        (Credentials(certificate=Path("device.pem")), "a certificate needs its key"),
        (Credentials(key=Path("device.key")), "a certificate needs its key"),
        (Credentials(username="pi-1"), "a user name needs its password"),
        (Credentials(password=SECRET), "a user name needs its password"),
    ],
)
def test_halves_are_refused(credentials: Credentials, missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        credentials.check(tls=True)


def lock(path: Path) -> None:
    key = load_pem_private_key(path.read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


def fill(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n" * (1 << 20))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "no such file"),
        (become_a_folder, "no such file"),
        (lambda path: path.write_bytes(b"\x00" * 100), "not a PEM file"),
        (fill, "not a PEM file"),
        (cut_short, "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    good: Credentials, name: str, spoil: Callable[[Path], None], reason: str
) -> None:
    path: Path = getattr(good, name)
    spoil(path)
    with pytest.raises(ConfigError, match=reason) as caught:
        link_to("mqtts://localhost", good)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_of_another_certificate_or_with_a_passphrase_is_refused(
    good: Credentials, secured: SecuredBroker
) -> None:
    assert good.key is not None
    mixed = Credentials(good.ca, good.certificate, secured.service.key)
    with pytest.raises(ConfigError, match="not of one pair"):
        mixed.check(tls=True)
    lock(good.key)
    with pytest.raises(ConfigError, match="passphrase"):
        good.check(tls=True)


# What the broker says


def test_an_expired_certificate_is_named(secured: SecuredBroker, tmp_path: Path) -> None:
    expired = secured.provision("late", days=0, out=tmp_path / "late")
    assert f"certificate {expired.certificate} has expired" in why_refused(secured.url, expired)


def test_a_broker_whose_certificate_is_for_another_name_is_not_trusted(
    secured: SecuredBroker, good: Credentials
) -> None:
    elsewhere = f"mqtts://127.0.0.2:{secured.port}"
    assert "its certificate is not for 127.0.0.2" in why_refused(elsewhere, good)


def test_a_broker_whose_certificate_has_expired_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_files, "_BROKER_DAYS", 0)
    with open_folder() as folder, SecuredBroker(folder) as stale:
        assert "its certificate has expired" in why_refused(stale.url, stale.provision("pi-1"))


def test_without_a_ca_the_systems_own_list_is_asked(secured: SecuredBroker) -> None:
    assert "not of a CA that this system knows" in why_refused(secured.url, Credentials())


def test_renewed_files_are_taken_at_the_next_connection_without_a_restart(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    out = tmp_path / "renewed"
    credentials = secured.provision("renewed", days=0, out=out)
    link, told = link_to(secured.url, credentials)
    link.start()
    try:
        assert "has expired" in told.get(timeout=PATIENCE_S)
        cut_short(out / "device.pem")
        assert "damaged" in told.get(timeout=PATIENCE_S)
        secured.provision("renewed", out=out)
        assert told.get(timeout=PATIENCE_S) == "up"
        wait_until(lambda: link.is_up)
    finally:
        link.stop()
