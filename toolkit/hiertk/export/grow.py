"""Growing: the next bundle of a deployment, the same but for more class slots.

It starts from the old bundle's weights. What devices and cloud learned since then is in their state
folders, and they bring it along themselves when they start with the grown bundle.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.weights import ReadableLearner
from hiertk_protocol.bundle import CLOUD_WEIGHTS, REHEARSAL, SIGNATURE, Bundle
from hiertk_protocol.errors import BundleError, ConfigError, ModelError
from hiertk_protocol.files import atomic_folder
from hiertk_protocol.manifest import MAX_ANCESTORS, MAX_CLASSES, Ancestor, ClassInfo, Manifest
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hiertk.export.backends import RULES
from hiertk.export.job import Exported, Progress, write_cloud, write_edge, write_zip
from hiertk.models import (
    CutSpec,
    NetworkSpec,
    Sides,
    both_sides,
    open_network,
    parameter_count,
)


@dataclass(frozen=True)
class GrowSettings:
    """One growing. out: None for the bundle's name and the slots, in the current folder.

    factory: the one `package.module:factory` that the bundle may name, since it is run.
    """

    class_capacity: int
    out: Path | None = None
    factory: str | None = None
    zip: bool = False
    force: bool = False
    seed: int = 0

    def folder(self, bundle: Bundle) -> Path:
        """Where the grown bundle goes."""
        return self.out or Path(f"{bundle.folder.resolve().name}-{self.class_capacity}")

    def check(self, bundle: Bundle) -> None:
        """Refuse what cannot be grown, before anything is built. Raises ConfigError."""
        manifest = bundle.manifest
        held = manifest.classes.capacity
        if not held < self.class_capacity <= MAX_CLASSES:
            raise ConfigError(
                f"--class-capacity {self.class_capacity}: the bundle has {held} class slots: "
                f"give more, up to {MAX_CLASSES}"
            )
        if len(manifest.grown_from) == MAX_ANCESTORS:
            raise ConfigError(
                f"{bundle.folder} was grown {MAX_ANCESTORS} times, which is the most: export a "
                "new bundle, which is a deployment of its own"
            )
        folder = self.folder(bundle)
        if folder.resolve() == bundle.folder.resolve():
            raise ConfigError(f"--out {folder} is the bundle itself: choose another folder")
        if folder.exists() and not self.force:
            raise ConfigError(
                f"{folder} exists: choose another folder with --out, or --force to replace it"
            )


def grow_bundle(
    bundle: Bundle, settings: GrowSettings, progress: Progress = lambda _: None
) -> Exported:
    """Write a bundle with more class slots; nothing is written unless every check passes.

    Raises ConfigError, BundleError, ModelError, ExportError or ParityError.
    """
    settings.check(bundle)
    progress("building the network")
    torch.manual_seed(settings.seed)
    capacity = settings.class_capacity
    spec = _cut_spec(bundle.manifest, capacity)
    network = open_network(spec.network, trusted_factory=settings.factory)
    sides = both_sides(network, spec)
    _take_weights(sides, bundle)
    draft = _draft(bundle.manifest, sides, capacity)
    target = settings.folder(bundle)
    with atomic_folder(target, replace=settings.force) as folder:
        write_cloud(sides.cloud, spec, folder)
        _take_rehearsal_along(bundle, folder)
        manifest = write_edge(sides.edge, draft, folder, progress)
    return Exported(
        bundle=Bundle(target, manifest),
        archive=write_zip(target) if settings.zip else None,
        notes=_notes(bundle),
    )


def _take_rehearsal_along(bundle: Bundle, folder: Path) -> None:
    if REHEARSAL in bundle.manifest.files:  # its slots are those of the grown bundle, too
        (folder / REHEARSAL).parent.mkdir()
        shutil.copyfile(bundle.path(REHEARSAL), folder / REHEARSAL)


def _cut_spec(manifest: Manifest, capacity: int) -> CutSpec:
    model = manifest.model
    network = NetworkSpec(
        name=model.name,
        slots=capacity,
        input_size=manifest.input.size,
        stem=model.stem,
        normalization=model.normalization,
    )
    return CutSpec(network, model.split, model.bottleneck)


def _draft(old: Manifest, sides: Sides, capacity: int) -> Manifest:
    """Return the grown bundle's manifest, without files and checks yet."""
    ancestor = Ancestor(bundle_id=old.bundle_id.hex(), class_capacity=old.classes.capacity)
    return old.model_copy(
        update={
            "model": old.model.model_copy(
                update={"cloud_parameters": parameter_count(sides.cloud)}
            ),
            "classes": ClassInfo(names=old.classes.names, capacity=capacity),
            "grown_from": (*old.grown_from, ancestor),
            "engine": old.engine.model_copy(update={"version": RULES[old.engine.backend].version}),
            "parity": (),
            "files": {},
        }
    )


def _take_weights(sides: Sides, bundle: Bundle) -> None:
    """Give both sides the bundle's weights; rows of new slots stay as they were built."""
    capacity = bundle.manifest.classes.capacity
    learner = open_learner(bundle)
    assert isinstance(learner, ReadableLearner), "all three backends are"
    edge = {name: torch.from_numpy(value) for name, value in learner.parameters().items()}
    path = bundle.path(CLOUD_WEIGHTS)
    try:
        cloud: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"{path}: {error}: export the bundle again") from error
    _load(sides.edge, edge, capacity)
    _load(sides.cloud, cloud, capacity)


def _load(module: nn.Module, weights: dict[str, Tensor], capacity: int) -> None:
    own = module.state_dict()
    for name, value in weights.items():
        if name not in own:
            raise ModelError(f"{name} of the bundle is not in the network: was it changed?")
        own[name] = _with_new_rows(name, value, own[name], capacity)
    module.load_state_dict(own)


def _with_new_rows(name: str, held: Tensor, built: Tensor, capacity: int) -> Tensor:
    if held.shape == built.shape:
        return held
    if held.dim() == 0 or len(held) != capacity or held.shape[1:] != built.shape[1:]:
        raise ModelError(
            f"{name} is {tuple(held.shape)} in the bundle, {tuple(built.shape)} in the network: "
            "only layers with one row for each class slot can grow"
        )
    return torch.cat([held, built[capacity:]])


def _notes(old: Bundle) -> tuple[str, ...]:
    if not (old.folder / SIGNATURE).exists():
        return ()
    return ("the old bundle was signed, and this is another one: sign it, too (hiertk sign)",)
