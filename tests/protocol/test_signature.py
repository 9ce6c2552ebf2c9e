"""Signed bundles: folder and zip, the right key and wrong ones, and what is no signature."""

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hiertk_protocol.bundle import (
    MANIFEST,
    SIGNATURE,
    open_bundle,
    read_manifest_bytes,
    sign_bundle,
    zip_bundle,
)
from hiertk_protocol.errors import BundleError, ConfigError
from hiertk_protocol.signature import (
    MAX_SIGNATURE_BYTES,
    check_signature,
    fingerprint,
    make_key_pair,
    parse_signature,
    public_key_path,
    read_private_key,
    read_public_key,
    sign_manifest,
)
from hiertk_protocol.trust import DEFAULT_PUBLIC_KEY, trusted_key
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_samples import make_manifest, write_bundle

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "zips").mkdir()
    zip_bundle(folder, tmp_path / "zips" / "bundle.zip")
    return tmp_path / "zips" / "bundle.zip"


# Bundles


def test_a_signed_folder_opens_with_its_key_and_without(folder: Path) -> None:
    assert sign_bundle(folder, KEY) == make_manifest()
    assert open_bundle(folder, PUBLIC).manifest == open_bundle(folder).manifest


def test_a_signed_zip_opens_with_its_key_and_leaves_nothing_beside_it(archive: Path) -> None:
    sign_bundle(archive, KEY)
    assert list(archive.parent.iterdir()) == [archive]
    assert open_bundle(archive, PUBLIC).manifest == make_manifest()


def test_zipping_a_signed_folder_keeps_its_signature(folder: Path, tmp_path: Path) -> None:
    sign_bundle(folder, KEY)
    zip_bundle(folder, tmp_path / "signed.zip")
    assert open_bundle(tmp_path / "signed.zip", PUBLIC).manifest == make_manifest()


def test_a_zip_that_was_unpacked_before_it_was_signed_opens_too(archive: Path) -> None:
    open_bundle(archive)
    sign_bundle(archive, KEY)
    assert open_bundle(archive, PUBLIC).manifest == make_manifest()


def test_signing_again_with_another_key_replaces_the_signature_everywhere(archive: Path) -> None:
    for key in (OTHER, KEY):
        sign_bundle(archive, key)
        open_bundle(archive, key.public_key())
    with pytest.raises(BundleError, match="not trusted"):
        open_bundle(archive, OTHER.public_key())


def test_the_signature_changes_neither_bundle_id_nor_deployment(folder: Path) -> None:
    before = open_bundle(folder).manifest.bundle_id
    sign_bundle(folder, KEY)
    assert open_bundle(folder).manifest.bundle_id == before


def test_a_damaged_bundle_is_not_signed(folder: Path) -> None:
    (folder / "edge" / "checkpoint").write_bytes(b"changed")
    with pytest.raises(BundleError):
        sign_bundle(folder, KEY)
    assert not (folder / SIGNATURE).exists()


def remove(path: Path) -> None:
    path.unlink()


def sign_by_other(path: Path) -> None:
    path.write_bytes(sign_manifest(read_manifest_bytes(path.parent), OTHER))


def sign_something_else(path: Path) -> None:
    path.write_bytes(sign_manifest(b"something else", KEY))


def claim_the_trusted_key(path: Path) -> None:
    """Another's signature under the trusted key's name."""
    made = parse_signature(sign_manifest(read_manifest_bytes(path.parent), OTHER), "")
    named = parse_signature(sign_manifest(b"", KEY), "").public_key
    path.write_text(made.model_copy(update={"public_key": named}).model_dump_json())


def fill(path: Path) -> None:
    path.write_bytes(b" " * (MAX_SIGNATURE_BYTES + 1))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (remove, "is missing, the bundle is not signed: take one signed by"),
        (sign_by_other, "signed by .*, which is not trusted: take one signed by"),
        (sign_something_else, "the manifest was changed after it was signed"),
        (claim_the_trusted_key, "the manifest was changed after it was signed"),
        (fill, "more than 4096 bytes"),
        (empty, "not a signature: sign the bundle again"),
        (become_a_folder, "Is a directory: sign the bundle again"),
    ],
)
def test_what_is_not_signed_by_the_key_is_refused(
    folder: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    sign_bundle(folder, KEY)
    spoil(folder / SIGNATURE)
    with pytest.raises(BundleError, match=reason) as caught:
        open_bundle(folder, PUBLIC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", [None, b"", sign_manifest(b"else", KEY)])
def test_a_zip_that_is_not_signed_by_the_key_is_refused_before_it_is_unpacked(
    archive: Path, entry: bytes | None
) -> None:
    if entry is not None:
        with zipfile.ZipFile(archive, "a") as opened:
            opened.writestr(SIGNATURE, entry)
    with pytest.raises(BundleError, match=SIGNATURE):
        open_bundle(archive, PUBLIC)
    assert list(archive.parent.iterdir()) == [archive]


def test_a_manifest_that_was_not_signed_is_not_even_parsed(folder: Path) -> None:
    sign_bundle(folder, KEY)
    (folder / MANIFEST).write_bytes(b"{" * 100)
    with pytest.raises(BundleError, match="changed after it was signed"):
        open_bundle(folder, PUBLIC)


def test_a_file_changed_after_signing_is_refused(folder: Path) -> None:
    sign_bundle(folder, KEY)
    file = folder / "edge" / "checkpoint"
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(BundleError, match="checksum"):
        open_bundle(folder, PUBLIC)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_signature_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        check_signature(b"manifest", data, PUBLIC, SIGNATURE)


@settings(deadline=None)
@given(
    st.one_of(
        st.just(PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        st.binary(min_size=32, max_size=32),
    ),
    st.binary(min_size=64, max_size=64),
)
def test_a_made_up_key_and_signature_are_refused(key: bytes, signed: bytes) -> None:
    made_up = f'{{"public_key": "{key.hex()}", "signature": "{signed.hex()}"}}'
    with pytest.raises(BundleError):
        check_signature(b"manifest", made_up.encode(), PUBLIC, SIGNATURE)


# Keys


def test_a_key_pair_is_made_for_its_owner_alone_and_fits(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = make_key_pair(tmp_path / "signing.key")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    private = read_private_key(tmp_path / "signing.key")
    public = read_public_key(tmp_path / "signing.key.pub")
    assert fingerprint(private.public_key()) == fingerprint(public) == fingerprint(made)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    for existing in (path, public_key_path(path)):
        existing.write_text("precious")
        with pytest.raises(ConfigError, match="exists"):
            make_key_pair(path)
        assert existing.read_text() == "precious"
        existing.unlink()


def pem(key: object) -> bytes:
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined, no-any-return]


LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
ELLIPTIC = generate_private_key(SECP256R1())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an unencrypted PEM key"),
        (LOCKED, "not an unencrypted PEM key"),
        (pem(PUBLIC), "not an unencrypted PEM key"),
        (pem(ELLIPTIC), "not Ed25519"),
    ],
)
def test_what_is_no_signing_key_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=reason):
        read_private_key(path)


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_key_pair(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_private_key(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, pem(KEY)])
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=r"not a PEM public key: take KEY\.pub"):
        read_public_key(tmp_path / "key")


def test_without_any_key_no_signature_is_asked_for(tmp_path: Path) -> None:
    assert trusted_key(None, tmp_path / "bundle.pub") is None
    assert str(DEFAULT_PUBLIC_KEY) == "/etc/hiertk/bundle.pub"


def test_the_machines_own_key_is_asked_for_unless_another_is_named(tmp_path: Path) -> None:
    make_key_pair(tmp_path / "machine")
    make_key_pair(tmp_path / "named")
    machine, named = tmp_path / "machine.pub", tmp_path / "named.pub"
    for path, wanted in ((None, machine), (named, named)):
        found = trusted_key(path, machine)
        assert found is not None
        assert fingerprint(found) == fingerprint(read_public_key(wanted))


@pytest.mark.parametrize("broken", [lambda path: path.write_text("?"), Path.mkdir])
def test_a_key_of_the_machine_that_cannot_be_read_is_an_error(
    tmp_path: Path, broken: Callable[[Path], None]
) -> None:
    broken(tmp_path / "bundle.pub")
    with pytest.raises(ConfigError):
        trusted_key(None, tmp_path / "bundle.pub")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError):
        trusted_key(None, tmp_path / "link")
