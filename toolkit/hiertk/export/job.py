"""The export itself: build, cut, write, check, and only then put in place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hiertk_protocol.bundle import (
    CLOUD_MODULE,
    CLOUD_WEIGHTS,
    MANIFEST,
    Bundle,
    describe_file,
    zip_bundle,
)
from hiertk_protocol.files import atomic_file, atomic_folder
from hiertk_protocol.manifest import (
    EngineInfo,
    FeatureInfo,
    Manifest,
    ModelInfo,
)
from safetensors.torch import save_file
from torch import nn

from hiertk.export.backends import RULES, write_artifacts
from hiertk.export.golden import write_golden
from hiertk.export.parity import check_parity
from hiertk.export.rehearsal import RehearsalImages, choose_images
from hiertk.export.settings import ExportSettings
from hiertk.export.uplink import advise
from hiertk.models import (
    CutSpec,
    Cuttable,
    EdgeModel,
    Sides,
    both_sides,
    describe_cloud,
    load_weights,
    open_network,
    parameter_count,
)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A finished export: the bundle, where its zip is, and what the user should know.

    rehearsal: the images that it takes along.
    """

    bundle: Bundle
    archive: Path | None
    notes: tuple[str, ...]
    rehearsal: RehearsalImages | None = None


def export_bundle(settings: ExportSettings, progress: Progress = lambda _: None) -> Exported:
    """Export a bundle; nothing is written unless every check passes.

    Raises ConfigError, ModelError, ExportError or ParityError.
    """
    settings.check()
    rehearsal = _choose_rehearsal(settings, progress)
    network, notes = open_for_export(settings, progress)
    sides = both_sides(network, settings.spec)
    draft = draft_manifest(settings, network, sides)
    notes += advise(network, draft) + _lacking(settings, rehearsal)
    with atomic_folder(settings.folder, replace=settings.force) as folder:
        write_cloud(sides.cloud, settings.spec, folder)
        if rehearsal is not None:
            rehearsal.write(folder)
        manifest = write_edge(sides.edge, draft, folder, progress)
    return Exported(
        bundle=Bundle(settings.folder, manifest),
        archive=write_zip(settings.folder) if settings.zip else None,
        notes=tuple(notes),
        rehearsal=rehearsal,
    )


def _choose_rehearsal(settings: ExportSettings, progress: Progress) -> RehearsalImages | None:
    if settings.rehearsal is None:
        return None
    progress("choosing images to take along")
    return choose_images(settings.rehearsal, settings.classes, settings.input_info, settings.seed)


def _lacking(settings: ExportSettings, rehearsal: RehearsalImages | None) -> list[str]:
    if settings.rehearsal is None or rehearsal is None:
        return []
    lacking = rehearsal.lacking(settings.classes, settings.rehearsal.per_class)
    if not lacking:
        return []
    names = f"{', '.join(lacking[:5])}{' and others' if len(lacking) > 5 else ''}"
    wanted = settings.rehearsal
    return [f"{wanted.data} has fewer than {wanted.per_class} training images of {names}"]


def open_for_export(settings: ExportSettings, progress: Progress) -> tuple[Cuttable, list[str]]:
    """Build the network with its weights; return it with what the user should know.

    Raises ModelError.
    """
    progress("building the network")
    torch.manual_seed(settings.seed)
    network = open_network(settings.spec.network, trusted_factory=settings.model)
    notes = [] if settings.weights is None else _load_weights(network, settings.weights)
    if settings.normalization == "frozen" and settings.weights is None:
        notes.append(
            "frozen statistics of an untrained network are no statistics: start from --weights"
        )
    return network, notes


def write_edge(edge: EdgeModel, draft: Manifest, folder: Path, progress: Progress) -> Manifest:
    """Write the device's part and the manifest beside what is in `folder`, if it proves equal.

    Raises ExportError or ParityError.
    """
    progress("writing the training artifacts")
    write_artifacts(edge, draft, folder)
    tolerances = write_golden(edge, draft, folder)
    progress("checking them against PyTorch")
    unchecked = draft.model_copy(update={"files": _files(folder)})
    parity = check_parity(Bundle(folder, unchecked), edge, tolerances)
    manifest = unchecked.model_copy(update={"parity": parity})
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def draft_manifest(settings: ExportSettings, network: Cuttable, sides: Sides) -> Manifest:
    """Return the manifest of a cut, without files and checks yet."""
    point = network.point(settings.split)
    backend = settings.chosen_backend
    return Manifest(
        target=settings.target,
        model=ModelInfo(
            name=settings.model,
            split=settings.split,
            split_count=len(network.points),
            split_module=point.name,
            stem=settings.spec.network.stem,
            edge_parameters=parameter_count(sides.edge.partition),
            cloud_parameters=parameter_count(sides.cloud),
            normalization=settings.spec.network.normalization,
            bottleneck=settings.bottleneck,
        ),
        input=settings.input_info,
        features=FeatureInfo(shape=sides.feature_shape, bits=settings.bits),
        classes=settings.class_info(),
        optimizer=settings.optimizer_info(),
        engine=EngineInfo(
            backend=backend, version=RULES[backend].version, batch_size=settings.batch_size
        ),
        parity=(),
        files={},
    )


def _load_weights(network: Cuttable, weights: Path) -> list[str]:
    left = load_weights(network, weights)
    if not left:
        return []
    return [f"{weights} has another number of classes: {', '.join(left)} start untrained"]


def write_cloud(cloud: nn.Module, spec: CutSpec, folder: Path) -> None:
    """Write the cloud partition: its weights, and how to rebuild it."""
    (folder / CLOUD_WEIGHTS).parent.mkdir()
    weights = {name: value.contiguous() for name, value in cloud.state_dict().items()}
    save_file(weights, folder / CLOUD_WEIGHTS)
    (folder / CLOUD_MODULE).write_text(describe_cloud(spec).model_dump_json(indent=2) + "\n")


def _files(folder: Path) -> dict[str, "object"]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): describe_file(path) for path in paths}


def write_zip(folder: Path) -> Path:
    """Write a bundle as one zip beside its folder, and return where. Raises StorageError."""
    target = folder.with_name(f"{folder.name}.zip")
    with atomic_file(target) as temporary:
        zip_bundle(folder, temporary)
    return target
