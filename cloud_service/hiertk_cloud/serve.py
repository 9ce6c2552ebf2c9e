"""One rank of a service of several processes: `torchrun ... -m hiertk_cloud.serve --config FILE`.

The configuration is that of `hiertk-cloud serve`; its [api] is left out.
"""

from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console

from hiertk_cloud.config import CloudConfig, load_config
from hiertk_cloud.report import Reporter

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None, typer.Option(help="The service's TOML file. Default: /etc/hiertk/cloud.toml")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Write each line as JSON, for machines.")
    ] = False,
    debug: Annotated[  # noqa: ARG001  (read by hiertk_protocol.console)
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Train one cloud partition with several processes, each with its share of the devices.

    Started by torchrun, which starts all ranks again when one dies; no batch that was acknowledged
    is lost, and none trains twice. The number of ranks is fixed for a state folder. Stop it with
    Ctrl-C or SIGTERM: all ranks finish their round, rank 0 writes a checkpoint.

    Example: torchrun --standalone --nproc-per-node 2 --max-restarts 100 -m hiertk_cloud.serve
    --config /etc/hiertk/cloud.toml
    """
    console.terminate_like_interrupt()
    settings = load_config(config)
    _serve(settings, Reporter(as_json=json_ or settings.json_lines))


def _serve(config: CloudConfig, reporter: Reporter) -> None:
    from hiertk.models import load_cloud_partition

    from hiertk_cloud.distributed.group import open_group
    from hiertk_cloud.distributed.opening import open_parts
    from hiertk_cloud.distributed.service import RankService
    from hiertk_cloud.running import open_configured_bundle, settings_of

    bundle, settings = open_configured_bundle(config), settings_of(config)
    module = load_cloud_partition(bundle, trusted_factory=config.factory)
    manifest = bundle.manifest
    with (
        open_group() as group,
        open_parts(
            group, manifest, module, state=config.state, settings=settings, reporter=reporter
        ) as parts,
    ):
        broker = config.broker.address
        RankService(
            group, manifest, parts, broker=broker, settings=settings, reporter=reporter
        ).run()


if __name__ == "__main__":
    console.run(app)
