"""A set of labelled images, and its images as a network's inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from hiertk_edge.images import preprocess
from hiertk_protocol.manifest import InputInfo
from PIL import Image

if TYPE_CHECKING:
    import torch


class LabelledImages(Protocol):
    """What torchvision's data sets have in common."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


@dataclass(frozen=True)
class ImageSet:
    """Labelled images; `classes[label]` is a label's name, without slashes."""

    name: str
    classes: tuple[str, ...]
    items: LabelledImages

    def __len__(self) -> int:
        return len(self.items)

    def tensors(
        self, indices: Sequence[int] | npt.NDArray[np.int64], info: InputInfo
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return images (N, 3, S, S) float32 as the network sees them, and labels (N,) int64."""
        import torch

        pairs = [self.items[int(index)] for index in indices]
        images = np.stack([preprocess(image, info) for image, _ in pairs])
        return torch.from_numpy(images), torch.tensor([label for _, label in pairs])
