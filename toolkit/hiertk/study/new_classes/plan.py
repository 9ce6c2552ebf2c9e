"""What a seed decides: the order of the classes, and the images that are trained on."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hiertk_protocol.errors import ConfigError

from hiertk.study.images import Images
from hiertk.study.new_classes.settings import StudySize


@dataclass(frozen=True)
class Course:
    """What a seed decides: the classes' order, and the images that are trained on.

    order: the data set's labels; a class's slot is its place in it. base: of the classes learned
    first, shuffled. new: class by class, of those that follow. all_at_once: all of them, shuffled.
    """

    order: tuple[int, ...]
    base: tuple[int, ...]
    new: tuple[tuple[int, ...], ...]
    all_at_once: tuple[int, ...]

    def in_slots(self, images: Images) -> Images:
        """Return images with class slots in place of the data set's labels."""
        return Images(images.pixels, np.argsort(self.order)[images.slots])


def plan_course(train: Images, size: StudySize, seed: int) -> Course:
    """Draw the classes' order and the images of a seed; seed 0 keeps the data set's own order.

    Raises ConfigError if there are too few images.
    """
    generator = np.random.default_rng([seed, 0])
    classes = int(train.slots.max()) + 1
    order = list(range(classes)) if seed == 0 else generator.permutation(classes).tolist()
    drawn = {
        slot: generator.permutation(np.flatnonzero(train.slots == slot)) for slot in range(classes)
    }
    fewest = min(map(len, drawn.values()))
    if fewest < max(size.base_images, size.new_images) or classes <= size.base_classes:
        raise ConfigError(
            f"the study needs more than {size.base_classes} classes with "
            f"{max(size.base_images, size.new_images)} images each, there are {classes} with "
            f"{fewest}: choose another --data or size"
        )
    first, later = order[: size.base_classes], order[size.base_classes :]
    base = np.concatenate([drawn[slot][: size.base_images] for slot in first])
    new = [drawn[slot][: size.new_images] for slot in later]
    return Course(
        order=tuple(order),
        base=tuple(generator.permutation(base).tolist()),
        new=tuple(tuple(numbers.tolist()) for numbers in new),
        all_at_once=tuple(generator.permutation(np.concatenate([base, *new])).tolist()),
    )


def lessons(count: int, most: int, marks: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """Cut a stream of so many images into lessons of at most so many: (start, stop) of each.

    A lesson ends at each mark, where something is to be measured; between marks they are even.
    """
    stops = sorted({mark for mark in marks if 0 < mark < count} | {0, count})
    found = []
    for begin, end in pairwise(stops):
        parts = -(-(end - begin) // most)
        edges = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        found += list(pairwise(edges))
    return found
