"""The study's cloud: the real durable log and trainer, without service and network."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import torch
from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.log import Accepted, DurableLog, LogReader
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.trainer import Trainer, TrainerSettings
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.class_map import ClassMap, ClassSlot, exported_map
from hiertk_protocol.codec import Quantized, dequantize
from hiertk_protocol.errors import ModelError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import BatchKey, SlotArray
from torch import Tensor, nn
from typing_extensions import Self

from hiertk.models import load_cloud_partition
from hiertk.study.new_classes.methods import Method
from hiertk.study.new_classes.slda import Float32Array

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.sqlite"


class StudyCloud:
    """One cloud, while it is entered; its state is in a folder, and it goes on from there."""

    def __init__(
        self, bundle: Bundle, method: Method, folder: Path, *, learning_rate: float, seed: int
    ) -> None:
        self._bundle = bundle
        self._folder = folder
        self._learning_rate = learning_rate
        self._settings = TrainerSettings(
            replay=method.replay,
            replay_balance="class" if method.balanced else "none",
            logit_adjustment=float(method.adjusted),
            imprint=method.imprinted,
            seed=seed,
        )
        self._history = ClassHistory((exported_map(bundle.manifest.classes),))

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            path = self._folder / LOG
            self._log = DurableLog(path, self._bundle.manifest.bundle_id, tell=_tell_nobody)
            opened.callback(self._log.close)
            reader = LogReader(path)
            opened.callback(reader.close)
            manifest = self._bundle.manifest
            learner = CloudLearner(
                load_cloud_partition(self._bundle), manifest, self._learning_rate
            )
            self._trainer = Trainer(
                learner,
                BatchSource(reader, manifest),
                self._settings,
                checkpoint=self._folder / CHECKPOINT,
                bundle_id=manifest.bundle_id,
                history=lambda: self._history,
                give_turns=self._log.give_turns,
                on_skip=_refuse_skips,
            )
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._opened.close()

    @property
    def bytes(self) -> int:
        """What the log holds of features, for replay; 0 where nothing is replayed."""
        return self._log.totals.held_bytes if self._settings.replay else 0

    @property
    def version(self) -> int:
        """The newest version of the class map."""
        return self._history.newest.version

    def name(self, name: str) -> None:
        """Register a class in the lowest free slot, as the registry does."""
        newest = self._history.newest
        version = newest.version + 1
        entry = ClassSlot(len(newest.slots), name, since=version)
        newer = ClassMap(version, (*newest.slots, entry))
        self._history = ClassHistory((*self._history.versions, newer))

    def take(self, messages: list[FeatureBatch]) -> None:
        """Store messages, and train on them."""
        self._log.append([_accepted(message) for message in messages])
        while self._trainer.advance():
            pass

    def predict(self, features: Quantized) -> SlotArray:
        """Return the final exit's class slots (N,)."""
        return self._trainer.learner.predict(features)

    def final_exit_inputs(self, features: Quantized) -> Float32Array:
        """Return what the final exit's linear layer sees of features, (N, D)."""
        average = self._trainer.learner.average
        return _inputs_of_last_linear(average, torch.from_numpy(dequantize(features)))

    def save(self) -> None:
        """Write a checkpoint."""
        self._trainer.save()


def _accepted(message: FeatureBatch) -> Accepted:
    key = BatchKey(message.device, message.epoch, message.seq)
    return Accepted(
        key, message.floor, message.edge_step, held_out=False, message=message.SerializeToString()
    )


@torch.no_grad()
def _inputs_of_last_linear(network: nn.Module, features: Tensor) -> Float32Array:
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ModelError("the cloud partition has no linear layer: take another --model")
    inputs: list[Tensor] = []
    handle = layers[-1].register_forward_pre_hook(lambda _layer, seen: inputs.append(seen[0]))
    network.eval()
    try:
        network(features)
    finally:
        handle.remove()
    seen: Float32Array = inputs[-1].numpy()
    return seen


def _tell_nobody(_line: str) -> None:
    """Say nothing: a study's log is new."""


def _refuse_skips(turn: int, reason: str) -> None:
    raise ModelError(f"the cloud skips batch {turn}: {reason}: the study would not be fair")
