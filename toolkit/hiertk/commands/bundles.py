"""`hiertk inspect` and `hiertk verify`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hiertk.commands.options import BundleArgument, Debug, Json, PublicKey

if TYPE_CHECKING:
    from hiertk_protocol.bundle import Bundle
    from hiertk_protocol.signature import SignatureFile


def inspect(
    bundle: BundleArgument,
    *,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Show what is in a bundle: network, cut, features, classes, engine, files, signature."""
    from hiertk.inspection import as_json, print_files, print_manifest

    opened = _open(bundle, public_key)
    signature = _signature(opened)
    if json_:
        signed_by = signature.fingerprint if signature else None
        print(json.dumps(as_json(opened) | {"signed_by": signed_by}))
        return
    print_manifest(opened)
    print(f"Signed by {signature.fingerprint}; it verifies." if signature else "Not signed.")
    print_files(opened)


def verify(
    bundle: BundleArgument,
    *,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check every file's checksum, then the golden steps through the device's own engine."""
    from hiertk_edge.golden import verify_golden

    from hiertk.inspection import print_checks

    opened = _open(bundle, public_key)
    checks = verify_golden(opened)
    if json_:
        print(json.dumps({"verified": True, "checks": [check.model_dump() for check in checks]}))
        return
    print_checks(checks)
    print(f"{bundle} is whole and trains as the PyTorch reference does.")


def _open(path: Path, public_key: Path | None) -> "Bundle":
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.signature import read_public_key

    return open_bundle(path, None if public_key is None else read_public_key(public_key))


def _signature(bundle: "Bundle") -> "SignatureFile | None":
    """Return the signature of a bundle; None if it has none. Raises BundleError if it is wrong."""
    from hiertk_protocol.bundle import SIGNATURE, read_manifest_bytes, read_signature_bytes
    from hiertk_protocol.errors import BundleError
    from hiertk_protocol.signature import parse_signature

    data = read_signature_bytes(bundle.folder)
    if data is None:
        return None
    where = bundle.folder / SIGNATURE
    found = parse_signature(data, str(where))
    if not found.verifies(read_manifest_bytes(bundle.folder)):
        raise BundleError(f"{where}: the manifest was changed after it was signed: sign it again")
    return found
