"""What the cells of a study work on: images, bundles and first weights, made once in its folder."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from hiertk.data import load, write_image_folder
from hiertk.export import ExportSettings, export_bundle
from hiertk.export.optimizer import OptimizerFlags
from hiertk.models import NetworkSpec, open_network
from hiertk.study.images import Images, drawn, read_images, some_of
from hiertk.study.runtime.records import Cut
from hiertk.study.runtime.settings import RuntimeSettings


class Materials:
    """Makes what is missing in a folder, and finds it there again."""

    def __init__(self, settings: RuntimeSettings, folder: Path) -> None:
        """Raises ConfigError if there is no such data set, or it is too small."""
        self._settings = settings
        self._folder = folder
        self._train = load(settings.data, "train")
        self.classes = self._train.classes
        self._chosen = drawn(len(self._train), settings.images)

    @property
    def spec(self) -> NetworkSpec:
        """The network, with an output for each class."""
        settings = self._settings
        return NetworkSpec(settings.model, len(self.classes), settings.input_size)

    def images(self) -> Path:
        """Return the folder of the device's images."""
        folder = self._folder / "images"
        if not folder.exists():
            write_image_folder(self._train, self._chosen, folder)
        return folder

    def test_images(self) -> Images:
        """Return the images that accuracy is measured on."""
        settings = self._settings
        images = read_images(load(settings.data, "test"), settings.input_size, None)
        return some_of(images, settings.test_images)

    def bundle(self, cut: Cut) -> Path:
        """Return the bundle of a cut."""
        folder = self._folder / f"bundle-{cut.name.replace(':', '-')}"
        if not folder.exists():
            settings = self._settings
            export_bundle(
                ExportSettings(
                    model=settings.model,
                    split=cut.split,
                    target="linux",
                    classes=self.classes,
                    backend=settings.backend,
                    optimizer=OptimizerFlags("adamw", settings.rate),
                    class_capacity=len(self.classes),
                    input_size=settings.input_size,
                    batch_size=settings.batch_size,
                    bits=cut.bits,
                    bottleneck=cut.bottleneck,
                    out=folder,
                    seed=settings.seed,
                )
            )
        return folder

    def edge_weights(self, split: int) -> Path:
        """Return what the edge partition of split learning begins with."""
        path = self._folder / f"edge-{split}.safetensors"
        if not path.exists():
            torch.manual_seed(self._settings.seed)
            weights = open_network(self.spec).cut(split).edge.state_dict()
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(weights, path)
        return path
