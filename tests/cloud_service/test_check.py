"""`hiertk-cloud check`: everything that is wrong at once, and what to do about it."""

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from edge_parts import make_manifest, write_bundle
from hiertk.brokers import Broker
from hiertk_cloud.commands.check import check
from hiertk_protocol.bundle import MANIFEST, SIGNATURE
from hiertk_protocol.signature import sign_manifest
from typer.testing import CliRunner

DAY = timedelta(days=1)
NOBODY = "mqtt://127.0.0.1:1"


class Setting:
    """A configuration in a folder, to be made wrong."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder = folder
        self.file = folder / "cloud.toml"
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        self.values: dict[str, Any] = {"bundle": bundle, "state": folder / "state"}
        self.broker: dict[str, Any] = {"url": NOBODY}
        self.more = ""

    def secret(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        path = self.credentials / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def run(self, *arguments: str) -> tuple[int, str]:
        tables = [lines(self.values), "[broker]", lines(self.broker), self.more]
        self.file.write_text("\n".join(tables))
        alone = typer.Typer()
        alone.command()(check)
        command = ["--config", str(self.file), *arguments]
        result = CliRunner().invoke(alone, command, catch_exceptions=False)
        return result.exit_code, result.output

    def check(self, *arguments: str) -> dict[str, str]:
        """Return what was found, by what was looked at; wrong ones begin with `WRONG`."""
        code, output = self.run("--json", *arguments)
        found = json.loads(output)
        assert code == (0 if all(one["ok"] for one in found) else 3)
        return {one["what"]: ("" if one["ok"] else "WRONG ") + one["text"] for one in found}


def lines(values: dict[str, Any]) -> str:
    return "\n".join(f'{key} = "{value}"' for key, value in values.items())


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return Setting(tmp_path, write_bundle(tmp_path / "bundle"))


def pair(
    since: timedelta = -DAY, until: timedelta = 100 * DAY
) -> tuple[bytes, bytes, ec.EllipticCurvePrivateKey]:
    """Make a certificate that signs itself, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hiertk-cloud")])
    now = datetime.now(timezone.utc)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now + since, now + until
    ).sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), pem(key), key


def pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def test_all_that_works_is_said_to_work(setting: Setting, mosquitto: Broker) -> None:
    setting.broker["url"] = mosquitto.url
    setting.more = "[api]\ntoken_file = 'api-token'"
    setting.secret("api-token", b"a-token-of-some-length\n")
    found = setting.check()
    assert list(found) == [
        "configuration", "bundle", "state folder", "free disk", "API token", "broker",
    ]  # fmt: skip
    assert not any(text.startswith("WRONG") for text in found.values())
    assert "takes the connection" in found["broker"]
    assert not (setting.folder / "state").exists()
    code, table = setting.run()
    assert code == 0
    assert "WRONG" not in table


def test_one_wrong_thing_hides_no_other(setting: Setting) -> None:
    setting.values["bundle"] = setting.folder / "none"
    setting.values["state"] = setting.file / "state"
    setting.broker |= {"certificate": "c.pem", "key": "c.key", "url": "mqtts://127.0.0.1:1"}
    setting.broker["ca"] = "ca.pem"
    setting.secret("c.key", b"no key")
    setting.more = "[log]\nreserve_mib = 1000000000\n[trainer]\nreplay = 65"
    found = setting.check("--offline")
    assert {what for what, text in found.items() if text.startswith("WRONG")} == set(found)
    assert "trainer.replay: should be less" in found["configuration"]
    assert "neither a bundle folder" in found["bundle"]
    assert "No such file" in found["certificate"]
    assert "No such file" in found["broker CA"]
    assert "make room" in found["free disk"]
    assert "WRONG" in setting.run("--offline")[1]


def test_every_problem_of_the_file_is_a_line(setting: Setting) -> None:
    setting.more = "[trainer]\nreplay = 65\n[api]\ntoken = 'x'\n"
    _, output = setting.run("--json", "--offline")
    assert [one["what"] for one in json.loads(output)].count("configuration") == 2


def test_a_file_that_is_missing_is_the_only_line(setting: Setting) -> None:
    alone = typer.Typer()
    alone.command()(check)
    result = CliRunner().invoke(alone, ["--config", str(setting.folder / "none"), "--json"])
    assert result.exit_code == 3
    (one,) = json.loads(result.output)
    assert "No such file" in one["text"]


def test_a_broker_that_is_not_there_is_said_in_seconds(setting: Setting) -> None:
    assert "cannot be reached" in setting.check()["broker"]
    assert "broker" not in setting.check("--offline")


def test_a_certificate_fits_its_key_and_is_in_date(setting: Setting) -> None:
    certificate, key, private = pair()
    _, other_key, _ = pair()
    setting.broker |= {"certificate": "c.pem", "key": "c.key", "url": "mqtts://127.0.0.1:1"}
    setting.secret("c.pem", certificate)
    for data, mode, told in (
        (key, 0o600, "valid until "),
        (other_key, 0o600, "WRONG .* is not the key of "),
        (key, 0o644, r"WRONG .*others can read it \(mode 644\)"),
        (pem(private, b"pass"), 0o600, "WRONG .*is encrypted"),
        (b"no key", 0o600, "WRONG .*no private key in PEM"),
    ):
        setting.secret("c.key", data, mode)
        assert_says(setting.check("--offline")["certificate"], told)


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        (-2 * DAY, -DAY, "WRONG .* has expired on "),
        (DAY, 2 * DAY, "WRONG .* is valid only from .*clock"),
        (-DAY, 3 * DAY, "2 days"),
    ],
)
def test_a_ca_is_in_date(setting: Setting, since: timedelta, until: timedelta, told: str) -> None:
    setting.broker |= {"ca": "ca.pem", "url": "mqtts://127.0.0.1:1"}
    setting.secret("ca.pem", pair(since, until)[0])
    assert_says(setting.check("--offline")["broker CA"], told)


def test_a_password_lies_where_only_its_owner_reads_it(setting: Setting) -> None:
    setting.broker |= {"url": "mqtts://127.0.0.1:1", "username": "me", "password_file": "pw"}
    setting.secret("pw", b"hunter2", 0o644)
    assert_says(setting.check("--offline")["broker password"], "WRONG .*others can read it")
    setting.secret("pw", b"hunter2")
    found = setting.check("--offline")
    assert not found["broker password"].startswith("WRONG")
    assert "hunter2" not in str(found)


def test_a_token_that_can_be_guessed_is_not_taken(setting: Setting) -> None:
    setting.more = "[api]\ntoken_file = 'api-token'"
    for token in (b"short", b"with spaces in between it"):
        setting.secret("api-token", token)
        assert_says(setting.check("--offline")["API token"], "WRONG .*openssl rand")


def test_the_bundle_is_signed_by_the_key_that_is_named(setting: Setting) -> None:
    setting.more = "[signing]\npublic_key = 'bundle.pub'"
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    setting.secret("bundle.pub", key.public_key().public_bytes(*form), 0o644)
    assert_says(setting.check("--offline")["bundle"], "WRONG .*is not signed")
    for signer, told in ((other, "WRONG .*not trusted"), (key, "^deployment .* signed by ")):
        manifest = (setting.values["bundle"] / MANIFEST).read_bytes()
        (setting.values["bundle"] / SIGNATURE).write_bytes(sign_manifest(manifest, signer))
        assert_says(setting.check("--offline")["bundle"], told)
    setting.secret("bundle.pub", b"")
    assert_says(setting.check("--offline")["bundle"], "WRONG public key .*not a PEM")


def test_a_network_of_ones_own_must_be_named(setting: Setting) -> None:
    manifest = make_manifest()
    own = manifest.model.model_copy(update={"name": "mine:network"})
    data = manifest.model_copy(update={"model": own}).to_json()
    (setting.values["bundle"] / MANIFEST).write_bytes(data)
    assert_says(setting.check("--offline")["bundle"], "WRONG .*set factory to that")
    setting.values["factory"] = "mine:network"
    assert_says(setting.check("--offline")["bundle"], "^deployment .* mine:network at ")


def assert_says(text: str, pattern: str) -> None:
    assert re.search(pattern, text), text
