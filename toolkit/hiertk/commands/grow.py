"""`hiertk grow`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiertk.commands.options import BundleArgument, Debug, Json, PublicKey

_NEXT = (
    "Next: restart the cloud service with it, then the devices, each with the --state folder that "
    "it has: what they learned goes on."
)


def grow(
    bundle: BundleArgument,
    *,
    class_capacity: Annotated[
        int, typer.Option(help="Slots for classes, free ones included: more than the bundle has.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. Default: the bundle's name and the slots.")
    ] = None,
    factory: Annotated[
        str | None,
        typer.Option(
            help="package.module:factory of a network of your own. It is run: name it only if it "
            "is yours."
        ),
    ] = None,
    public_key: PublicKey = None,
    zip_: Annotated[bool, typer.Option("--zip", help="Write the bundle as one zip, too.")] = False,
    sign: Annotated[
        Path | None, typer.Option(help="Sign the bundle with this private key, of `hiertk key`.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Make the next bundle of a deployment, with more class slots.

    For when new classes find no free slot. Network, cut and classes stay; the weights are the old
    bundle's. Devices and the cloud service that are restarted with it on the state folders that
    they have go on from what they learned, optimizer included. Restart the cloud first: it takes
    what devices with the old bundle send, but an older service takes nothing of a newer bundle.

    Example: hiertk grow bundle/ --class-capacity 64 --out bundle-64
    """
    from hiertk_protocol.bundle import open_bundle, sign_bundle
    from hiertk_protocol.signature import read_private_key, read_public_key

    key = None if sign is None else read_private_key(sign)  # before anything that takes long
    old = open_bundle(bundle, None if public_key is None else read_public_key(public_key))
    from rich.console import Console

    from hiertk import inspection
    from hiertk.export.grow import GrowSettings, grow_bundle

    settings = GrowSettings(class_capacity, out, factory, zip=zip_, force=force)
    with Console(stderr=True).status("growing") as status:
        done = grow_bundle(old, settings, status.update)
        if key is not None:
            for path in filter(None, (done.bundle.folder, done.archive)):
                sign_bundle(path, key)
    notes = () if key is not None else done.notes
    if json_:
        archive = str(done.archive) if done.archive else None
        content = inspection.as_json(done.bundle)
        print(json.dumps(content | {"zip": archive, "notes": list(notes)}))
        return
    inspection.print_manifest(done.bundle)
    for note in notes:
        print(f"Warning: {note}")
    print(f"Wrote {done.bundle.folder}{f' and {done.archive}' if done.archive else ''}")
    print(_NEXT)
