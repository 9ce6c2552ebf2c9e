"""A device put together: state folder, spool, learner, uplink and agent."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.credentials import Credentials
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.mqtt import parse_broker
from hiertk_protocol.topics import check_device_name

from hiertk_edge.agent import Agent, Schedule, Watch
from hiertk_edge.encoding import BatchEncoder
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.learner import Learner, check_batch_size
from hiertk_edge.sources import FolderSource, open_source
from hiertk_edge.spool import DEFAULT_MAX_BYTES, Spool
from hiertk_edge.state import StateFolder, lock_state
from hiertk_edge.uplink import Uplink

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OpenEngine = Callable[[Bundle, int, Path | None], Learner]


@dataclass(frozen=True)
class DeviceSettings:
    """One device's settings.

    batch_size, learning_rate: None is the bundle's own. public_key: who must have signed the
    bundle, if not None.
    """

    bundle: Path
    broker: str
    device: str
    data: str
    state: Path
    held_out: str | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    threads: int = 1
    spool_bytes: int = DEFAULT_MAX_BYTES
    schedule: Schedule = field(default_factory=Schedule)
    credentials: Credentials = field(default_factory=Credentials)
    public_key: "Ed25519PublicKey | None" = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended. finished: everything is trained and acknowledged."""

    finished: bool
    status: DeviceStatus
    seconds: float


def run_device(
    settings: DeviceSettings, watch: Watch, *, open_engine: OpenEngine | None = None
) -> Outcome:
    """Train and send until all is done or the watch asks to stop.

    Raises any HiertkError; what is in the state folder then stays good.
    """
    started = time.monotonic()
    address = parse_broker(settings.broker)
    settings.credentials.check(tls=address.tls)  # before the data is read, which may take long
    device = check_device_name(settings.device)
    bundle = open_bundle(settings.bundle, settings.public_key)
    data = _source(settings.data, bundle)
    held_out = None if settings.held_out is None else _source(settings.held_out, bundle)
    with lock_state(settings.state) as state, _spool(settings, bundle, state) as spool:
        learner = (open_engine or _open_engine)(bundle, settings.threads, state.newest_checkpoint())
        if settings.learning_rate is not None:
            learner.learning_rate = settings.learning_rate
        batch_size = settings.batch_size or bundle.manifest.engine.batch_size
        check_batch_size(learner, batch_size)
        _check_enough(data, learner, batch_size)
        uplink = Uplink(
            address,
            deployment=bundle.manifest.deployment,
            device=device,
            spool=spool,
            credentials=settings.credentials,
        )
        agent = Agent(
            learner=learner,
            encoder=BatchEncoder(bundle.manifest, device),
            spool=spool,
            uplink=uplink,
            data=data,
            held_out=held_out,
            batch_size=batch_size,
            schedule=settings.schedule,
            checkpoint=state.checkpoint,
            watch=watch,
        )
        finished = _run(agent, uplink)
        return Outcome(finished, uplink.status(), time.monotonic() - started)


def _open_engine(bundle: Bundle, threads: int, checkpoint: Path | None) -> Learner:
    return_freed_memory(bundle.manifest.engine.backend)
    return open_learner(bundle, threads=threads, checkpoint=checkpoint)


def _source(text: str, bundle: Bundle) -> FolderSource:
    return open_source(text, bundle.manifest.classes.names, bundle.manifest.input)


def _check_enough(data: FolderSource, learner: Learner, batch_size: int) -> None:
    largest = min(batch_size, len(data))
    if not learner.can_train(largest):
        raise ConfigError(
            f"{len(data)} images make no batch of {batch_size}, which this bundle's program takes: "
            "give more, or export with a smaller --batch-size, or --normalization group"
        )


def _spool(settings: DeviceSettings, bundle: Bundle, state: StateFolder) -> closing[Spool]:
    spool = Spool(
        state.spool,
        bundle_id=bundle.manifest.bundle_id,
        device=settings.device,
        max_bytes=settings.spool_bytes,
    )
    return closing(spool)


def _run(agent: Agent, uplink: Uplink) -> bool:
    last: DeviceStatus.State = DeviceStatus.OFFLINE
    uplink.start()
    try:
        finished = agent.run()
        if finished:
            last = DeviceStatus.FINISHED
        return finished
    finally:
        uplink.stop(last)
