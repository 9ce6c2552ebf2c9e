"""`hiertk-cloud pair`: a QR code that lets a phone in."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hiertk_protocol.errors import ConfigError

from hiertk_cloud.commands.provision import (
    DEFAULT_AUTHORITY,
    AuthorityOption,
    Debug,
    Json,
    chosen_deployment,
)

if TYPE_CHECKING:
    from hiertk_cloud.provisioning.qr_code import QrCode

_KINDS = (".png", ".svg", ".txt")


def pair(
    device: Annotated[str, typer.Argument(help="A name for the phone.")],
    *,
    deployment: Annotated[
        str | None,
        typer.Option(help="The deployment of the bundle in the phone. Default: as before."),
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="The same, from its bundle.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the code to a file, .png, .svg or .txt, and not to the terminal."),
    ] = None,
    authority: AuthorityOption = DEFAULT_AUTHORITY,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Let a phone in, and show the QR code that tells its app all it needs.

    The code holds the phone's password, and is not kept: the same command again shows a new one,
    and the password before it ends. `hiertk-cloud revoke` shuts the phone out.

    Example: hiertk-cloud pair phone-1 --bundle bundle/
    """
    _check_output(out, as_json=json_)
    from hiertk_cloud.provisioning import report
    from hiertk_cloud.provisioning.authority import open_authority
    from hiertk_cloud.provisioning.pairing import admit, draft_pairing
    from hiertk_cloud.provisioning.qr_code import draw

    wanted = chosen_deployment(deployment, bundle)
    with open_authority(authority) as opened:
        registry = opened.registry()
        if registry is None:
            raise ConfigError(
                f"{authority}: nothing was provisioned there: first "
                "`hiertk-cloud provision --broker-host NAME`, or another --authority"
            )
        pairing = draft_pairing(opened, registry, device, deployment=wanted)
        code = draw(pairing.to_text())
        if out is None:
            _check_terminal(code)  # before the phone's old password ends
        change = admit(opened, registry, pairing)
    if out is None:
        print(code.for_terminal(), end="")
    else:
        _write(out, pairing.to_text(), code)
    if json_:
        told = pairing.model_dump(include={"device", "deployment", "broker"})
        print(json.dumps({**told, "code": str(out), **report.change_json(registry, change)}))
        return
    report.print_pairing(pairing, out, is_new=device not in registry.devices)
    print(report.what_to_do(change))


def _check_output(out: Path | None, *, as_json: bool) -> None:
    if out is not None:
        if out.suffix not in _KINDS:
            raise ConfigError(f"--out {out}: the name should end with {', '.join(_KINDS)}")
    elif as_json:
        raise ConfigError("--json never prints a password: add --out FILE for the code")
    elif not sys.stdout.isatty():
        raise ConfigError(
            "the code holds a password and is shown on a terminal only, not in a file or a log: "
            "--out FILE writes one for its owner alone"
        )


def _check_terminal(code: "QrCode") -> None:
    columns = shutil.get_terminal_size().columns
    if columns < code.columns:
        raise ConfigError(
            f"the code is {code.columns} columns wide, this terminal {columns}: take a smaller "
            "font, or --out code.png"
        )
    try:
        code.for_terminal().encode(sys.stdout.encoding)
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"this terminal's {sys.stdout.encoding} has no half blocks: --out code.png"
        ) from error


def _write(out: Path, text: str, code: "QrCode") -> None:
    from hiertk_protocol.private_files import write_private

    if out.suffix == ".txt":
        write_private(out, f"{text}\n".encode())
    else:
        write_private(out, code.png() if out.suffix == ".png" else code.svg())
