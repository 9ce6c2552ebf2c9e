"""What the demo measures: both exits on the new class and on the old ones, over time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """How many of the test images each exit names rightly. final: None if the cloud was away."""

    early: float
    final: float | None


@dataclass(frozen=True)
class Point:
    """Both exits at one moment.

    seconds: since the class was named. examples: labelled images of it shown so far. new, old: on
    test images of the new class, and of all others.
    """

    seconds: float
    examples: int
    edge_step: int
    cloud_step: int
    new: Share
    old: Share


@dataclass(frozen=True)
class Learned:
    """When an exit first named more than half of the new class's test images rightly."""

    seconds: float
    examples: int


@dataclass(frozen=True)
class NewClassResults:
    """One run. before: both exits before the class was named."""

    new_class: str
    old_classes: tuple[str, ...]
    test_images: int
    before: Point
    points: tuple[Point, ...]
    early: Learned | None
    final: Learned | None
    broker: str
    deployment: str


def first_majority(points: tuple[Point, ...], *, final: bool) -> Learned | None:
    """Return when an exit's share of the new class was first above one half."""
    for point in points:
        share = point.new.final if final else point.new.early
        if share is not None and share > 0.5:
            return Learned(point.seconds, point.examples)
    return None
