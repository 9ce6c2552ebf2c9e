"""`hiertk inspect` and `hiertk verify`."""

import json

from hiertk.commands.options import BundleArgument, Debug, Json


def inspect(bundle: BundleArgument, *, json_: Json = False, debug: Debug = False) -> None:
    """Show what is in a bundle: network, cut, features, classes, engine, files."""
    from hiertk_protocol.bundle import open_bundle

    from hiertk.inspection import as_json, print_files, print_manifest

    opened = open_bundle(bundle)
    if json_:
        print(json.dumps(as_json(opened)))
        return
    print_manifest(opened)
    print_files(opened)


def verify(bundle: BundleArgument, *, json_: Json = False, debug: Debug = False) -> None:
    """Check every file's checksum, then the golden steps through the device's own engine."""
    from hiertk_edge.golden import verify_golden
    from hiertk_protocol.bundle import open_bundle

    from hiertk.inspection import print_checks

    opened = open_bundle(bundle)
    checks = verify_golden(opened)
    if json_:
        print(json.dumps({"verified": True, "checks": [check.model_dump() for check in checks]}))
        return
    print_checks(checks)
    print(f"{bundle} is whole and trains as the PyTorch reference does.")
