"""A small deployment for the tests of the cloud service: manifest, module, messages, a trainer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hiertk_cloud.classes.history import ClassHistory
from hiertk_cloud.log import Accepted, DurableLog, LogReader
from hiertk_cloud.training.batches import BatchSource
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.trainer import Trainer, TrainerSettings
from hiertk_protocol.codec import encode, quantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.manifest import (
    AdamW,
    ClassInfo,
    EngineInfo,
    FeatureInfo,
    InputInfo,
    Manifest,
    ModelInfo,
)
from hiertk_protocol.messages import Batch, BatchKey, FeatureContract
from torch import Tensor, nn
from typing_extensions import Self

SHAPE = (4, 4, 4)
CLASSES = ("cat", "dog", "owl")
SLOTS = 8
SAMPLES = 8
DEVICE = "pi-1"
EPOCH = (1 << 64) - 5  # beyond SQLite's integers


def make_manifest(split: int = 1) -> Manifest:
    return Manifest(
        target="linux",
        model=ModelInfo(
            name="small",
            split=split,
            split_count=3,
            split_module="layer1",
            stem="3x3",
            edge_parameters=10,
            cloud_parameters=10,
        ),
        input=InputInfo(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        features=FeatureInfo(shape=SHAPE, bits=8),
        classes=ClassInfo(names=CLASSES, capacity=SLOTS),
        optimizer=AdamW(),
        engine=EngineInfo(backend="torch", version="2", batch_size=SAMPLES),
        parity=(),
        files={},
    )


MANIFEST = make_manifest()


def make_module() -> nn.Module:
    """A cloud partition with all that makes resuming hard: BN's buffers, and dropout."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(SHAPE[0], 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(8),
        nn.Linear(8, SLOTS),
    )


def make_message(
    seq: int,
    *,
    device: str = DEVICE,
    epoch: int = EPOCH,
    floor: int = 1,
    edge_step: int = 1,
    held_out: bool = False,
    samples: int = SAMPLES,
    scale: float = 1.0,
    slots: Sequence[int] = range(len(CLASSES)),
    version: int = 1,
    new_classes: Sequence[str] = (),
) -> FeatureBatch:
    """Features of which a class has its own channel; always the same ones for a `seq`.

    slots: that the labels are drawn from.
    """
    generator = np.random.default_rng(seq)
    labels = np.array(slots)[generator.integers(0, len(slots), samples)]
    features = generator.random((samples, *SHAPE), np.float32)
    features[np.arange(samples), labels % SHAPE[0]] += 1
    return FeatureBatch(
        bundle_id=MANIFEST.bundle_id,
        device=device,
        epoch=epoch,
        seq=seq,
        floor=floor,
        edge_step=edge_step,
        class_map_version=version,
        new_classes=new_classes,
        purpose=FeatureBatch.HELD_OUT if held_out else FeatureBatch.TRAIN,
        shape=features.shape,
        features=encode(quantize(features * np.float32(scale), 8)),
        labels=labels.tolist(),
        early_exit=[0] * samples,
        early_exit_loss=1.0,
    )


def accepted(message: FeatureBatch) -> Accepted:
    return Accepted(
        BatchKey(message.device, message.epoch, message.seq),
        message.floor,
        message.edge_step,
        message.purpose == FeatureBatch.HELD_OUT,
        message.SerializeToString(),
    )


def checked(message: FeatureBatch) -> Batch:
    return FeatureContract(MANIFEST).check(message)


def write_log(folder: Path, *messages: FeatureBatch) -> Path:
    """Append the messages to the folder's log, and return its path."""
    path = folder / "log.sqlite"
    log = DurableLog(path, MANIFEST.bundle_id)
    log.append([accepted(message) for message in messages])
    while log.give_turns():
        pass
    log.close()
    return path


class OpenTrainer:
    """A trainer on the log and checkpoint of a folder, as the service makes one."""

    def __init__(
        self,
        folder: Path,
        settings: TrainerSettings | None = None,
        *,
        cache_bytes: int = 1 << 20,
        bundle_id: bytes = MANIFEST.bundle_id,
        history: ClassHistory | None = None,
    ) -> None:
        torch.set_num_threads(1)
        self._reader = LogReader(folder / "log.sqlite")
        self.learner = CloudLearner(make_module(), MANIFEST, 1e-2)
        self.skipped: list[int] = []
        self.trainer = Trainer(
            self.learner,
            BatchSource(self._reader, MANIFEST, cache_bytes),
            settings or TrainerSettings(),
            checkpoint=folder / "checkpoint.safetensors",
            bundle_id=bundle_id,
            history=None if history is None else lambda: history,
            give_turns=lambda: 0,
            on_skip=lambda turn, _reason: self.skipped.append(turn),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._reader.close()

    def consume(self, batches: int) -> None:
        for _ in range(batches):
            assert self._advance()

    def consume_all(self) -> None:
        while self._advance():
            pass

    def go_over_all(self) -> None:
        while self._advance() or self.trainer.again():
            pass

    def _advance(self) -> bool:
        was_there = self.trainer.advance()
        if self.trainer.save_is_due:
            self.trainer.save()
        return was_there

    def state(self) -> dict[str, Tensor]:
        """Every parameter, buffer, average and moment."""
        tensors = {
            name: value.clone()
            for module in (self.learner.module, self.learner.average)
            for name, value in module.state_dict().items()
        }
        for name, parameter in self.learner.module.named_parameters():
            for moment, value in self.learner.optimizer.state[parameter].items():
                tensors[f"{name}/{moment}"] = value.clone()
        return tensors


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
