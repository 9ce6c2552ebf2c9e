"""Labelled features to train on, and which of a batch's samples are of a class that there is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from hiertk_protocol.codec import Quantized
from hiertk_protocol.messages import Batch, SlotArray

from hiertk_cloud.classes.history import NO_CLASS

# Labels and predictions of a batch as slots of the trainer's version of the class map.
Reading = Callable[[Batch, SlotArray], SlotArray]


class Labelled(Protocol):
    """What a step takes. features: quantized (N, C, H, W). labels: (N,) int64 class slots."""

    @property
    def features(self) -> Quantized: ...

    @property
    def labels(self) -> SlotArray: ...


@dataclass(frozen=True)
class Samples:
    """Some samples, as a step takes them."""

    features: Quantized
    labels: SlotArray


@dataclass(frozen=True)
class KnownSamples(Samples):
    """The samples of a batch whose classes have slots. rows: which of the batch's, (N,) int64."""

    rows: npt.NDArray[np.int64]


def known_samples(batch: Batch, read: Reading) -> KnownSamples:
    """Return what is left of a batch without the samples that have no class.

    Raises ProtocolError for a version of the class map that was never made.
    """
    labels = read(batch, batch.labels)
    rows = np.flatnonzero(labels != NO_CLASS)
    if len(rows) == len(labels):
        return KnownSamples(batch.features, labels, rows)
    return KnownSamples(batch.features.take(rows.tolist()), labels[rows], rows)
