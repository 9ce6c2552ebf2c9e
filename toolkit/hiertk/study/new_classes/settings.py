"""How large the study of new classes is."""

from dataclasses import dataclass

from hiertk_protocol.errors import ConfigError
from hiertk_protocol.manifest import Backend

MARKS = (5, 20, 35, 50, 75, 100)  # labelled examples of a new class at which it is measured


@dataclass(frozen=True)
class StudySize:
    """What is trained and measured.

    base_images, new_images: of each class that is learned first, and of each that follows; each is
    new to the device once. memory_bytes: the device's bound for rehearsal. test_images: of each
    class; None for all.
    """

    base_classes: int = 6
    base_images: int = 500
    new_images: int = 200
    memory_bytes: int = 4 << 20
    test_images: int | None = 500
    seeds: tuple[int, ...] = (0, 1, 2)
    splits: tuple[int, ...] = (2, 4)
    spot_checks: tuple[Backend, ...] = ("onnxruntime", "executorch")


FULL = StudySize()
QUICK = StudySize(
    base_images=300,
    new_images=150,
    test_images=100,
    seeds=(0,),
    splits=(4,),
    spot_checks=(),
)


@dataclass(frozen=True)
class StudySettings:
    """One study. learning_rate: of the cloud; the device's is the bundle's."""

    size: StudySize
    data: str = "fashion-mnist"
    model: str = "resnet18"
    input_size: int = 32
    bits: int = 4
    learning_rate: float = 1e-3

    def check(self) -> None:
        """Refuse what cannot be run. Raises ConfigError."""
        if not self.size.seeds or not self.size.splits:
            raise ConfigError("a study needs a seed and a separation point at least")
