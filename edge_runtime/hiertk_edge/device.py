"""A device put together: state, learner, inputs, spool, uplink, endpoint and agent."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from hiertk_protocol.bundle import Bundle, open_bundle
from hiertk_protocol.class_requests import ClassContract
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.trust import trusted_key

from hiertk_edge.agent import Agent, AgentSettings
from hiertk_edge.care.caretaker import CareLimits, Caretaker, set_nice
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.classes.following import ClassFollowing
from hiertk_edge.config import EdgeConfig
from hiertk_edge.device_endpoint import open_endpoint
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.freed_memory import return_freed_memory
from hiertk_edge.growing.device_state import grow_state
from hiertk_edge.inputs import Inputs, open_inputs
from hiertk_edge.learner import Learner, check_batch_size
from hiertk_edge.prediction.predictor import CloudHelp, Predictor
from hiertk_edge.spool import Spool, SpoolLimits
from hiertk_edge.state import StateFolder, lock_state
from hiertk_edge.status.file import status_path
from hiertk_edge.status.telling import Telling
from hiertk_edge.status.view import DeviceView
from hiertk_edge.training.checkpointing import Checkpointing
from hiertk_edge.training.checkpoints import Checkpoints
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_edge.training.held_out import HeldOut
from hiertk_edge.training.new_slots import NewSlots, TakingUp
from hiertk_edge.training.passes import Passes
from hiertk_edge.training.progress import Progress
from hiertk_edge.training.rehearsal_feed import Mix, RehearsalFeed
from hiertk_edge.training.spooling import Spooling
from hiertk_edge.training.trainer import EdgeTrainer
from hiertk_edge.training.turns import Turns
from hiertk_edge.uplink import ClassLink, Uplink, UplinkLimits
from hiertk_edge.watch import Outcome, Watch

_MIB = 1 << 20
_log = logging.getLogger(__name__)

OpenEngine = Callable[[Bundle, int, Path | None], Learner]


def run_device(
    config: EdgeConfig, watch: Watch, *, open_engine: OpenEngine | None = None
) -> Outcome:
    """Train, predict and send until all is done or the watch asks to stop.

    Raises any HiertkError; what is in the state folder then stays good.
    """
    started = time.monotonic()
    set_nice(config.care.nice)
    config.broker.credentials().check(tls=config.broker.address.tls)  # before what takes long
    bundle = open_bundle(config.bundle, trusted_key(config.signing.public_key))
    with lock_state(config.state) as state, ExitStack() as stack:
        grow_state(state, bundle)
        device = _Device(
            config,
            bundle,
            state,
            stack=stack,
            open_engine=open_engine or _open_engine,
            watch=watch,
        )
        finished = device.run()
        return Outcome(finished, device.uplink.status(), time.monotonic() - started)


class _Device:
    """All parts of one device, made in the order in which they need each other."""

    def __init__(
        self,
        config: EdgeConfig,
        bundle: Bundle,
        state: StateFolder,
        *,
        stack: ExitStack,
        open_engine: OpenEngine,
        watch: Watch,
    ) -> None:
        self._last: DeviceStatus.State = DeviceStatus.OFFLINE
        manifest = bundle.manifest
        problems = Problems(lambda _kind, text: _log.warning("%s", text))
        spool = stack.enter_context(closing(_open_spool(config, bundle, state)))
        classes = DeviceClasses(state.classes, manifest, problems)
        self._inputs = open_inputs(
            config, bundle, state, classes=classes, problems=problems, stack=stack
        )
        checkpoints = Checkpoints(state.checkpoints, manifest.bundle_id, classes)
        learner, calibration = checkpoints.open(
            partial(open_engine, bundle, config.training.threads)
        )
        batch_size = _prepare(learner, config, bundle, self._inputs)
        turns = Turns()
        following = ClassFollowing(classes, learner, turns, self._inputs.memory, problems)
        link = ClassLink(ClassContract(manifest), lambda: classes.provisional, following.hand)
        self.uplink = _open_uplink(config, bundle, spool, problems, link)
        help_ = CloudHelp(
            self.uplink.ask,
            config.prediction.ask_cloud_below,
            config.prediction.deadline_s,
            bits=lambda: self.uplink.bits,
        )
        predictor = Predictor(
            learner, manifest, turns, calibration=calibration, cloud=help_, classes=classes
        )
        progress = Progress(learner.edge_step)
        caretaker = Caretaker(_care_limits(config), problems)
        checkpointing = Checkpointing(
            learner,
            turns,
            checkpoints,
            problems,
            every_steps=config.checkpoint.every_steps,
            every_s=config.checkpoint.every_s,
        )
        view = DeviceView(
            config=config,
            manifest=manifest,
            classes=classes,
            following=following,
            progress=progress,
            inputs=self._inputs,
            predictor=predictor,
            caretaker=caretaker,
            checkpointing=checkpointing,
            problems=problems,
        )
        self._telling = Telling(
            view, self.uplink, problems, show=watch.show, status_file=status_path(config.state)
        )
        encoder = BatchEncoder(manifest, config.device, classes)
        spooling = Spooling(encoder, spool, self.uplink, problems)
        self._endpoint = open_endpoint(
            config,
            manifest,
            self._inputs,
            classes=classes,
            predicts=predictor,
            status=self._telling.details,
            problems=problems,
        )
        held_out = HeldOut(
            partial(self._inputs.held_out_images, batch_size), learner, turns, spooling, progress
        )
        self._agent = Agent(
            trainer=EdgeTrainer(
                learner, turns, spooling, progress, new_slots=_new_slots(config, bundle, learner)
            ),
            held_out=held_out if self._inputs.has_held_out else None,
            checkpointing=checkpointing,
            predictor=predictor,
            caretaker=caretaker,
            passes=_passes(config, self._inputs, batch_size),
            feed=_feed(config, self._inputs, learner, batch_size, problems),
            following=following,
            spool=spool,
            state=config.state,
            spooling=spooling,
            settings=AgentSettings(config.training.evaluate_every, config.training.drain_timeout_s),
            stop_asked=watch.stop_asked,
            report=self._telling.report,
        )

    def run(self) -> bool:
        """Let everything run; return whether all is done."""
        with ExitStack() as ending:  # one part that fails to end keeps no other from it
            self.uplink.start()
            ending.callback(self._say_goodbye)
            if self._endpoint is not None:
                self._endpoint.start()
                ending.callback(self._endpoint.stop)
                self._telling.endpoint = self._endpoint
                _log.info("the endpoint is at %s", self._endpoint.address)
            ending.callback(self._inputs.stop)
            self._inputs.start()
            self._telling.started()
            finished = self._agent.run()
            self._last = DeviceStatus.FINISHED if finished else DeviceStatus.OFFLINE
            return finished

    def _say_goodbye(self) -> None:
        self._telling.stopping(self._last)
        self.uplink.stop(self._last)


def _open_engine(bundle: Bundle, threads: int, checkpoint: Path | None) -> Learner:
    return_freed_memory(bundle.manifest.engine.backend)
    return open_learner(bundle, threads=threads, checkpoint=checkpoint)


def _prepare(learner: Learner, config: EdgeConfig, bundle: Bundle, inputs: Inputs) -> int:
    """Set and check what the configuration asks of the learner; return the batch size."""
    if config.training.learning_rate is not None:
        learner.learning_rate = config.training.learning_rate
    batch_size = config.training.batch_size or bundle.manifest.engine.batch_size
    check_batch_size(learner, batch_size)
    data = inputs.data
    if data is not None and not learner.can_train(min(batch_size, len(data))):
        raise ConfigError(
            f"{len(data)} images make no batch of {batch_size}, which this bundle's program takes: "
            "give more, or export with a smaller --batch-size, or --normalization group"
        )
    return batch_size


def _open_spool(config: EdgeConfig, bundle: Bundle, state: StateFolder) -> Spool:
    return Spool(
        state.spool,
        bundle_id=bundle.manifest.bundle_id,
        device=config.device,
        limits=SpoolLimits(
            max_bytes=int(config.spool.max_mib * _MIB),
            max_age_s=int(config.spool.max_hours * 3600),
            when_full=config.spool.when_full,
        ),
    )


def _open_uplink(
    config: EdgeConfig, bundle: Bundle, spool: Spool, problems: Problems, classes: ClassLink
) -> Uplink:
    return Uplink(
        config.broker.address,
        deployment=bundle.manifest.deployment,
        device=config.device,
        spool=spool,
        bundle_bits=bundle.manifest.features.bits,
        limits=UplinkLimits(
            bytes_per_s=config.uplink.kib_per_s * 1024,
            bytes_per_day=int(config.uplink.mib_per_day * _MIB),
            bits=config.uplink.bits,
        ),
        credentials=config.broker.credentials(),
        problems=problems,
        classes=classes,
    )


def _new_slots(config: EdgeConfig, bundle: Bundle, learner: Learner) -> NewSlots:
    training = config.training
    how = TakingUp(training.imprint, training.logit_adjustment, training.seed)
    return NewSlots(learner, bundle.manifest.classes, how)


def _care_limits(config: EdgeConfig) -> CareLimits:
    return CareLimits(config.care.max_memory_mib * _MIB, config.care.max_temperature_c)


def _passes(config: EdgeConfig, inputs: Inputs, batch_size: int) -> Passes | None:
    if inputs.data is None:
        return None
    training = config.training
    return Passes(
        inputs.data,
        batch_size=batch_size,
        epochs=training.epochs,
        seed=training.seed,
        schedule=training.schedule,
    )


def _feed(
    config: EdgeConfig, inputs: Inputs, learner: Learner, batch_size: int, problems: Problems
) -> RehearsalFeed | None:
    if inputs.memory is None:
        return None
    rehearsal = config.rehearsal
    return RehearsalFeed(
        inputs.memory,
        Mix(batch_size, rehearsal.share, rehearsal.wait_s, rehearsal.practice),
        learner=learner,
        info=inputs.manifest.input,
        problems=problems,
        exported=len(inputs.manifest.classes.names),
        data=inputs.data,
    )
