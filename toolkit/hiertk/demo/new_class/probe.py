"""Asking the device about test images that it has never been shown."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hiertk.data import ImageSet
from hiertk.demo.new_class.device import DeviceEndpoint
from hiertk.demo.new_class.record import Share


@dataclass(frozen=True)
class Shown:
    """An image file and its class."""

    png: bytes
    label: str


def images_of(images: ImageSet, labels: Sequence[int], count: int) -> list[Shown]:
    """Return the first `count` images with one of these labels, classes taking turns."""
    left = {label: -(-count // len(labels)) for label in labels}
    found: list[Shown] = []
    for index in range(len(images)):
        image, label = images.items[index]
        if left.get(label, 0):
            left[label] -= 1
            found.append(Shown(png_of(image), images.classes[label]))
        if len(found) == count:
            break
    return found


def png_of(image: Image.Image) -> bytes:
    """Return the image as a PNG file's bytes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def measure(device: DeviceEndpoint, tests: Sequence[Shown]) -> Share:
    """Return how many of the test images each exit names rightly. Raises TransportError."""
    answers = [(device.ask(test.png), test.label) for test in tests]
    finals = [answer.final == label for answer, label in answers if answer.final is not None]
    return Share(
        early=float(np.mean([answer.early == label for answer, label in answers])),
        final=float(np.mean(finals)) if len(finals) == len(answers) else None,
    )
