"""`hiertk-edge verify`: whether the bundle trains here as its reference does."""

import json

from hiertk_edge.commands.options import BundleOption, Debug, Json, PublicKey, log_to_stderr


def verify(
    *,
    bundle: BundleOption,
    public_key: PublicKey = None,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Check on this very device that the bundle trains as the PyTorch reference does."""
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.golden import verify_golden

    log_to_stderr(debug=debug)
    checks = verify_golden(open_bundle(bundle, trusted_key(public_key)))
    if json_:
        print(json.dumps([check.model_dump() for check in checks]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "difference", "allowed", title=f"{bundle} equals its reference")
    for check in checks:
        table.add_row(check.what, f"{check.worst:.2g}", f"{check.tolerance:.2g}")
    Console().print(table)
