"""`hiertk key`, `sign`, `inspect` and `export --sign`."""

import json
import stat
from pathlib import Path

import pytest
from hiertk.cli import app
from hiertk_protocol.bundle import SIGNATURE, open_bundle
from hiertk_protocol.errors import BundleError, ConfigError
from hiertk_protocol.signature import fingerprint, read_private_key, read_public_key, sign_manifest
from protocol_samples import write_bundle
from typer.testing import CliRunner


def hiertk(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def key(tmp_path: Path) -> Path:
    hiertk("key", "--out", tmp_path / "signing.key")
    return tmp_path / "signing.key"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_key_is_made_once_and_its_secret_is_not_printed(tmp_path: Path) -> None:
    told = json.loads(hiertk("key", "--out", tmp_path / "one", "--json"))
    assert told["fingerprint"] == fingerprint(read_public_key(Path(told["public_key"])))
    assert "PRIVATE" not in hiertk("key", "--out", tmp_path / "two")
    assert stat.S_IMODE((tmp_path / "two").stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="exists"):
        hiertk("key", "--out", tmp_path / "one")


def test_a_signed_bundle_is_shown_with_the_key_that_signed_it(bundle: Path, key: Path) -> None:
    signer = fingerprint(read_public_key(key.with_name("signing.key.pub")))
    assert "Not signed." in hiertk("inspect", bundle)
    assert signer in hiertk("sign", bundle, "--key", key)
    assert f"Signed by {signer}; it verifies." in hiertk("inspect", bundle)
    shown = json.loads(hiertk("inspect", bundle, "--json", "--public-key", f"{key}.pub"))
    assert shown["signed_by"] == signer
    told = json.loads(hiertk("sign", bundle, "--key", key, "--json"))
    assert told == {"deployment": shown["deployment"], "signed_by": signer}


def test_a_signature_that_does_not_fit_is_told_even_without_a_key(bundle: Path, key: Path) -> None:
    (bundle / SIGNATURE).write_bytes(sign_manifest(b"another manifest", read_private_key(key)))
    with pytest.raises(BundleError, match="changed after it was signed"):
        hiertk("inspect", bundle)


def test_a_bundle_signed_by_another_is_refused_where_a_key_is_named(
    bundle: Path, key: Path, tmp_path: Path
) -> None:
    hiertk("key", "--out", tmp_path / "other.key")
    hiertk("sign", bundle, "--key", tmp_path / "other.key")
    for command in ("inspect", "verify"):
        with pytest.raises(BundleError, match="not trusted"):
            hiertk(command, bundle, "--public-key", f"{key}.pub")


def test_an_export_with_a_key_that_cannot_be_used_ends_before_it_begins(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(ConfigError, match="hiertk key"):
        hiertk(
            *("export", "--model", "resnet18", "--split", "2", "--target", "linux"),
            *("--out", out, "--sign", tmp_path / "none"),
        )
    assert not out.exists()


@pytest.mark.slow
def test_an_export_is_signed_folder_and_zip_and_a_profiling_bundles_cuts(
    key: Path, tmp_path: Path
) -> None:
    public = read_public_key(Path(f"{key}.pub"))
    shared = ("export", "--model", "resnet18", "--target", "linux", "--batch-size", "4")
    one, cuts = tmp_path / "one", tmp_path / "cuts"
    hiertk(*shared, "--split", "1", "--out", one, "--zip", "--sign", key)
    hiertk(*shared, "--split", "1,2", "--out", cuts, "--sign", key)
    for path in (one, one.with_suffix(".zip"), cuts / "split-1", cuts / "split-2"):
        open_bundle(path, public)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {"one", "cuts"}
