"""Checking a bundle on the device itself: the reference's first steps, on the device's engine."""

import numpy as np
from hiertk_protocol.bundle import GOLDEN, Bundle
from hiertk_protocol.errors import BundleError, ParityError
from hiertk_protocol.manifest import ParityCheck
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hiertk_edge.engines.backends import open_learner
from hiertk_edge.learner import Float32Array, Learner, SlotArray


class GoldenSteps:
    """The bundle's golden vectors.

    images: (steps, N, 3, S, S) float32. labels: (steps, N) int64. losses: (steps,) float32.
    features: (N, C, H, W) and logits: (N, class slots) float32 of the first step. The tolerances
    are the export's: what rounding alone does to this network, and some more.
    """

    images: Float32Array
    labels: SlotArray
    losses: Float32Array
    features: Float32Array
    logits: Float32Array
    feature_tolerance: float
    first_loss_tolerance: float
    later_loss_tolerance: float

    def __init__(self, bundle: Bundle) -> None:
        path = bundle.path(GOLDEN)
        try:
            tensors = load_file(path)
            self.images = tensors["images"]
            self.labels = tensors["labels"]
            self.losses = tensors["losses"]
            self.features = tensors["features"]
            self.logits = tensors["logits"]
            tolerances = tensors["tolerances"].tolist()
            self.feature_tolerance, self.first_loss_tolerance, self.later_loss_tolerance = (
                tolerances
            )
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise BundleError(f"{path}: {error}: export the bundle again") from error


def verify_golden(bundle: Bundle) -> list[ParityCheck]:
    """Run the golden steps through the bundle's own engine and compare.

    Raises ParityError, naming the first check that fails.
    """
    checks = compare_steps(open_learner(bundle), GoldenSteps(bundle))
    require(checks)
    return checks


def compare_steps(learner: Learner, golden: GoldenSteps) -> list[ParityCheck]:
    """Train a fresh learner on the golden batches and compare with the reference."""
    checks = []
    for index, (images, labels) in enumerate(zip(golden.images, golden.labels, strict=True)):
        result = learner.step(images, labels)
        if index == 0:
            checks = [
                compare(
                    "features of step 0", result.features, golden.features, golden.feature_tolerance
                ),
                compare("logits of step 0", result.logits, golden.logits, golden.feature_tolerance),
            ]
        tolerance = golden.later_loss_tolerance if index else golden.first_loss_tolerance
        loss = np.array(result.loss, np.float32)
        checks.append(compare(f"loss of step {index}", loss, golden.losses[index], tolerance))
    return checks


def compare(what: str, got: Float32Array, wanted: Float32Array, tolerance: float) -> ParityCheck:
    """Return the largest difference, relative to 1 where values are larger than 1."""
    if got.shape != wanted.shape:
        raise ParityError(f"{what}: shape {got.shape}, the reference has {wanted.shape}")
    difference = np.abs(got - wanted) / np.maximum(np.abs(wanted), 1)
    return ParityCheck(what=what, worst=finite(float(difference.max())), tolerance=tolerance)


def finite(difference: float) -> float:
    """Return a difference as a manifest can hold it: NaN and infinity as the largest number."""
    return difference if np.isfinite(difference) else float(np.finfo(np.float32).max)


def require(checks: list[ParityCheck]) -> None:
    """Raise ParityError for the first check beyond its tolerance."""
    for check in checks:
        if check.worst > check.tolerance:
            where = f" at {check.where}" if check.where else ""
            raise ParityError(
                f"{check.what}{where} differs from the PyTorch reference by {check.worst:.2g}, "
                f"allowed is {check.tolerance:.2g}: do not deploy this bundle"
            )
