"""Opening the service: its state folder, brought up to this bundle, and all parts on it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from hiertk_protocol.host.notify import Notifier
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.mqtt import BrokerAddress
from torch import nn

from hiertk_cloud.classes.registry import ClassRegistry
from hiertk_cloud.growing import grow_state
from hiertk_cloud.log import DurableLog, LogReader, marking_damage
from hiertk_cloud.report import Reporter
from hiertk_cloud.service import CloudService
from hiertk_cloud.settings import ServiceSettings
from hiertk_cloud.state import lock_state
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.checkpoint import read_progress
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.trainer import Trainer


@contextmanager
def open_service(
    manifest: Manifest,
    module: nn.Module,
    *,
    broker: BrokerAddress,
    state: Path,
    settings: ServiceSettings,
    reporter: Reporter,
) -> Iterator[CloudService]:
    """Open the state folder, and yield a service that goes on where the last one stopped.

    Raises ConfigError if the folder is in use or of another bundle, StorageError if it is damaged.
    """
    torch.set_num_threads(settings.threads)
    notifier = Notifier()

    def tell(text: str) -> None:
        notifier.watchdog()  # a repair or a migration takes as long as it tells of progress
        reporter.say("log", text)

    bundle_id = manifest.bundle_id
    with lock_state(state) as folder:
        grow_state(folder, manifest, module, tell)
        consumed = (read_progress(folder.checkpoint, bundle_id) or Progress()).turn
        log = DurableLog(
            folder.log,
            bundle_id,
            consumed=consumed,
            retention=settings.retention,
            tell=tell,
        )
        with (
            closing(log),
            closing(LogReader(folder.log)) as reader,
            closing(ClassRegistry.open(folder.classes, manifest)) as registry,
        ):
            trainer = Trainer(
                CloudLearner(module, manifest, settings.learning_rate, settings.precision),
                BatchSource(reader, manifest),
                settings.trainer,
                checkpoint=folder.checkpoint,
                bundle_id=bundle_id,
                history=lambda: registry.history,
                give_turns=lambda: log.give_turns(stale_after=settings.stale_after),
                on_skip=lambda turn, reason: reporter.say(
                    "skipped", f"turn {turn} of the log is skipped: {reason}", turn=turn
                ),
            )
            with marking_damage(folder.log):
                yield CloudService(
                    manifest=manifest,
                    folder=folder,
                    log=log,
                    registry=registry,
                    trainer=trainer,
                    broker=broker,
                    settings=settings,
                    reporter=reporter,
                    notifier=notifier,
                )
