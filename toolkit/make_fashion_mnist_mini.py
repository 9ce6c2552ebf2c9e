"""Make the shipped subset of Fashion-MNIST: the first 600 and 100 images of each class.

Run: python toolkit/make_fashion_mnist_mini.py FOLDER_OF_THE_FOUR_GZ_FILES
"""

import gzip
import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent / "hiertk" / "data" / "fashion-mnist-mini"
PER_CLASS = {"train": 600, "t10k": 100}
CLASSES = 10


def balanced(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Return the indices of the first `per_class` images of each class, in order."""
    chosen = [np.flatnonzero(labels == label)[:per_class] for label in range(CLASSES)]
    return np.sort(np.concatenate(chosen))


def write(path: Path, header: bytes, count: int, data: np.ndarray) -> None:
    """Write one IDX file as gzip: magic, count, the rest of the header, the data."""
    content = header[:4] + count.to_bytes(4, "big") + header[8:] + data.tobytes()
    path.write_bytes(gzip.compress(content, 9, mtime=0))


def main() -> None:
    source = Path(sys.argv[1])
    TARGET.mkdir(parents=True, exist_ok=True)
    for part, per_class in PER_CLASS.items():
        names = (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        images, labels = (gzip.decompress((source / name).read_bytes()) for name in names)
        slots = np.frombuffer(labels, np.uint8, offset=8)
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(len(slots), -1)
        chosen = balanced(slots, per_class)
        write(TARGET / names[0], images[:16], len(chosen), pixels[chosen])
        write(TARGET / names[1], labels[:8], len(chosen), slots[chosen])


if __name__ == "__main__":
    main()
