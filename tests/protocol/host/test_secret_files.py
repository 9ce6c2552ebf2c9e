"""Secrets: one line in a file that only its owner reads, and nothing of it in a message."""

from pathlib import Path

import pytest
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.secret_files import MAX_SECRET_BYTES, read_secret

SECRET = "hunter2-not-to-be-shown"


@pytest.fixture(autouse=True)
def _without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def test_a_secret_is_the_only_line_of_its_file(secret: Path) -> None:
    assert read_secret(secret) == SECRET


def test_a_secret_that_others_can_read_is_refused_unless_systemd_loaded_it(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret.chmod(0o640)
    with pytest.raises(ConfigError, match=r"others can read it \(mode 640\): chmod 600"):
        read_secret(secret)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret.parent))
    assert read_secret(secret) == SECRET


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "0 lines"),
        (b" \n", "an empty one"),
        (SECRET.encode() + b"\nmore\n", "2 lines"),
        (SECRET.encode() + b"\xff", "not UTF-8"),
        (SECRET.encode() * MAX_SECRET_BYTES, "more than 4096 bytes"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_no_secret_is_a_line_that_tells_nothing_of_it(
    secret: Path, content: bytes | None, told: str
) -> None:
    if content is None:
        secret.unlink()
    else:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=told) as caught:
        read_secret(secret)
    assert SECRET not in str(caught.value)
    assert not isinstance(caught.value.__cause__, ValueError)
