"""From the start of the service to its being ready, with a large log."""

import os
import shutil
from contextlib import closing
from pathlib import Path

from hiertk.brokers import Broker, MosquittoBroker
from hiertk.models import load_cloud_partition
from hiertk_cloud.log import Accepted, DurableLog
from hiertk_cloud.state import StateFolder
from hiertk_cloud.training.checkpoint import save_checkpoint
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import BatchKey

from benchmarks.figures import Figure, at_most
from benchmarks.ingest_sender import make_body
from benchmarks.service_process import ServiceProcess
from benchmarks.workplace import Workplace

TITLE = "Restart with a large log"
HOW = """\
From the start of the process `hiertk-cloud serve` to its first ONLINE status at a subscriber of the
real broker, Python's start and the import of PyTorch included. The log holds real messages of
ResNet-18 at separation point 2, 110 KiB each, of one device, all of them consumed by a checkpoint;
its pages are dropped from the page cache before each start. The same without a log, by turns."""

_LOG_BYTES = {"tiny": 4 << 20, "quick": 500_000_000, "full": 5_000_000_000}
_RUNS = {"tiny": 1, "quick": 2, "full": 5}
_MESSAGE_KIB = 110
_GROUP = 64
_DEVICE = "bench"


def measure(place: Workplace) -> list[Figure]:
    """Return the seconds with the log and without."""
    size = _LOG_BYTES[place.effort]
    _check_room(place.folder, size)
    folder = place.folder / "large"
    written = _fill(place, folder, size)
    with_log, without = [], []
    with MosquittoBroker(place.folder / "broker") as broker:
        for number in range(_RUNS[place.effort]):
            _forget_pages(folder)
            with_log.append(_ready_s(place, broker, folder))
            without.append(_ready_s(place, broker, place.folder / f"empty-{number}"))
            place.tell(f"ready in {with_log[-1]:.1f} s, without a log {without[-1]:.1f} s")
    shutil.rmtree(folder)
    return [
        Figure(
            what=f"start to ready, log of {written / 1e9:.2g} GB",
            unit="s",
            samples=tuple(with_log),
            target=at_most(5),
        ),
        Figure(what="start to ready, no log", unit="s", samples=tuple(without)),
    ]


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 1.2 * size + (1 << 30):
        raise ConfigError(
            f"{folder}: {free / 1e9:.1f} GB are free, the log takes {size / 1e9:.1f} GB: "
            "make room, or set TMPDIR to another disk"
        )


def _ready_s(place: Workplace, broker: Broker, state: Path) -> float:
    with ServiceProcess(place.bundle, broker, state) as service:
        return service.ready_s


def _fill(place: Workplace, folder: Path, size: int) -> int:
    """Write a log and a checkpoint that has consumed it; return the log's bytes."""
    folder.mkdir()
    state = StateFolder(folder)
    manifest = place.bundle.manifest
    body = make_body(manifest, _DEVICE, 1, _MESSAGE_KIB)
    count = -(-size // len(body) // _GROUP) * _GROUP
    with closing(DurableLog(state.log, manifest.bundle_id)) as log:
        for first in range(1, count + 1, _GROUP):
            log.append([_accepted(body, seq) for seq in range(first, first + _GROUP)])
            while log.give_turns():
                pass
    learner = CloudLearner(load_cloud_partition(place.bundle), manifest, 1e-3)
    progress = Progress(turn=count, cloud_step=count, trained_total=count)
    save_checkpoint(state.checkpoint, manifest.bundle_id, learner, progress)
    written = state.log.stat().st_size
    place.tell(f"wrote a log of {written / 1e9:.2f} GB, {count} messages")
    return written


def _accepted(body: bytes, seq: int) -> Accepted:
    message = body + FeatureBatch(seq=seq, floor=1).SerializeToString()
    return Accepted(
        key=BatchKey(_DEVICE, 1, seq), floor=1, edge_step=1, held_out=False, message=message
    )


def _forget_pages(folder: Path) -> None:
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
