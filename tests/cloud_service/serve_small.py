"""A service with the small module, as a process of its own: BROKER_URL STATE_FOLDER."""

import sys
from pathlib import Path

from cloud_service.cloud_parts import MANIFEST, make_module
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol import console
from hiertk_protocol.mqtt import parse_broker


def main() -> None:
    console.terminate_like_interrupt()
    with open_service(
        MANIFEST,
        make_module(),
        broker=parse_broker(sys.argv[1]),
        state=Path(sys.argv[2]),
        settings=ServiceSettings(
            learning_rate=1e-2, trainer=TrainerSettings(replay=2, checkpoint_every=10)
        ),
        reporter=Reporter(as_json=True),
    ) as service:
        service.run()


if __name__ == "__main__":
    console.run(main)
