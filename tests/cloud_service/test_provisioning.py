"""`hiertk-cloud provision` and `revoke`: what they write, say, refuse, and mend after a crash."""

import json
import os
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from hiertk_cloud.commands.provision import provision, revoke
from hiertk_cloud.provisioning import mosquitto
from hiertk_cloud.provisioning.mosquitto import hash_password
from hiertk_cloud.provisioning.registry import read_registry
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError, StorageError
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_samples import make_manifest, write_bundle
from typer.testing import CliRunner

DEPLOYMENT = "0123456789abcdef"
HOST = ("--broker-host", "broker.example")

app = typer.Typer(pretty_exceptions_enable=False)
for command in (provision, revoke):
    app.command()(command)


class Operator:
    """Calls the commands on one authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "authority"
        self.broker = folder / "mosquitto"
        self.service = folder / "credentials"

    def say(self, *arguments: str) -> str:
        done = CliRunner().invoke(
            app, [*arguments, "--authority", str(self.authority)], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.output

    def __call__(self, *arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.say(*arguments, "--json"))
        return found

    def device(self, name: str) -> Path:
        return self.authority / "devices" / name

    def listed(self) -> dict[str, dict[str, str | None]]:
        found: dict[str, dict[str, str | None]] = self("provision", "--list")["devices"]  # type: ignore[assignment]
        return found

    def access(self, device: str) -> list[str]:
        blocks = (self.broker / "acl").read_text().split("\n\n")
        found = [block for block in blocks if f"user {device}" in block.splitlines()]
        return found[0].strip().splitlines()[1:] if found else []

    def serials_revoked(self) -> set[int]:
        found = x509.load_pem_x509_crl((self.broker / "crl.pem").read_bytes())
        return {one.serial_number for one in found}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def common_name(found: x509.Certificate) -> str:
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# What is made


def test_the_first_call_makes_ca_broker_service_and_device(operator: Operator) -> None:
    told = operator("provision", "pi-1", *HOST, "--deployment", DEPLOYMENT)
    ca = certificate(operator.authority / "ca.pem")
    device = certificate(operator.device("pi-1") / "device.pem")
    broker = certificate(operator.broker / "broker.pem")
    service = certificate(operator.service / "hiertk-cloud.pem")
    for issued in (device, broker):
        issued.verify_directly_issued_by(ca)
    service.verify_directly_issued_by(service)
    assert [common_name(one) for one in (device, service)] == ["pi-1", "hiertk-cloud"]
    names = broker.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example", "localhost"]
    assert isinstance(ca.public_key(), ec.EllipticCurvePublicKey)
    days_left = device.not_valid_after_utc - datetime.now(timezone.utc)
    assert timedelta(days=824) < days_left <= timedelta(days=825)
    folder = Path("/etc/hiertk/pi-1")
    assert told["options"] == [
        *("--broker", "mqtts://broker.example:8883", "--device", "pi-1"),
        *("--ca", str(folder / "ca.pem"), "--certificate", str(folder / "device.pem")),
        *("--key", str(folder / "device.key")),
    ]
    assert (told["broker_must"], told["renewed"]) == ("restart", False)


def test_what_it_made_works_as_credentials_of_both_sides(operator: Operator) -> None:
    operator("provision", "pi-1", *HOST)
    for folder, name in ((operator.device("pi-1"), "device"), (operator.service, "hiertk-cloud")):
        shown = Credentials(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
        shown.check(tls=True)


def test_secrets_are_their_owners_alone_whatever_the_umask_and_never_printed(
    operator: Operator,
) -> None:
    old = os.umask(0)
    try:
        said = operator.say("provision", "pi-1", *HOST)
        said += operator.say("provision", "pi-2", "--password")
        said += operator.say("provision", "--list") + operator.say("revoke", "pi-2")
    finally:
        os.umask(old)
    for folder in (operator.authority, operator.device("pi-1"), operator.device("pi-2")):
        assert mode(folder) == 0o700
        files = [path for path in folder.iterdir() if path.is_file() and path.name != "lock"]
        assert {mode(path) for path in files} == {0o600}
    assert mode(operator.service / "hiertk-cloud.key") == 0o600
    assert {mode(path) for path in operator.broker.iterdir()} == {0o640}
    assert mode(operator.broker) == 0o750
    secret = (operator.device("pi-2") / "password").read_text().strip()
    assert len(secret) == 32
    everything = [path for path in operator.folder.rglob("*") if path.is_file()]
    assert [path.name for path in everything if secret in path.read_text()] == ["password"]
    assert secret not in said
    assert "PRIVATE" not in said


def test_each_device_may_write_below_its_own_name_and_read_what_is_for_it(
    operator: Operator,
) -> None:
    operator("provision", "pi-1", *HOST, "--deployment", DEPLOYMENT)
    operator("provision", "pi-2")
    written = ("features", "status", "predict", "classes")
    for name, deployment in (("pi-1", DEPLOYMENT), ("pi-2", "+")):
        root = f"hiertk/v1/{deployment}"
        assert operator.access(name) == [
            *(f"topic write {root}/{name}/up/{what}" for what in written),
            *(f"topic read {root}/{name}/down/#", f"topic read {root}/down/#"),
        ]


def test_the_deployment_is_taken_from_a_bundle_and_kept_at_the_next_call(
    operator: Operator, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "bundle")
    deployment = make_manifest().deployment
    operator("provision", "pi-1", *HOST, "--bundle", str(tmp_path / "bundle"))
    operator("provision", "pi-1")
    assert operator.listed()["pi-1"]["deployment"] == deployment
    with pytest.raises(ConfigError, match="give one"):
        operator(
            "provision", "pi-1", "--bundle", str(tmp_path / "bundle"), "--deployment", DEPLOYMENT
        )


# Again


def test_the_same_command_again_renews_and_leaves_the_old_certificate_good(
    operator: Operator,
) -> None:
    operator("provision", "pi-1", *HOST)
    first = certificate(operator.device("pi-1") / "device.pem")
    broker = (operator.broker / "broker.pem").read_bytes()
    service = (operator.service / "hiertk-cloud.pem").read_bytes()
    said = operator.say("provision", "pi-1")
    second = certificate(operator.device("pi-1") / "device.pem")
    assert "certificate renewed" in said
    assert "systemctl reload mosquitto" in said
    assert first.serial_number != second.serial_number
    assert operator.serials_revoked() == set()
    assert (operator.broker / "broker.pem").read_bytes() == broker
    assert (operator.service / "hiertk-cloud.pem").read_bytes() == service


def test_a_password_stays_a_password_and_is_new_each_time(operator: Operator) -> None:
    operator("provision", "pi-1", *HOST, "--password")
    first = (operator.device("pi-1") / "password").read_text()
    operator("provision", "pi-1")
    assert (operator.device("pi-1") / "password").read_text() != first
    assert operator.listed()["pi-1"]["kind"] == "password"
    assert (operator.broker / "passwords").read_text().startswith("pi-1:$7$")


def test_changing_the_kind_ends_the_other(operator: Operator) -> None:
    operator("provision", "pi-1", *HOST)
    serial = certificate(operator.device("pi-1") / "device.pem").serial_number
    assert operator("provision", "pi-1", "--password")["broker_must"] == "restart"
    assert operator.serials_revoked() == {serial}
    operator("provision", "pi-1", "--certificate")
    assert (operator.broker / "passwords").read_text() == ""
    assert sorted(path.name for path in operator.device("pi-1").iterdir()) == [
        *("broker.toml", "ca.pem", "device.key", "device.pem")
    ]


def test_new_names_of_the_broker_give_it_a_new_certificate_with_its_old_key(
    operator: Operator,
) -> None:
    operator("provision", *HOST)
    key = (operator.broker / "broker.key").read_bytes()
    operator("provision", "--broker-host", "192.0.2.7", "--broker-host", "other.example")
    made = certificate(operator.broker / "broker.pem")
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "other.example" in names.get_values_for_type(x509.DNSName)
    assert (operator.broker / "broker.key").read_bytes() == key
    found = operator("provision", "pi-1")["options"]
    assert isinstance(found, list)
    assert found[1] == "mqtts://192.0.2.7:8883"


# Revoking


def test_a_revoked_device_keeps_no_right_and_all_its_certificates_are_refused(
    operator: Operator,
) -> None:
    operator("provision", "pi-1", *HOST)
    serials = {certificate(operator.device("pi-1") / "device.pem").serial_number}
    operator("provision", "pi-1")
    serials.add(certificate(operator.device("pi-1") / "device.pem").serial_number)
    said = operator.say("revoke", "pi-1")
    assert "pi-1 is revoked" in said
    assert operator.serials_revoked() == serials
    assert operator.access("pi-1") == []
    assert operator.listed()["pi-1"]["revoked"] is not None
    since = operator.listed()["pi-1"]["revoked"]
    operator("revoke", "pi-1")
    assert operator.listed()["pi-1"]["revoked"] == since


def test_a_revoked_device_that_comes_back_gets_in_with_its_new_certificate_only(
    operator: Operator,
) -> None:
    operator("provision", "pi-1", *HOST)
    old = certificate(operator.device("pi-1") / "device.pem").serial_number
    operator("revoke", "pi-1")
    operator("provision", "pi-1")
    assert operator.serials_revoked() == {old}
    assert operator.access("pi-1") != []
    assert operator.listed()["pi-1"]["revoked"] is None


def test_the_list_shows_every_device_and_when_the_brokers_certificate_ends(
    operator: Operator,
) -> None:
    assert "No device was provisioned" in operator.say("provision", "--list")
    operator("provision", "pi-1", *HOST, "--deployment", DEPLOYMENT)
    operator("provision", "pi-2", "--password")
    operator("revoke", "pi-2")
    ends = certificate(operator.broker / "broker.pem").not_valid_after_utc
    listed = operator("provision", "--list")
    assert listed["broker_expires"] == ends.isoformat()
    device = certificate(operator.device("pi-1") / "device.pem")
    assert operator.listed()["pi-1"] == {
        "kind": "certificate",
        "deployment": DEPLOYMENT,
        "expires": device.not_valid_after_utc.isoformat(),
        "revoked": None,
    }
    said = operator.say("provision", "--list")
    assert ends.date().isoformat() in said
    assert all(text in said for text in ("pi-1", "pi-2", DEPLOYMENT, "every", "password"))


def test_the_revocation_list_lasts_as_long_as_the_ca(operator: Operator) -> None:
    operator("provision", *HOST)
    found = x509.load_pem_x509_crl((operator.broker / "crl.pem").read_bytes())
    assert found.next_update_utc == certificate(operator.authority / "ca.pem").not_valid_after_utc


# Refusals


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("provision", "pi-1"), "--broker-host NAME"),
        (("provision", "Pi 1", *HOST), "is not usable"),
        (("provision", "down", *HOST), "is not usable"),
        (("provision", "a/../b", *HOST), "is not usable"),
        (("provision", "hiertk-cloud", *HOST), "name of the service or the broker"),
        (("provision", "hiertk-cloud-1", *HOST), "name of the service or the broker"),
        (("provision", "gate", "--broker-host", "Gate"), "name of the service or the broker"),
        (("provision", "pi-1", "--broker-host", "two words"), "want a host name"),
        (("provision", "pi-1", "--broker-host", "host:8883"), "want a host name"),
        (("provision", "pi-1", *HOST, "--deployment", "+"), "want the 16 hex digits"),
        (("provision", "pi-1", *HOST, "--deployment", f"{DEPLOYMENT}\n"), "16 hex digits"),
        (("revoke", "pi-1"), "nothing was provisioned there"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(
    operator: Operator, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        operator(*arguments)
    assert "\n" not in str(caught.value)
    assert operator.listed() == {}


def test_revoking_a_device_that_was_never_provisioned_is_refused(operator: Operator) -> None:
    operator("provision", *HOST)
    with pytest.raises(ConfigError, match="no device 'pi-1'"):
        operator("revoke", "pi-1")


def test_a_folder_with_other_files_is_not_replaced(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"):
        operator("provision", "pi-1", *HOST, "--out", str(tmp_path / "home"))
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_folders_that_others_may_read_are_not_used(operator: Operator) -> None:
    operator.authority.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        operator("provision", *HOST)
    operator.authority.chmod(0o700)
    operator.broker.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="open to everybody"):
        operator("provision", *HOST)


# Crashes and damage


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writes", range(7))
def test_killed_at_any_write_a_revocation_never_was_or_is_whole_after_the_next_call(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    operator("provision", "pi-1", *HOST)
    serial = certificate(operator.device("pi-1") / "device.pem").serial_number
    left = iter(range(writes))
    replace = Path.replace

    def replace_or_die(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_or_die)
        with pytest.raises(Killed):
            operator("revoke", "pi-1")
    assert [path for path in operator.folder.rglob("*.tmp") if path.is_file()] == []
    operator("provision")
    is_revoked = writes > 0  # the registry is written first
    assert operator.serials_revoked() == ({serial} if is_revoked else set())
    assert (operator.access("pi-1") == []) == is_revoked


def test_a_registry_that_is_damaged_or_without_its_ca_changes_nothing(operator: Operator) -> None:
    operator("provision", "pi-1", *HOST)
    before = (operator.broker / "acl").read_bytes()
    registry = operator.authority / "registry.json"
    good = registry.read_bytes()
    for bad in (b"", b"[]", good.replace(b'"version": 1', b'"version": 2'), b"\xff" * 9):
        registry.write_bytes(bad)
        with pytest.raises(StorageError, match="bring it back from a backup"):
            operator("revoke", "pi-1")
    registry.write_bytes(good)
    (operator.authority / "ca.pem").unlink()
    with pytest.raises(StorageError, match=r"ca\.pem is missing"):
        operator("revoke", "pi-1")
    assert (operator.broker / "acl").read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"nonsense"),
        lambda path: path.write_bytes(b""),
        lambda path: path.with_name("ca.key").write_bytes(path.read_bytes()),
    ],
)
def test_a_damaged_ca_is_told_in_one_line(
    operator: Operator, spoil: Callable[[Path], object]
) -> None:
    operator("provision", *HOST)
    spoil(operator.authority / "ca.pem")
    with pytest.raises(StorageError, match="bring it back from a backup"):
        operator("provision", "pi-1")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_registry_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "registry.json"
    path.write_bytes(data)
    with pytest.raises(StorageError):
        read_registry(path)


# Pure parts


def test_a_password_is_stored_in_mosquittos_form_with_a_salt_of_its_own() -> None:
    assert hash_password("secret") != hash_password("secret")
    made = hash_password("secret", b"\x00" * 12)
    kind, iterations, salt, digest = made.split("$")[1:]
    assert (kind, int(iterations), salt) == ("7", 1000, "AAAAAAAAAAAAAAAA")
    assert len(digest) == 88


def test_the_password_listener_is_there_only_where_it_is_used(tmp_path: Path) -> None:
    for used in (False, True):
        text = mosquitto.settings(tmp_path, 8883, with_passwords=used)
        assert ("password_file" in text) == used
        listeners = [line for line in text.splitlines() if line.startswith("listener ")]
        assert len(listeners) == 2 + used
        assert text.count("allow_anonymous false") == len(listeners)
        assert text.count("tls_version tlsv1.2") == len(listeners)
        assert "allow_anonymous true" not in text


def test_the_keys_that_were_made_are_unencrypted_p256(operator: Operator) -> None:
    operator("provision", "pi-1", *HOST)
    for path in (operator.device("pi-1") / "device.key", operator.authority / "ca.key"):
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
