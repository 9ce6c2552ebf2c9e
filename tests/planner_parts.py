"""Profiles and cuts by plain arithmetic, for tests of the planner; no machine was measured."""

from datetime import date
from pathlib import Path
from typing import Any

from hiertk.planner.prediction import Scenario
from hiertk.planner.runtime_model import Link
from hiertk.planner.settings import PlanSettings
from hiertk_edge.engines.ort_engine import VERSION
from hiertk_protocol.profile import (
    CloudPoint,
    CloudProfile,
    EdgePoint,
    EdgeProfile,
    MachineInfo,
    NetworkInfo,
    StepTime,
    TrainingEngine,
    Wire,
)
from hiertk_protocol.profile_file import write_profile

SIZE = 32
RAW_BYTES = 3 * SIZE * SIZE
BATCH = 32
THREE_G = Link(up_bits_per_s=1.1e6, down_bits_per_s=1.1e6, round_trip_s=0.06)

# ResNet-18 at 32x32: module, channels, height and width, parameters of its block.
_BLOCKS = (
    ("layer1.0", 64, 8, 74_000),
    ("layer1.1", 64, 8, 74_000),
    ("layer2.0", 128, 4, 230_000),
    ("layer2.1", 128, 4, 295_000),
    ("layer3.0", 256, 2, 919_000),
    ("layer3.1", 256, 2, 1_180_000),
    ("layer4.0", 512, 1, 3_670_000),
    ("layer4.1", 512, 1, 4_720_000),
)
_TOTAL = sum(block[3] for block in _BLOCKS)


def step(samples: int, forward: float, backward: float, optimizer: float) -> StepTime:
    return StepTime(
        samples=samples, forward_ms=forward, backward_ms=backward, optimizer_ms=optimizer
    )


def wire(bits: Any, size: int, *, samples: int = BATCH, messages: int = 1) -> Wire:
    return Wire(
        bits=bits,
        samples=samples,
        messages=messages,
        bytes=size,
        quantize_ms=0.4,
        compress_ms=0.5,
        handover_ms=1.5,
    )


def steps(unit: float, optimizer: float) -> tuple[StepTime, ...]:
    """Time per step that grows with the samples: forward `unit` ms for 8, backward twice that."""
    return tuple(step(8 * k, unit * k, 2 * unit * k, optimizer) for k in (1, 2, 4, 8))


def edge_point(
    split: int, module: str, shape: tuple[int, int, int], edge: int, cloud: int
) -> EdgePoint:
    channels, height, width = shape
    packed = channels * height * width * BATCH
    return EdgePoint(
        split=split,
        module=module,
        feature_shape=shape,
        edge_parameters=edge,
        cloud_parameters=cloud,
        steps=steps(2.0 * split, edge / 1e6),
        wire=(wire(8, round(packed / 1.3)), wire(4, round(packed / 2 / 1.4))),
        peak_memory_bytes=90_000_000 + 5_000_000 * split + 16 * edge,
    )


def edge_points() -> tuple[EdgePoint, ...]:
    made = []
    edge = 0
    for split, (module, channels, side, parameters) in enumerate(_BLOCKS, start=1):
        edge += parameters
        made.append(edge_point(split, module, (channels, side, side), edge, _TOTAL - edge))
    return tuple(made)


def network(**changes: Any) -> NetworkInfo:
    values: dict[str, Any] = {
        "name": "resnet18",
        "stem": "torchvision",
        "normalization": "batch",
        "input_size": SIZE,
        "slots": 16,
        "split_count": len(_BLOCKS),
    }
    return NetworkInfo(**(values | changes))


def engine(backend: Any, version: str) -> TrainingEngine:
    return TrainingEngine(backend=backend, version=version, threads=1)


_COMMON: dict[str, Any] = {
    "hiertk_version": "0",
    "measured_on": date(2000, 1, 1),
    "images": "none",
    "machine": MachineInfo(processor="a made-up one", cores=1, memory_bytes=1, system="none"),
}


def edge_profile(**changes: Any) -> EdgeProfile:
    values: dict[str, Any] = {
        "network": network(),
        "engine": engine("onnxruntime", VERSION),
        "prepare_ms": 0.2,
        "points": edge_points(),
    }
    return EdgeProfile(**(_COMMON | values | changes))


def cloud_profile(**changes: Any) -> CloudProfile:
    points = [CloudPoint(split=0, module="whole", steps=steps(4.0, 4.0), receive_ms=0.0)]
    points += [
        CloudPoint(
            split=cut.split,
            module=cut.module,
            steps=steps(0.45 * (9 - cut.split), cut.cloud_parameters / 3e6),
            receive_ms=0.5,
        )
        for cut in edge_points()
    ]
    values: dict[str, Any] = {
        "network": network(),
        "engine": engine("torch", "2.0.0+cpu"),
        "points": tuple(points),
    }
    return CloudProfile(**(_COMMON | values | changes))


def scenario(**changes: Any) -> Scenario:
    values: dict[str, Any] = {
        "edge": edge_profile(),
        "cloud": cloud_profile(),
        "link": THREE_G,
        "batch_size": BATCH,
    }
    return Scenario(**(values | changes))


def write_profiles(
    folder: Path, edge: EdgeProfile | None = None, cloud: CloudProfile | None = None
) -> dict[str, Path]:
    """Write both profiles; return the settings that name them."""
    paths = {"edge_profile": folder / "edge.toml", "cloud_profile": folder / "cloud.toml"}
    write_profile(paths["edge_profile"], edge or edge_profile())
    write_profile(paths["cloud_profile"], cloud or cloud_profile())
    return paths


def settings(folder: Path, **changes: Any) -> PlanSettings:
    values: dict[str, Any] = {"model": "resnet18", "link": THREE_G, **write_profiles(folder)}
    return PlanSettings(**(values | changes))
