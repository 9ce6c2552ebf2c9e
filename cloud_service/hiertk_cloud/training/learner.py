"""The cloud partition while it learns: one optimizer step, or one prediction, at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hiertk_protocol.codec import Float32Array, Quantized, dequantize
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.messages import SlotArray
from torch import Tensor, nn

from hiertk_cloud.training.average import average_of, hurry
from hiertk_cloud.training.open_slots import OpenSlots
from hiertk_cloud.training.precision import Precision, arithmetic
from hiertk_cloud.training.samples import Labelled


@dataclass(frozen=True)
class Learned:
    """One step. loss: mean cross entropy, nats; accuracy: share of samples.

    Both are of the new batch, before the step.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Skipped:
    """A batch that would have done harm: parameters, optimizer and buffers are as before."""

    reason: str


class CloudLearner:
    """Trains the cloud partition with AdamW from the final exit's loss; one thread at a time.

    module: features (N, C, H, W) float32 -> logits (N, class slots), without the class bias.
    average: what predicts, the average of its newest weights. slots: which class slots are open;
    those of the export at first. precision: of training steps; predictions are made in float32.
    """

    def __init__(
        self,
        module: nn.Module,
        manifest: Manifest,
        learning_rate: float,
        precision: Precision = "float32",
    ) -> None:
        self.module = module
        self.precision = precision
        self.average = average_of(module)
        # Free class slots rely on no weight decay. The fused form measured 8 ms against 55 ms
        # (ResNet-18 after stage 2), which pays for the check of every gradient.
        self.optimizer = torch.optim.AdamW(
            module.parameters(), lr=learning_rate, weight_decay=0.0, fused=True
        )
        for parameter in module.parameters():
            # What the first step would create; a checkpoint may be due before it.
            self.optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
        self.manifest = manifest
        self.slots = OpenSlots(module, self.average, self.optimizer, manifest)

    @property
    def open_slots(self) -> tuple[int, ...]:
        """The class slots that are open, in order."""
        return self.slots.now

    def learn(
        self,
        new: Labelled,
        replayed: Sequence[Labelled] = (),
        *,
        adjustment: Float32Array | None = None,
        imprint: bool = True,
    ) -> Learned | Skipped:
        """Do one optimizer step on all samples joined, unless anything about it is not finite.

        Joined, because batch statistics then span several devices, and one large step costs less
        than several small ones. Labels whose slots are closed open them: imprinted by what the last
        linear layer sees of them, if the network has one and `imprint` says so. adjustment:
        (class slots,) float32, added to the logits in training only.
        """
        features, labels = join((new, *replayed))
        buffers = list(self.module.buffers())
        before = [buffer.clone() for buffer in buffers]
        known = self.open_slots
        close_again = self.slots.open(features, labels, imprint=imprint)
        outcome = self._step(features, labels, len(new.labels), adjustment)
        if isinstance(outcome, Skipped):
            close_again()
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
        else:
            if self.open_slots != known:
                hurry(self.average)
            self.average.update_parameters(self.module)
        return outcome

    def predict(self, features: Quantized) -> SlotArray:
        """Return the final exit's class slots (N,) int64, in inference form."""
        with torch.inference_mode():
            slots: SlotArray = self._answer(_to_tensor(features)).argmax(dim=1).numpy()
        return slots

    def probabilities(self, features: Sequence[Quantized]) -> Float32Array:
        """Return the final exit's probabilities (N, class slots) of all features joined.

        Closed slots have exactly 0. Nothing that training depends on is touched.
        """
        with torch.inference_mode():
            logits = self._answer(torch.cat([_to_tensor(one) for one in features]))
            found: Float32Array = logits.softmax(dim=1).numpy()
        return found

    def _answer(self, features: Tensor) -> Tensor:
        """Return the averaged weights' logits (N, class slots), in inference form."""
        self.average.eval()
        logits: Tensor = self.average(features) + self.slots.bias
        return logits

    def _step(
        self, features: Tensor, labels: Tensor, count: int, adjustment: Float32Array | None
    ) -> Learned | Skipped:
        """Do the step. count: how many of the samples, the first ones, are new."""
        self.module.train()
        try:
            with arithmetic(self.precision):
                logits = self.module(features) + self.slots.bias
        except ValueError as error:  # batch normalization of one single value per channel
            return Skipped(str(error).splitlines()[0])
        adjusted = logits if adjustment is None else logits + torch.from_numpy(adjustment)
        loss = nn.functional.cross_entropy(adjusted, labels)
        if not math.isfinite(loss.item()):
            return Skipped("its loss is not finite")
        if not _all_finite(list(self.module.buffers())):
            return Skipped("its running statistics are not finite")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [value.grad for value in self.module.parameters() if value.grad is not None]
        if not math.isfinite(nn.utils.get_total_norm(gradients).item()):
            return Skipped("its gradient is not finite")
        self.optimizer.step()
        own, wanted = logits[:count].detach(), labels[:count]
        correct = (own.argmax(dim=1) == wanted).sum().item()
        return Learned(nn.functional.cross_entropy(own, wanted).item(), correct / count)


def join(batches: Sequence[Labelled]) -> tuple[Tensor, Tensor]:
    """Return features (N, C, H, W) float32 and labels (N,) int64 of all of them."""
    labels = torch.cat([torch.from_numpy(batch.labels) for batch in batches])
    return torch.cat([_to_tensor(batch.features) for batch in batches]), labels


def _to_tensor(features: Quantized) -> Tensor:
    # Cloned into memory that torch aligns: MKL's last bit may depend on the alignment, and a
    # resumed run must give the same weights.
    return torch.from_numpy(dequantize(features)).clone()


def _all_finite(buffers: Sequence[Tensor]) -> bool:
    floats = [buffer.flatten() for buffer in buffers if buffer.is_floating_point()]
    return not floats or bool(torch.isfinite(torch.cat(floats)).all())
