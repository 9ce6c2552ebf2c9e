"""Finding the two profiles of a plan, and refusing those of anything else."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hiertk_edge.engines.ort_engine import VERSION
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.profile import CloudProfile, EdgeProfile
from hiertk_protocol.profile_file import read_cloud_profile, read_edge_profile

from hiertk.planner.settings import PlanSettings
from hiertk.planner.shipped import Role, shipped_profile

_ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Profiles:
    """The profiles of a plan, where they are from, and what to know about them."""

    edge: EdgeProfile
    cloud: CloudProfile
    edge_path: Path
    cloud_path: Path
    edge_is_shipped: bool
    cloud_is_shipped: bool
    warnings: tuple[str, ...]


def open_profiles(settings: PlanSettings) -> Profiles:
    """Read the given profiles, else the shipped ones, and check them. Raises ConfigError."""
    edge_path = settings.edge_profile or _shipped(settings, "edge")
    cloud_path = settings.cloud_profile or _shipped(settings, "cloud")
    edge = read_edge_profile(edge_path)
    cloud = read_cloud_profile(cloud_path)
    for path, profile in ((edge_path, edge), (cloud_path, cloud)):
        _check_network(path, profile, settings)
    _check_alike(edge, cloud, cloud_path)
    _check_edge_engine(edge_path, edge, settings)
    _check_cloud_engine(cloud_path, cloud)
    return Profiles(
        edge=edge,
        cloud=cloud,
        edge_path=edge_path,
        cloud_path=cloud_path,
        edge_is_shipped=settings.edge_profile is None,
        cloud_is_shipped=settings.cloud_profile is None,
        warnings=(
            *_slots_warning(edge_path, edge, settings),
            *_slots_warning(cloud_path, cloud, settings),
            *_torch_warning(cloud_path, cloud),
        ),
    )


def missing_points(profiles: Profiles) -> list[str]:
    """Return a line for each profile that lacks separation points of the network."""
    lines = []
    for path, profile in (
        (profiles.edge_path, profiles.edge),
        (profiles.cloud_path, profiles.cloud),
    ):
        have = {point.split for point in profile.points}
        every = range(1, profile.network.split_count + 1)
        lacking = [str(split) for split in every if split not in have]
        if lacking:
            lines.append(f"{path} lacks separation points {', '.join(lacking)}: not planned over")
    return lines


def _shipped(settings: PlanSettings, role: Role) -> Path:
    path = None
    if settings.normalization == "batch" and settings.bottleneck is None:
        path = shipped_profile(settings.model, settings.stem, settings.input_size, role)
    if path is None:
        raise ConfigError(
            f"no {role} profile is shipped for this network and input size: measure one with "
            f"{_measuring(settings, role)} and give it with --{role}-profile"
        )
    return path


def _measuring(settings: PlanSettings, role: Role) -> str:
    flags = {
        "--stem": settings.stem if settings.stem != "torchvision" else None,
        "--normalization": settings.normalization if settings.normalization != "batch" else None,
        "--bottleneck": settings.bottleneck,
    }
    more = "".join(f" {flag} {value}" for flag, value in flags.items() if value is not None)
    return (
        f"hiertk profile --model {settings.model} --input-size {settings.input_size}{more} "
        f"--role {role} --out {role}.toml"
    )


def _check_network(path: Path, profile: EdgeProfile | CloudProfile, settings: PlanSettings) -> None:
    network = profile.network
    for field, has, asked in (
        ("network.name", network.name, settings.model),
        ("network.stem", network.stem, settings.stem),
        ("network.normalization", network.normalization, settings.normalization),
        ("network.bottleneck", network.bottleneck or "none", settings.bottleneck or "none"),
        ("network.input_size", network.input_size, settings.input_size),
    ):
        if has != asked:
            raise ConfigError(
                f"{path}: {field} is {has}, the plan is for {asked}: measure one with "
                f"{_measuring(settings, profile.role)}"
            )


def _check_alike(edge: EdgeProfile, cloud: CloudProfile, cloud_path: Path) -> None:
    """Refuse profiles of two versions of a network, whose points lie at different places."""
    modules = {point.split: point.module for point in edge.points}
    for point in cloud.points:
        on_edge = modules.get(point.split, point.module)
        if on_edge != point.module:
            raise ConfigError(
                f"{cloud_path}: separation point {point.split} is after {point.module}, in the "
                f"edge profile after {on_edge}: measure both with the same version of hiertk"
            )


def _check_edge_engine(path: Path, profile: EdgeProfile, settings: PlanSettings) -> None:
    engine = profile.engine
    again = f"measure one with {_measuring(settings, 'edge')}"
    if engine.backend != settings.backend:
        raise ConfigError(
            f"{path}: engine.backend is {engine.backend}, the plan is for {settings.backend}: "
            f"{again}"
        )
    if engine.backend == _ONNXRUNTIME and engine.version != VERSION:
        raise ConfigError(
            f"{path}: engine.version is {engine.version}, devices train with {VERSION}: {again}"
        )


def _check_cloud_engine(path: Path, profile: CloudProfile) -> None:
    if profile.engine.backend != "torch":
        raise ConfigError(
            f"{path}: engine.backend is {profile.engine.backend}, the cloud trains with torch: "
            "measure one with hiertk profile --role cloud"
        )


def _slots_warning(
    path: Path, profile: EdgeProfile | CloudProfile, settings: PlanSettings
) -> list[str]:
    slots = profile.network.slots
    if slots == settings.slots:
        return []
    return [f"{path} was measured with {slots} class slots, the plan is for {settings.slots}"]


def _torch_warning(path: Path, profile: CloudProfile) -> list[str]:
    try:
        installed = _release(version("torch"))
    except PackageNotFoundError:
        return []
    measured = _release(profile.engine.version)
    if measured == installed:
        return []
    return [f"{path} was measured with torch {measured}, installed is {installed}"]


def _release(text: str) -> str:
    return text.partition("+")[0]
