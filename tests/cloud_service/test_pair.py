"""`hiertk-cloud pair`: what a phone reads from the code, who else may, and what is refused."""

import base64
import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hiertk_cloud.commands.pair import pair
from hiertk_cloud.commands.provision import provision, revoke
from hiertk_cloud.provisioning.mosquitto import hash_password
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.pairing import Pairing, parse_pairing
from hiertk_protocol.topics import Topics
from protocol_samples import make_manifest, write_bundle
from secured_broker import SecuredBroker, TlsClient, open_folder, why_refused
from typer.testing import CliRunner

DEPLOYMENT = "0123456789abcdef"
FOR_ONE = ("--deployment", DEPLOYMENT)
HALVES = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}

app = typer.Typer(pretty_exceptions_enable=False)
for command in (pair, provision, revoke):
    app.command()(command)

Say = Callable[..., str]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return tmp_path / "authority"


@pytest.fixture
def say(authority: Path) -> Say:
    """Calls a command on an authority whose broker is known."""

    def call(*arguments: str | Path) -> str:
        words = [*map(str, arguments), "--authority", str(authority)]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    call("provision", "--broker-host", "broker.example")
    return call


def scanned(image: np.ndarray) -> str:
    """Read a QR code as a camera program does."""
    # Not QRCodeDetector: of a hundred codes of this size it misses ten, whatever their scale.
    text, *_ = cv2.QRCodeDetectorAruco().detectAndDecode(image)
    return text


def paired(say: Say, folder: Path, *arguments: str) -> Pairing:
    say("pair", "phone-1", *arguments, "--out", folder / "code.txt")
    return parse_pairing((folder / "code.txt").read_text())


def hash_of(authority: Path, device: str) -> str:
    found: str = json.loads((authority / "registry.json").read_text())["devices"][device][
        "password"
    ]
    return found


def is_password(password: str, stored: str) -> bool:
    """Whether Mosquitto takes a password."""
    return hash_password(password, base64.b64decode(stored.split("$")[3])) == stored


# What the code says


def test_the_code_tells_a_phone_all_that_it_needs(
    say: Say, authority: Path, tmp_path: Path
) -> None:
    found = paired(say, tmp_path, *FOR_ONE)
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    assert (found.host, found.port) == ("broker.example", 8884)
    assert (found.device, found.deployment) == ("phone-1", DEPLOYMENT)
    assert found.ca_der == ca.public_bytes(Encoding.DER)
    assert is_password(found.password, hash_of(authority, "phone-1"))


def test_the_image_is_read_by_a_camera_program(say: Say, authority: Path, tmp_path: Path) -> None:
    path = tmp_path / "code.png"
    say("pair", "phone-1", *FOR_ONE, "--out", path)
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    found = parse_pairing(scanned(image))
    assert is_password(found.password, hash_of(authority, "phone-1"))


def test_the_drawing_is_one_of_svg(say: Say, tmp_path: Path) -> None:
    say("pair", "phone-1", *FOR_ONE, "--out", tmp_path / "code.svg")
    text = (tmp_path / "code.svg").read_text()
    assert text.startswith("<?xml")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_terminal_shows_a_code_that_a_camera_program_reads(say: Say, authority: Path) -> None:
    shown = on_a_terminal(authority, columns=100)
    lines = re.findall(r"\x1b\[38;5;231;48;5;16m([^\x1b]*)\x1b\[0m", shown)
    light = [[HALVES[character][half] for character in line] for line in lines for half in (0, 1)]
    modules = np.kron(np.array(light, np.uint8) * 255, np.ones((6, 6), np.uint8))
    found = parse_pairing(scanned(np.pad(modules, 12, constant_values=255)))
    assert is_password(found.password, hash_of(authority, "phone-1"))
    assert found.password not in shown


def test_a_terminal_that_is_too_narrow_is_told_so_before_anything_changes(
    say: Say, authority: Path
) -> None:
    before = (authority / "registry.json").read_bytes()
    assert "take a smaller font, or --out code.png" in on_a_terminal(authority, columns=80)
    assert (authority / "registry.json").read_bytes() == before


def on_a_terminal(authority: Path, *, columns: int) -> str:
    """Pair a phone on a terminal, and return all that this shows."""
    ours, theirs = pty.openpty()
    words = ["pair", "phone-1", *FOR_ONE, "--authority", str(authority)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hiertk_cloud", *words],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": str(columns), "PYTHONUTF8": "1"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that the other side was closed
        process.wait(timeout=30)
    os.close(ours)
    return shown.decode()


def test_the_deployment_is_the_bundles_and_kept_at_the_next_call(say: Say, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    deployment = make_manifest().deployment
    assert paired(say, tmp_path, "--bundle", str(tmp_path / "bundle")).deployment == deployment
    assert paired(say, tmp_path).deployment == deployment


# The secret


def test_only_its_file_holds_the_password_and_only_its_owner_may_read_it(
    say: Say, tmp_path: Path
) -> None:
    old = os.umask(0)
    try:
        said = say("pair", "phone-1", *FOR_ONE, "--out", tmp_path / "code.txt")
        said += say("pair", "phone-1", "--out", tmp_path / "code.txt", "--json")
    finally:
        os.umask(old)
    secret = parse_pairing((tmp_path / "code.txt").read_text()).password
    assert len(secret) == 32
    assert secret not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if secret in path.read_text()] == ["code.txt"]
    assert stat.S_IMODE((tmp_path / "code.txt").stat().st_mode) == 0o600


def test_the_same_command_again_ends_the_password_before(
    say: Say, authority: Path, tmp_path: Path
) -> None:
    first = paired(say, tmp_path, *FOR_ONE)
    said = say("pair", "phone-1", "--out", tmp_path / "code.txt")
    assert "What it had before ends" in said
    assert not is_password(first.password, hash_of(authority, "phone-1"))
    second = parse_pairing((tmp_path / "code.txt").read_text())
    assert is_password(second.password, hash_of(authority, "phone-1"))


def test_a_phone_is_let_in_with_what_its_code_says_until_it_is_revoked() -> None:
    with open_folder() as folder:
        broker = SecuredBroker(folder)
        runner = CliRunner()
        words = ["--authority", str(folder / "authority")]
        code = folder / "code.txt"
        runner.invoke(
            app, ["pair", "phone-1", *FOR_ONE, "--out", str(code), *words], catch_exceptions=False
        )
        found = parse_pairing(code.read_text())
        ca = folder / "phone-ca.pem"
        certificate = x509.load_der_x509_certificate(found.ca_der)
        ca.write_bytes(certificate.public_bytes(Encoding.PEM))
        phone = Credentials(ca=ca, username=found.device, password=found.password)
        features = Topics(found.deployment).features(found.device)
        with broker:
            with (
                TlsClient(broker.service_url, broker.service, features) as service,
                TlsClient(found.broker, phone) as client,
            ):
                assert client.try_to_publish(features, b"features") == "Success"
                assert service.receive().payload == b"features"
            runner.invoke(app, ["revoke", "phone-1", *words], catch_exceptions=False)
            broker.reload()
            assert "ot authorized" in why_refused(found.broker, phone)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("phone-1", *FOR_ONE), "on a terminal only"),
        (("phone-1", *FOR_ONE, "--json"), "add --out FILE"),
        (("phone-1", *FOR_ONE, "--out", "code.jpg"), "end with .png"),
        (("phone-1", "--out", "code.txt"), "which deployment the phone is for"),
        (("phone-1", "--deployment", "+", "--out", "code.txt"), "16 hex digits"),
        (("Phone", *FOR_ONE, "--out", "code.txt"), "not usable"),
        (("hiertk-cloud", *FOR_ONE, "--out", "code.txt"), "name of the service"),
        (("pi-1", *FOR_ONE, "--out", "code.txt"), "choose another name"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_and_changes_nothing(
    say: Say,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    say("provision", "pi-1")
    before = (tmp_path / "authority" / "registry.json").read_bytes()
    with pytest.raises(ConfigError, match=reason) as caught:
        say("pair", *arguments)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "authority" / "registry.json").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("code")]


def test_an_address_of_this_link_alone_is_refused(say: Say, tmp_path: Path) -> None:
    say("provision", "--broker-host", "fe80::1%eth0")
    with pytest.raises(ConfigError, match="another --broker-host"):
        say("pair", "phone-1", *FOR_ONE, "--out", tmp_path / "code.txt")


def test_without_a_broker_there_is_nothing_to_tell(tmp_path: Path) -> None:
    words = ["pair", "phone-1", *FOR_ONE, "--out", str(tmp_path / "code.txt")]
    with pytest.raises(ConfigError, match="first `hiertk-cloud provision --broker-host NAME`"):
        CliRunner().invoke(
            app, [*words, "--authority", str(tmp_path / "authority")], catch_exceptions=False
        )
