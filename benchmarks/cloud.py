"""The cloud's trainer on a full log, against the bare PyTorch loop."""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from hiertk.models import load_cloud_partition
from hiertk_cloud.log import Accepted, DurableLog, LogReader
from hiertk_cloud.training.batches import BatchSource, draw_replay
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.trainer import Trainer, TrainerSettings
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.codec import dequantize
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.messages import BatchKey, FeatureContract
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.figures import Figure, at_least, interleave, ratios
from benchmarks.workplace import Workplace

TITLE = "Cloud trainer against the bare loop"
HOW = """\
Steps per second of `Trainer.advance()` on a log that holds everything (read, check, decode, replay
a batch of earlier samples, as many of each class, step, average of the weights) over those of a
bare PyTorch loop (same module, fused AdamW, as many samples joined and decoded before), ResNet-18,
separation point 2, batch 32, one thread. They take turns of five steps; the ratio is taken per
turn. The parts are timed alone, once per turn. A checkpoint is due every 200 steps; its share is a
200th of one."""

_TURNS = {"tiny": 2, "quick": 6, "full": 16}
_STEPS = {"tiny": 1, "quick": 5, "full": 5}
_CHECKPOINT_EVERY = 200


def measure(place: Workplace) -> list[Figure]:
    """Return the ratio, and what the trainer's parts cost."""
    torch.set_num_threads(1)
    turns, steps = _TURNS[place.effort], _STEPS[place.effort]
    messages = _messages(place, steps * (turns + 1))
    path = place.folder / "cloud-log.sqlite"
    bundle_id = place.bundle.manifest.bundle_id
    with closing(DurableLog(path, bundle_id)) as log:
        log.append([_accepted(message) for message in messages])
        while log.give_turns():
            pass
    module = load_cloud_partition(place.bundle)
    with closing(LogReader(path)) as reader:
        learner = CloudLearner(copy.deepcopy(module), place.bundle.manifest, 1e-3)
        trainer = _trainer(learner, reader, place)
        parts = Parts(learner, FeatureContract(place.bundle.manifest), messages[0])
        bare = _bare_loop(module, _inputs(place.bundle, messages), place.bundle, steps)
        measurements = [_trainer_turn(trainer, steps), bare, *parts.measurements()]
        full, loop, average, checks, decoding = interleave(measurements, turns)
        saving = _seconds_of(trainer.save)
    return _figures(place, full, loop, [average, checks, decoding], saving)


def _figures(
    place: Workplace,
    full: list[float],
    loop: list[float],
    parts: list[list[float]],
    saving: float,
) -> list[Figure]:
    share = saving / _CHECKPOINT_EVERY
    with_checkpoints = [seconds + share for seconds in full]
    figures = [
        Figure(
            what="trainer / bare loop, steps per second, checkpoints included",
            unit="",
            samples=ratios(loop, with_checkpoints),
            target=at_least(0.9),
        ),
        Figure(
            what="trainer / bare loop, steps per second, between checkpoints",
            unit="",
            samples=ratios(loop, full),
        ),
        Figure(what="trainer's step", unit="ms", samples=tuple(1000 * value for value in full)),
        Figure(what="bare step", unit="ms", samples=tuple(1000 * value for value in loop)),
    ]
    names = ("average of the weights", "checks for finite values", "decoding of new and replayed")
    figures += [
        Figure(
            what=f"part of the trainer's step: {name}",
            unit="ms",
            samples=tuple(1000 * value for value in samples),
        )
        for name, samples in zip(names, parts, strict=True)
    ]
    figures.append(
        Figure(
            what="part of the trainer's step: a 200th of a checkpoint",
            unit="ms",
            samples=(1000 * share,),
        )
    )
    place.tell(f"trainer / bare loop: {figures[0].text}")
    return figures


@dataclass(frozen=True)
class Parts:
    """What the trainer does beyond the bare loop, to be timed alone."""

    learner: CloudLearner
    contract: FeatureContract
    message: FeatureBatch

    def measurements(self) -> Iterator[Callable[[], float]]:
        """Yield what measures each part, in seconds per step."""
        for part in (self._average, self._check, self._decode):
            yield partial(_seconds_of, part)

    def _average(self) -> None:
        self.learner.average.update_parameters(self.learner.module)

    def _check(self) -> None:
        module = self.learner.module
        for buffer in [buffer.clone() for buffer in module.buffers()]:
            del buffer
        floats = [one.flatten() for one in module.buffers() if one.is_floating_point()]
        assert bool(torch.isfinite(torch.cat(floats)).all())
        gradients = [value.grad for value in module.parameters() if value.grad is not None]
        nn.utils.get_total_norm(gradients).item()

    def _decode(self) -> None:
        batch = self.contract.check(self.contract.parse(self.message.SerializeToString()))
        for _ in range(2):  # a replayed one comes out of the cache, quantized
            torch.from_numpy(dequantize(batch.features)).clone()


def _messages(place: Workplace, count: int) -> list[FeatureBatch]:
    encoder = BatchEncoder(place.bundle.manifest, "device")
    messages = [
        message
        for step, (result, labels) in enumerate(place.trained_features(count))
        for message in encoder.encode(result, labels, edge_step=step, purpose=FeatureBatch.TRAIN)
    ]
    for seq, message in enumerate(messages, start=1):
        message.epoch, message.seq, message.floor = 1, seq, 1
    return messages


def _accepted(message: FeatureBatch) -> Accepted:
    key = BatchKey(message.device, message.epoch, message.seq)
    return Accepted(
        key, message.floor, message.edge_step, held_out=False, message=message.SerializeToString()
    )


def _trainer(learner: CloudLearner, reader: LogReader, place: Workplace) -> Trainer:
    manifest = place.bundle.manifest
    return Trainer(
        learner,
        BatchSource(reader, manifest),
        TrainerSettings(replay=1, checkpoint_every=1 << 30),
        checkpoint=Path(place.folder / "cloud-checkpoint"),
        bundle_id=manifest.bundle_id,
        give_turns=lambda: 0,
        on_skip=lambda _turn, reason: place.tell(f"skipped: {reason}"),
    )


def _trainer_turn(trainer: Trainer, steps: int) -> Callable[[], float]:
    def turn() -> float:
        started = time.perf_counter()
        for _ in range(steps):
            assert trainer.advance()
        return (time.perf_counter() - started) / steps

    return turn


def _bare_loop(
    module: nn.Module, inputs: Iterator[tuple[Tensor, Tensor]], bundle: Bundle, steps: int
) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    bias = torch.from_numpy(bundle.manifest.classes.bias())
    module.train()

    def turn() -> float:
        batches = [next(inputs) for _ in range(steps)]
        started = time.perf_counter()
        for features, labels in batches:
            loss = cross_entropy(module(features) + bias, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()
        return (time.perf_counter() - started) / steps

    return turn


def _inputs(bundle: Bundle, messages: Sequence[FeatureBatch]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield as many samples as the trainer trains on: each batch joined with an earlier one."""
    contract = FeatureContract(bundle.manifest)
    batches = [contract.check(message) for message in messages]
    for number in range(1, len(batches) + 1):
        joined = [batches[one - 1] for one in (number, *draw_replay(number, 1, 0, 4096))]
        features = [torch.from_numpy(dequantize(one.features)) for one in joined]
        labels = [torch.from_numpy(one.labels) for one in joined]
        yield torch.cat(features), torch.cat(labels)


def _seconds_of(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
