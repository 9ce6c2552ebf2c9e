"""Profiles: written and read again alike, refused with one line when damaged, and in between."""

from contextlib import suppress
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.machine_info import processor_of, this_machine
from hiertk_protocol.profile import (
    CloudPoint,
    CloudProfile,
    EdgePoint,
    EdgeProfile,
    NetworkInfo,
    StepTime,
    TrainingEngine,
    Wire,
    step_at,
)
from hiertk_protocol.profile_file import (
    prepare_output,
    read_cloud_profile,
    read_edge_profile,
    write_profile,
)
from hiertk_protocol.toml_file import MAX_TOML_BYTES
from hypothesis import given
from hypothesis import strategies as st

NETWORK = NetworkInfo(
    name="resnet18",
    stem="torchvision",
    normalization="batch",
    input_size=32,
    slots=16,
    split_count=8,
)
STEPS = (
    StepTime(samples=8, forward_ms=4.5, backward_ms=10.25, optimizer_ms=0.5),
    StepTime(samples=32, forward_ms=16.5, backward_ms=40.25, optimizer_ms=0.25),
)
WIRES = tuple(
    Wire(
        bits=bits,
        samples=32,
        messages=1,
        bytes=10_000 * bits,
        quantize_ms=0.5,
        compress_ms=0.25,
        handover_ms=1.5,
    )
    for bits in (8, 4)
)
COMMON: dict[str, Any] = {
    "hiertk_version": "0.1.0",
    "measured_on": date(2024, 2, 29),
    "images": "fashion-mnist-mini",
    "machine": this_machine(),
    "network": NETWORK,
}
EDGE = EdgeProfile(
    **COMMON,
    engine=TrainingEngine(backend="onnxruntime", version="1.19.2", threads=1),
    prepare_ms=0.25,
    points=tuple(
        EdgePoint(
            split=split,
            module="layer",
            feature_shape=(64, 8, 8),
            edge_parameters=10**5,
            cloud_parameters=10**7,
            steps=STEPS,
            wire=WIRES,
            peak_memory_bytes=10**8,
        )
        for split in (1, 4)
    ),
)
CLOUD = CloudProfile(
    **COMMON,
    engine=TrainingEngine(backend="torch", version="2.15.0+cpu", threads=2),
    points=tuple(
        CloudPoint(split=split, module="", steps=STEPS, receive_ms=1.5) for split in (0, 4)
    ),
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_profile(tmp_path / "edge.toml", EDGE)
    return tmp_path / "edge.toml"


def test_a_profile_comes_back_as_it_was(tmp_path: Path, written: Path) -> None:
    assert read_edge_profile(written) == EDGE
    write_profile(written, CLOUD)
    assert read_cloud_profile(written) == CLOUD
    assert [path.name for path in tmp_path.iterdir()] == ["edge.toml"]


def test_a_bottleneck_comes_back_too(written: Path) -> None:
    narrow = EDGE.model_copy(update={"network": NETWORK.model_copy(update={"bottleneck": 4})})
    write_profile(written, narrow)
    assert read_edge_profile(written) == narrow


def test_the_other_role_is_named(tmp_path: Path, written: Path) -> None:
    with pytest.raises(ConfigError, match=r"a profile of the edge, where one of the cloud"):
        read_cloud_profile(written)
    write_profile(tmp_path / "cloud.toml", CLOUD)
    with pytest.raises(ConfigError, match=r"cloud\.toml: a profile of the cloud.*--role edge"):
        read_edge_profile(tmp_path / "cloud.toml")


def test_another_version_is_named(written: Path) -> None:
    text = written.read_text().replace("profile_version = 1", "profile_version = 2")
    written.write_text(text)
    with pytest.raises(ConfigError, match=r"profile version 2 is not 1: measure it again with"):
        read_edge_profile(written)


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('role = "edge"', 'role = "phone"', "role"),
        ("profile_version = 1", 'profile_version = "1"', "profile_version"),
        ("prepare_ms = 0.25", "prepare_ms = nan", "prepare_ms"),
        ("prepare_ms = 0.25", "prepare_ms = -0.25", "prepare_ms"),
        ("prepare_ms = 0.25\n", "", "prepare_ms"),
        ("split = 4", "split = 1", "separation points repeat or are out of order"),
        ("split = 4", "split = 0", "points.1.split"),
        ("samples = 8", "samples = 64", "the steps of separation point 1 are out of order"),
        ("bits = 4", "bits = 8", "wires of the same bits"),
        ("bits = 4", "bits = 2", "points.0.wire.1.bits"),
        ("threads = 1", "threads = 1\nspeed = 2", "engine.speed"),
        ('stem = "torchvision"', 'stem = "7x7"', "network.stem"),
        ("messages = 1", f"messages = {'9' * 5000}", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    written: Path, before: str, after: str, place: str
) -> None:
    text = written.read_text()
    assert before in text
    written.write_text(text.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        read_edge_profile(written)
    assert str(caught.value).startswith(f"{written}: not ")
    assert place in str(caught.value)
    assert "measure it again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "profile"),
        (b"\xff\xfe", "not TOML: 'utf-8'"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"#" * (MAX_TOML_BYTES + 1), "more than 1048576 bytes: not a profile"),
        (b"points = 3", "not a profile of the edge"),
        (b'role = ["edge"]', "not a profile of the edge"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "other.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_edge_profile(path)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*measure one with hiertk profile"):
        read_cloud_profile(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        read_cloud_profile(tmp_path)


def test_no_cut_off_file_is_taken_for_whole_or_raises_anything_else(written: Path) -> None:
    data = written.read_bytes()
    for length in range(0, len(data) - 1, 7):
        written.write_bytes(data[:length])
        with suppress(ConfigError):
            assert read_edge_profile(written) != EDGE


def test_output_is_prepared_or_refused_before_anything_is_measured(
    tmp_path: Path, written: Path
) -> None:
    with pytest.raises(ConfigError, match=r"edge\.toml exists: choose another with --out, or --f"):
        prepare_output(written, replace=False)
    prepare_output(written, replace=True)
    assert read_edge_profile(written) == EDGE
    with pytest.raises(ConfigError, match="is a folder"):
        prepare_output(tmp_path, replace=True)
    prepare_output(tmp_path / "new" / "deep" / "one.toml", replace=False)
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    with pytest.raises(StorageError, match="cannot write"):
        prepare_output(written / "below" / "a-file.toml", replace=False)


def test_the_machine_is_described_as_the_system_does() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_bytes > 1 << 28
    assert "Linux" in machine.system
    x86 = "processor: 0\nmodel name\t: Fast CPU\ncpu family\t: 6\nmodel\t\t: 85\nmodel name: B\n"
    assert processor_of(x86) == "Fast CPU (family 6, model 85)"
    assert processor_of("model name : ARMv7 rev 4\nFeatures : neon\n") == "ARMv7 rev 4"
    assert processor_of("Features : fp asimd\n") is None


TIMES = st.floats(0, 1e4)


@st.composite
def measured_steps(draw: st.DrawFn) -> tuple[StepTime, ...]:
    samples = sorted(draw(st.sets(st.integers(1, 4096), min_size=1, max_size=4)))
    return tuple(
        StepTime(
            samples=count,
            forward_ms=draw(TIMES),
            backward_ms=draw(TIMES),
            optimizer_ms=draw(TIMES),
        )
        for count in samples
    )


@given(measured_steps())
def test_at_a_measured_count_it_is_the_measurement(steps: tuple[StepTime, ...]) -> None:
    for step in steps:
        assert step_at(steps, step.samples).model_dump() == pytest.approx(step.model_dump())


@given(measured_steps(), st.floats(0, 1e9))
def test_no_time_is_ever_negative(steps: tuple[StepTime, ...], samples: float) -> None:
    step = step_at(steps, samples)
    assert min(step.forward_ms, step.backward_ms, step.optimizer_ms) >= 0
    assert step.samples >= 1


@given(measured_steps(), st.floats(0, 1))
def test_between_two_counts_it_lies_between_their_times(
    steps: tuple[StepTime, ...], share: float
) -> None:
    for low, high in pairwise(steps):
        step = step_at(steps, low.samples + share * (high.samples - low.samples))
        lowest, highest = sorted((low.total_ms, high.total_ms))
        slack = 1e-9 * (1 + highest)
        assert lowest - slack <= step.total_ms <= highest + slack


def test_beyond_the_counts_the_line_goes_on() -> None:
    assert step_at(STEPS, 56).forward_ms == pytest.approx(28.5)
    assert step_at(STEPS, 80).optimizer_ms == 0  # it fell from 0.5 to 0.25, and stays possible


def test_a_single_count_is_taken_as_proportional_but_for_the_optimizer() -> None:
    step = step_at(STEPS[1:], 8)
    assert (step.forward_ms, step.backward_ms) == pytest.approx((16.5 / 4, 40.25 / 4))
    assert step.optimizer_ms == 0.25
