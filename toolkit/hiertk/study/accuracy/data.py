"""The images of a study of accuracy."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from hiertk.data import load
from hiertk.study.accuracy.settings import AccuracySettings
from hiertk.study.images import Images, read_images, some_of

_HELD_OUT = 10  # one training image in so many tunes the rates, and is not trained on meanwhile


@dataclass(frozen=True)
class Data:
    """The images of a study."""

    train: Images
    test: Images
    classes: int

    def digest(self) -> str:
        """Return what tells these images from others, SHA-256: a set's name does not."""
        found = sha256()
        for images in (self.train, self.test):
            found.update(np.ascontiguousarray(images.pixels).data)
            found.update(images.slots.data)
        return found.hexdigest()

    def for_tuning(self) -> "Data":
        """Return training images alone: those to tune rates with, and those to measure them."""
        numbers = range(len(self.train))
        return Data(
            train=self.train.take([one for one in numbers if one % _HELD_OUT]),
            test=self.train.take([one for one in numbers if one % _HELD_OUT == 0]),
            classes=self.classes,
        )


def read_data(settings: AccuracySettings) -> Data:
    """Read as many images as the study takes, drawn evenly. Raises ConfigError."""
    train, test = load(settings.data, "train"), load(settings.data, "test")
    return Data(
        train=some_of(read_images(train, settings.input_size, None), settings.images),
        test=some_of(read_images(test, settings.input_size, None), settings.test_images),
        classes=len(train.classes),
    )
