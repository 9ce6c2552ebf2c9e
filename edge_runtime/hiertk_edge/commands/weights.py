"""`hiertk-edge weights`: take a device's trained edge partition with you."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiertk_edge.commands.options import BundleOption, Debug, Json, PublicKey


def weights(
    *,
    bundle: BundleOption,
    state: Annotated[Path, typer.Option(help="The state folder of `hiertk-edge run`.")],
    out: Annotated[Path, typer.Option(help="The file to write, safetensors.")],
    public_key: PublicKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json_: Json = False,
    debug: Debug = False,
) -> None:
    """Write the trained edge partition and early exit of this device's newest checkpoint.

    The cloud service merges the file with its cloud partition into one whole network: POST it to
    /api/models/merged. `hiertk-edge run` may go on meanwhile. The file tells about this device's
    images what trained weights tell: it goes nowhere by itself.

    Example: hiertk-edge weights --bundle bundle --state hiertk-edge-pi-1 --out edge.safetensors
    """
    from hiertk_protocol.bundle import open_bundle
    from hiertk_protocol.errors import ConfigError
    from hiertk_protocol.profile_file import prepare_output
    from hiertk_protocol.trust import trusted_key

    from hiertk_edge.state import StateFolder
    from hiertk_edge.training.checkpoints import Checkpoints
    from hiertk_edge.weights import write_edge_weights

    checked = open_bundle(bundle, trusted_key(public_key))
    folder = StateFolder(state).checkpoints
    checkpoint = Checkpoints(folder, checked.manifest.bundle_id).newest()
    if checkpoint is None:
        raise ConfigError(f"{state} holds no checkpoint: train there first with hiertk-edge run")
    prepare_output(out, replace=force)
    written = write_edge_weights(checked, checkpoint.learner_file, out)
    if json_:
        print(
            json.dumps(
                {
                    "out": str(written.path),
                    "edge_step": written.edge_step,
                    "tensors": written.tensors,
                    "values": written.values,
                }
            )
        )
        return
    print(
        f"Wrote {written.path}: {written.tensors} tensors, {written.values} values, "
        f"edge step {written.edge_step}"
    )
