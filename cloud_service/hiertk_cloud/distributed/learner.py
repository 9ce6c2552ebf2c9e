"""The cloud partition while several ranks train it: one step of all, from the batches of each.

DistributedDataParallel adds up the gradients. Each rank's loss is divided by the samples of all, so
that two ranks with half a batch each take the step of one rank with the whole. A rank that has
nothing takes part with no weight: parameters, optimizer and average stay the same in every rank,
bit for bit, which torch's own join of a DistributedDataParallel does not do for the optimizer.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from hiertk_protocol.codec import Float32Array
from hiertk_protocol.manifest import Manifest
from torch import Tensor, nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from hiertk_cloud.distributed.joining import Shadow
from hiertk_cloud.training.learner import CloudLearner, Learned, Skipped, join
from hiertk_cloud.training.precision import Precision, arithmetic
from hiertk_cloud.training.samples import Labelled

# torch 2.15 warns of the older name, and 2.14 does not know the newer one.
_NAMES = signature(DistributedDataParallel).parameters
_SYNC = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"
_OWN_BUFFERS: dict[str, Any] = {_SYNC: False}
_TOGETHER = "the gradient of all ranks' batches together is not finite"


@dataclass(frozen=True)
class _Share:
    """What one rank gives to a step. new: how many of the samples are of the new batch."""

    features: Tensor
    labels: Tensor
    new: int


@dataclass(frozen=True)
class _Gradients:
    """One attempt at a step. samples: of all ranks. fault: why this rank's share does harm.

    found: whether any rank's share does. finite: whether a step can be taken. learned: measures of
    this rank's new batch.
    """

    samples: float = 0.0
    fault: str = ""
    found: bool = False
    finite: bool = False
    learned: Learned | None = None


class RankLearner(CloudLearner):
    """A rank's CloudLearner. Between two rounds, `learn` must not be called.

    steps: of the group. Running statistics become the mean of the ranks' own, weighted by samples:
    exact for means, while variances lack what lies between the ranks (as without SyncBatchNorm,
    which torch has for GPUs only).
    """

    def __init__(
        self,
        module: nn.Module,
        manifest: Manifest,
        learning_rate: float,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(module, manifest, learning_rate, precision)
        self.steps = 0
        self._nothing = torch.zeros(2, *manifest.features.shape)
        self._local = _LocalGradients()
        self._parallel = DistributedDataParallel(module, **_OWN_BUFFERS)
        self._parallel.register_comm_hook(self._local, _add_up)
        self._shadow = Shadow(self.take_part)

    def tensors(self) -> list[Tensor]:
        """Return everything that must be the same in all ranks: weights, average, moments."""
        moments = [self.optimizer.state[value] for value in self.module.parameters()]
        return [
            *self.module.state_dict().values(),
            *self.average.state_dict().values(),
            *(tensor for state in moments for tensor in state.values()),
        ]

    @contextmanager
    def round(self) -> Iterator[None]:
        """Learn inside: a rank that leaves first takes part in the others' steps until they do."""
        with Join([self._shadow]):
            yield

    def learn(
        self,
        new: Labelled,
        replayed: Sequence[Labelled] = (),
        *,
        adjustment: Float32Array | None = None,
        imprint: bool = True,  # noqa: ARG002
    ) -> Learned | Skipped:
        """Do one optimizer step on these batches and those of the other ranks.

        Where one rank's batches are not finite, the others step without them. The classes are those
        of the export: no label may be of another, there is nothing to imprint, and no `adjustment`.
        """
        assert adjustment is None
        Join.notify_join_context(self._shadow).wait()
        outcome = self._step_together(_share_of(new, replayed))
        assert outcome is not None
        return outcome

    def take_part(self) -> None:
        """Take the step of the other ranks."""
        self._step_together(None)

    def _step_together(self, share: _Share | None) -> Learned | Skipped | None:
        before = [buffer.clone() for buffer in self.module.buffers()]
        done = self._compute(share)
        fault = done.fault
        if done.found:
            self._restore(before)
            done = self._compute(None if fault else share)
        if not done.finite:
            self._restore(before)
            return Skipped(fault or _TOGETHER) if share else None
        self._merge_statistics(before, share if not fault else None, done.samples)
        self.optimizer.step()
        self.average.update_parameters(self.module)
        self.steps += 1
        return Skipped(fault) if fault else done.learned

    def _compute(self, share: _Share | None) -> _Gradients:
        samples = _sum_of(len(share.labels) if share else 0)
        if samples == 0:
            return _Gradients()
        self._local.are_finite = True
        fault, learned = self._backward(share, samples)
        if not fault and not self._local.are_finite:
            fault = "its gradient is not finite"
        faults = _sum_of(1 if fault else 0)
        gradients = [value.grad for value in self.module.parameters() if value.grad is not None]
        finite = faults == 0 and math.isfinite(nn.utils.get_total_norm(gradients).item())
        return _Gradients(samples, fault, faults > 0, finite, learned)

    def _backward(self, share: _Share | None, samples: float) -> tuple[str, Learned | None]:
        """Add this rank's gradient to the others'; return what is wrong with it, and its measures.

        Whatever is wrong, it takes part in the adding up, for which the others wait.
        """
        self.module.train()
        self.optimizer.zero_grad()
        fault = ""
        if share is not None:
            try:
                with arithmetic(self.precision):
                    logits = self._parallel(share.features) + self.slots.bias
            except ValueError as error:  # batch normalization of one single value per channel
                fault, share = str(error).splitlines()[0], None
        if share is None:
            (0.0 * self._parallel(self._nothing).sum()).backward()
            return fault, None
        losses = nn.functional.cross_entropy(logits, share.labels, reduction="none")
        (losses.sum() / samples).backward()  # type: ignore[no-untyped-call]
        if not torch.isfinite(losses).all():
            return "its loss is not finite", None
        if not all(torch.isfinite(buffer).all() for buffer in self.module.buffers()):
            return "its running statistics are not finite", None
        correct = (logits[: share.new].argmax(dim=1) == share.labels[: share.new]).sum().item()
        return "", Learned(losses[: share.new].mean().item(), correct / share.new)

    @torch.no_grad()
    def _merge_statistics(
        self, before: Sequence[Tensor], share: _Share | None, samples: float
    ) -> None:
        """Move every rank's statistics by the mean of all moves; those that stay, stay exactly."""
        weight = len(share.labels) / samples if share else 0.0
        pairs = zip(self.module.buffers(), before, strict=True)
        floats = [(buffer, old) for buffer, old in pairs if buffer.is_floating_point()]
        if not floats:
            return
        moves = torch.cat([(buffer - old).flatten() for buffer, old in floats]) * weight
        dist.all_reduce(moves)
        sizes = [old.numel() for _, old in floats]
        for (buffer, old), move in zip(floats, torch.split(moves, sizes), strict=True):
            buffer.copy_(old + move.reshape(old.shape))

    def _restore(self, before: Sequence[Tensor]) -> None:
        for buffer, old in zip(self.module.buffers(), before, strict=True):
            buffer.copy_(old)


class _LocalGradients:
    """Whether this rank's gradients were finite before the others' were added."""

    are_finite = True


def _add_up(
    local: _LocalGradients,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    gradients = bucket.buffer()
    local.are_finite &= bool(torch.isfinite(gradients).all())
    work = dist.all_reduce(gradients, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def _sum_of(number: float) -> float:
    total = torch.tensor([number], dtype=torch.float64)
    dist.all_reduce(total)
    return total.item()


def _share_of(new: Labelled, replayed: Sequence[Labelled]) -> _Share:
    features, labels = join((new, *replayed))
    return _Share(features, labels, new=len(new.labels))
