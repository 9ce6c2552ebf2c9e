"""Streaming linear discriminant analysis: what a classifier of fixed features gets to.

Source: Hayes and Kanan, Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis,
CVPR Workshops 2020: running class means, one shared covariance, shrinkage 1e-4.
"""

import numpy as np
import numpy.typing as npt

_SHRINKAGE = 1e-4

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
SlotArray = npt.NDArray[np.int64]


class StreamingLda:
    """Learns sample by sample; nothing but class means and one covariance is kept."""

    def __init__(self, features: int, classes: int) -> None:
        """Begin with no class known."""
        self.means = np.zeros((classes, features))
        self.counts = np.zeros(classes, np.int64)
        self._scatter = np.zeros((features, features))

    @property
    def covariance(self) -> Float64Array:
        """The shared covariance within classes, (features, features)."""
        scatter: Float64Array = self._scatter / max(1, int(self.counts.sum()))
        return scatter

    @property
    def bytes(self) -> int:
        """What it keeps, as float32."""
        return 4 * (self.means.size + self._scatter.size + self.counts.size)

    def learn(self, features: Float32Array, labels: SlotArray) -> None:
        """Take samples up: features (N, D), labels (N,). How they are grouped makes no difference.

        The scatter of a class and that of its new samples are joined exactly (Chan et al., 1979).
        """
        for label in np.unique(labels).tolist():
            samples = features[labels == label].astype(np.float64)
            mean = samples.mean(axis=0)
            centered = samples - mean
            known, new = self.counts[label], len(samples)
            apart = mean - self.means[label]
            self._scatter += centered.T @ centered
            self._scatter += np.outer(apart, apart) * (known * new / (known + new))
            self.means[label] += apart * (new / (known + new))
            self.counts[label] += new

    def predict(self, features: Float32Array) -> SlotArray:
        """Return the classes of samples (N, D), of those that were learned."""
        identity = np.eye(len(self._scatter))
        precision = np.linalg.inv((1 - _SHRINKAGE) * self.covariance + _SHRINKAGE * identity)
        weights = self.means @ precision
        scores = features @ weights.T - 0.5 * np.sum(weights * self.means, axis=1)
        scores[:, self.counts == 0] = -np.inf
        slots: SlotArray = scores.argmax(axis=1)
        return slots
