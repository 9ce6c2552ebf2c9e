"""`hiertk-cloud serve` as it is, without its API, but it tells of its steps and can keep weights.

python -m hiertk.study.runtime.hierarchical.cloud CONFIG EVERY [SNAPSHOTS]: a file of settings,
steps, a folder.
"""

import sys
from pathlib import Path
from typing import Any

from hiertk_cloud.config import load_config
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.running import open_configured_bundle, settings_of
from hiertk_cloud.service import CloudService
from hiertk_cloud.training.learner import CloudLearner
from hiertk_protocol import console
from numpy.typing import NDArray

from hiertk.models import load_cloud_partition
from hiertk.study.runtime.telling import Snapshots, tell, tell_each_step, weights_of


def main(config: str, every: str, snapshots: str | None = None) -> None:
    """Serve until SIGTERM."""
    loaded = load_config(Path(config))
    bundle = open_configured_bundle(loaded)
    folder = None if snapshots is None else Path(snapshots)
    kept = Snapshots(folder, "cloud", int(every))
    with open_service(
        bundle.manifest,
        load_cloud_partition(bundle),
        broker=loaded.broker.address,
        state=loaded.state,
        settings=settings_of(loaded),
        reporter=Reporter(as_json=True),
    ) as service:
        service.run(lambda: _look(service, kept))


def _look(service: CloudService, kept: Snapshots) -> None:
    """Tell how far training is; once a second."""
    progress = service.view.snapshot().progress
    if kept.is_due(progress.cloud_step):
        kept.take(progress.cloud_step, service.between_steps(_weights))
    tell(
        "trained",
        step=progress.cloud_step,
        messages=progress.turn,
        replayed=progress.replayed_total,
    )


def _weights(learner: CloudLearner) -> dict[str, NDArray[Any]]:
    return weights_of(learner.average.module)


if __name__ == "__main__":
    console.terminate_like_interrupt()
    tell_each_step()
    console.run(lambda: main(*sys.argv[1:]))
