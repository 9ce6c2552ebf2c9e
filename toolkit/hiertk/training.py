"""The method as reference, in PyTorch: hierarchical training, and full-cloud training beside it.

Everything that runs on devices and in the cloud is compared with this.
Source: Sepehri et al., Hierarchical Training of Deep Neural Networks Using Early Exiting, 2024.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from hiertk_protocol.codec import dequantize, quantize
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from hiertk.models import EdgeModel


@dataclass(frozen=True)
class Losses:
    """Mean cross entropy over a batch at both exits, nats."""

    early: float
    final: float


@dataclass(frozen=True)
class Accuracies:
    """Share of right predictions at both exits, 0 to 1."""

    early: float
    final: float


@dataclass
class HierarchicalTraining:
    """Two partitions, two losses, two optimizers, and no gradient across the cut.

    class_bias: (class slots,) float32, added at both exits. bits: 8 or 4 to send features through
    the codec, None to send them as they are.
    """

    edge: EdgeModel
    cloud: nn.Module
    edge_optimizer: Optimizer
    cloud_optimizer: Optimizer
    class_bias: Tensor
    bits: int | None = None

    def step(self, images: Tensor, labels: Tensor) -> Losses:
        """Train both partitions on one batch: images (N, 3, S, S), labels (N,) int64."""
        early, features = self.edge_step(images, labels)
        return Losses(early, self.cloud_step(self.send(features), labels))

    def edge_step(self, images: Tensor, labels: Tensor) -> tuple[float, Tensor]:
        """Train the edge partition from its exit; return the loss and the features (detached)."""
        self.edge.train()
        logits, features = self.edge(images, self.class_bias)
        loss = cross_entropy(logits, labels)
        update(self.edge_optimizer, loss)
        return loss.item(), features.detach()

    def send(self, features: Tensor) -> Tensor:
        """Return the features as the cloud receives them."""
        if self.bits is None:
            return features
        sent = dequantize(quantize(features.cpu().numpy(), self.bits))
        return torch.from_numpy(sent).to(features.device)

    def cloud_step(self, features: Tensor, labels: Tensor) -> float:
        """Train the cloud partition from the final exit; return the loss."""
        self.cloud.train()
        loss = cross_entropy(self.cloud(features) + self.class_bias, labels)
        update(self.cloud_optimizer, loss)
        return loss.item()

    @torch.no_grad()
    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracies:
        """Measure both exits with running statistics."""
        self.edge.eval()
        self.cloud.eval()
        early = final = count = 0
        for images, labels in batches:
            early_logits, features = self.edge(images, self.class_bias)
            final_logits = self.cloud(self.send(features)) + self.class_bias
            early += int((early_logits.argmax(1) == labels).sum())
            final += int((final_logits.argmax(1) == labels).sum())
            count += len(labels)
        return Accuracies(early / count, final / count)


@dataclass
class FullCloudTraining:
    """The baseline: the whole network trained in one place from its final exit."""

    model: nn.Module
    optimizer: Optimizer
    class_bias: Tensor

    def step(self, images: Tensor, labels: Tensor) -> float:
        """Train on one batch and return the loss."""
        self.model.train()
        loss = cross_entropy(self.model(images) + self.class_bias, labels)
        update(self.optimizer, loss)
        return loss.item()

    @torch.no_grad()
    def evaluate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Return the share of right predictions with running statistics."""
        self.model.eval()
        right = count = 0
        for images, labels in batches:
            right += int(((self.model(images) + self.class_bias).argmax(1) == labels).sum())
            count += len(labels)
        return right / count


def update(optimizer: Optimizer, loss: Tensor) -> None:
    """Take one optimizer step down the gradient of a loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
