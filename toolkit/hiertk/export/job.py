"""The export itself: build, cut, write, check, and only then put in place."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hiertk_edge.ort_engine import VERSION
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
    InputInfo,
    Manifest,
    ModelInfo,
    OptimizerInfo,
)
from safetensors.torch import save_file
from torch import nn

from hiertk.export.golden import write_golden
from hiertk.export.ort_artifacts import write_ort_artifacts
from hiertk.export.parity import check_parity
from hiertk.export.settings import ExportSettings
from hiertk.export.uplink import advise
from hiertk.models import (
    CloudModule,
    EdgeModel,
    Partitions,
    build,
    cut,
    load_weights,
    separation_point,
    separation_points,
)
from hiertk.models.networks import feature_shape, parameter_count

# What torchvision's published weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A finished export: the bundle, where its zip is, and what the user should know."""

    bundle: Bundle
    archive: Path | None
    notes: tuple[str, ...]


def export_bundle(settings: ExportSettings, progress: Progress = lambda _: None) -> Exported:
    """Export a bundle; nothing is written unless every check passes.

    Raises ConfigError, ModelError, ExportError or ParityError.
    """
    settings.check()
    progress("building the network")
    torch.manual_seed(settings.seed)
    model = build(settings.spec)
    module_name = separation_point(settings.model, model, settings.split)
    notes = _load_weights(model, settings.weights)
    partitions = cut(model, module_name)
    shape = feature_shape(partitions.edge, settings.input_size)
    edge = EdgeModel(partitions.edge, shape[0], settings.spec.slots)
    draft = _draft_manifest(settings, model, partitions, module_name, shape)
    advice = advise(model, draft)
    if advice is not None:
        notes.append(advice)

    with atomic_folder(settings.folder, replace=settings.force) as folder:
        progress("writing the training artifacts")
        write_ort_artifacts(
            copy.deepcopy(edge), settings.input_size, settings.spec.slots, draft.optimizer, folder
        )
        _write_cloud(partitions.cloud, settings, folder)
        write_golden(copy.deepcopy(edge), draft.input, draft.classes, draft.optimizer, folder)
        progress("checking them against PyTorch")
        unchecked = draft.model_copy(update={"files": _files(folder)})
        parity = check_parity(Bundle(folder, unchecked), edge)
        manifest = unchecked.model_copy(update={"parity": parity})
        (folder / MANIFEST).write_bytes(manifest.to_json())
    return Exported(
        bundle=Bundle(settings.folder, manifest),
        archive=_write_zip(settings.folder) if settings.zip else None,
        notes=tuple(notes),
    )


def _load_weights(model: nn.Module, weights: Path | None) -> list[str]:
    if weights is None:
        return []
    left = load_weights(model, weights)
    if not left:
        return []
    return [f"{weights} has another number of classes: {', '.join(left)} start untrained"]


def _draft_manifest(
    settings: ExportSettings,
    model: nn.Module,
    partitions: Partitions,
    module_name: str,
    shape: tuple[int, int, int],
) -> Manifest:
    return Manifest(
        target=settings.target,
        model=ModelInfo(
            name=settings.model,
            split=settings.split,
            split_count=len(separation_points(settings.model, model)),
            split_module=module_name,
            stem=settings.stem,
            edge_parameters=parameter_count(partitions.edge),
            cloud_parameters=parameter_count(partitions.cloud),
        ),
        input=InputInfo(size=settings.input_size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        features=FeatureInfo(shape=shape, bits=settings.bits),
        classes=settings.class_info(),
        optimizer=OptimizerInfo(),
        engine=EngineInfo(
            backend=settings.backend, version=VERSION, batch_size=settings.batch_size
        ),
        parity=(),
        files={},
    )


def _write_cloud(partition: nn.Module, settings: ExportSettings, folder: Path) -> None:
    (folder / CLOUD_WEIGHTS).parent.mkdir()
    weights = {name: value.contiguous() for name, value in partition.state_dict().items()}
    save_file(weights, folder / CLOUD_WEIGHTS)
    module = CloudModule(
        network=settings.model,
        slots=settings.spec.slots,
        input_size=settings.input_size,
        stem=settings.spec.stem,
        split=settings.split,
    )
    (folder / CLOUD_MODULE).write_text(module.model_dump_json(indent=2) + "\n")


def _files(folder: Path) -> dict[str, "object"]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): describe_file(path) for path in paths}


def _write_zip(folder: Path) -> Path:
    target = folder.with_name(f"{folder.name}.zip")
    with atomic_file(target) as temporary:
        zip_bundle(folder, temporary)
    return target
