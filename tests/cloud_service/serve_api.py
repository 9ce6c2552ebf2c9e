"""A service with the small module and its API, as a process: BROKER_URL STATE_FOLDER LISTEN."""

import sys
from contextlib import closing
from pathlib import Path

from cloud_service.cloud_parts import MANIFEST, make_module
from hiertk_cloud.api.history import History
from hiertk_cloud.api.server import ApiServer
from hiertk_cloud.opening import open_service
from hiertk_cloud.report import Reporter
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.training.trainer import TrainerSettings
from hiertk_protocol import console
from hiertk_protocol.mqtt import parse_broker


def main() -> None:
    console.terminate_like_interrupt()
    broker, state, listen = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    reporter = Reporter(as_json=True)
    with (
        open_service(
            MANIFEST,
            make_module(),
            broker=parse_broker(broker),
            state=state,
            settings=ServiceSettings(
                learning_rate=1e-2, trainer=TrainerSettings(replay=2, checkpoint_every=10)
            ),
            reporter=reporter,
        ) as service,
        closing(History(state / "history.sqlite", tell=reporter.say, every_s=0)) as history,
    ):
        api = ApiServer(service.view, listen, None, history)
        api.start()
        reporter.say("api", f"dashboard and API: {api.url}", url=api.url)
        try:
            service.run(lambda: history.record(service.view))
        finally:
            api.stop()


if __name__ == "__main__":
    console.run(main)
