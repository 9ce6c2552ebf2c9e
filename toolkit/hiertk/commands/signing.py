"""`hiertk key` and `hiertk sign`: bundles that say who made them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiertk.commands.options import BundleArgument, Debug, Json, SigningKey


def key(
    *,
    out: Annotated[Path, typer.Option(help="The private key to write; beside it OUT.pub.")],
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Make a pair of keys (Ed25519) for signing bundles.

    Keep the private key where nobody else reads it: who has it can send programs to your devices.
    Put the public one on each device as /etc/hiertk/bundle.pub: from then on it takes only bundles
    that you signed.

    Example: hiertk key --out signing.key
    """
    from hiertk_protocol.signature import fingerprint, make_key_pair, public_key_path

    made = fingerprint(make_key_pair(out))
    public = public_key_path(out)
    if json_:
        print(json.dumps({"key": str(out), "public_key": str(public), "fingerprint": made}))
        return
    print(f"Wrote {out} (keep it secret) and {public} (for the devices), fingerprint {made}")


def sign(
    bundle: BundleArgument, *, key: SigningKey, json_: Json = False, debug: Debug = False
) -> None:
    """Sign a bundle, folder or zip: it is checked, and manifest.sig written into it.

    The signature covers every file. Signing again replaces it; the bundle id stays the same.

    Example: hiertk sign bundle/ --key signing.key
    """
    from hiertk_protocol.bundle import sign_bundle
    from hiertk_protocol.signature import fingerprint, read_private_key

    private = read_private_key(key)
    manifest = sign_bundle(bundle, private)
    signed_by = fingerprint(private.public_key())
    if json_:
        print(json.dumps({"deployment": manifest.deployment, "signed_by": signed_by}))
        return
    print(f"Signed {bundle} with {signed_by}")
