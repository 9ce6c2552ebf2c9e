"""Which profiles a plan takes, and which it refuses."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import planner_parts as parts
import pytest
from hiertk.planner import shipped
from hiertk.planner.profiles import missing_points, open_profiles
from hiertk.planner.settings import PlanSettings
from hiertk_edge.engines.ort_engine import VERSION
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.profile_file import write_profile


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the shipped profiles."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setattr(shipped, "_FOLDER", folder)
    return folder


def asked(**changes: Any) -> PlanSettings:
    values: dict[str, Any] = {"model": "resnet18", "link": parts.THREE_G}
    return PlanSettings(**(values | changes))


def test_without_profiles_the_shipped_ones_are_taken(shelf: Path) -> None:
    write_profile(shelf / "resnet18-32-edge.toml", parts.edge_profile())
    write_profile(shelf / "resnet18-32-cloud.toml", parts.cloud_profile())
    opened = open_profiles(asked())
    assert opened.edge_is_shipped
    assert opened.cloud_is_shipped
    assert opened.edge_path.name == "resnet18-32-edge.toml"


def test_the_stem_is_part_of_a_shipped_profiles_name(shelf: Path) -> None:
    (shelf / "resnet18-3x3-64-cloud.toml").touch()
    found = shipped.shipped_profile("resnet18", "3x3", 64, "cloud")
    assert found == shelf / "resnet18-3x3-64-cloud.toml"
    assert shipped.shipped_profile("resnet18", "torchvision", 64, "cloud") is None


@pytest.mark.parametrize("name", ["../secret", "timm:resnet18", "my.package:factory", ""])
def test_nothing_is_shipped_for_a_users_own_network(shelf: Path, name: str) -> None:
    (shelf / f"{Path(name).name}-32-edge.toml").touch()
    assert shipped.shipped_profile(name, "torchvision", 32, "edge") is None


def test_a_given_profile_goes_before_the_shipped_one(shelf: Path, tmp_path: Path) -> None:
    write_profile(shelf / "resnet18-32-cloud.toml", parts.cloud_profile())
    mine = tmp_path / "mine.toml"
    write_profile(mine, parts.edge_profile(prepare_ms=7))
    opened = open_profiles(asked(edge_profile=mine))
    assert opened.edge.prepare_ms == 7
    assert not opened.edge_is_shipped
    assert opened.cloud_is_shipped


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "hiertk profile --model resnet18 --input-size 32 --role edge --out edge.toml"),
        ({"input_size": 64, "stem": "3x3"}, "--input-size 64 --stem 3x3 --role edge"),
        ({"normalization": "group", "bottleneck": 8}, "--normalization group --bottleneck 8"),
    ],
)
def test_where_none_is_shipped_the_error_says_how_to_measure_one(
    shelf: Path, changes: dict[str, Any], command: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_profiles(asked(**changes))
    assert command in str(caught.value)
    assert "--edge-profile" in str(caught.value)


def test_a_shipped_profile_is_not_taken_for_another_normalization(shelf: Path) -> None:
    write_profile(shelf / "resnet18-32-edge.toml", parts.edge_profile())
    with pytest.raises(ConfigError, match="no edge profile is shipped"):
        open_profiles(asked(normalization="frozen"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "vgg16"}, "network.name is resnet18, the plan is for vgg16"),
        ({"stem": "3x3"}, "network.stem is torchvision, the plan is for 3x3"),
        ({"normalization": "group"}, "network.normalization is batch, the plan is for group"),
        ({"bottleneck": 16}, "network.bottleneck is none, the plan is for 16"),
        ({"input_size": 64}, "network.input_size is 32, the plan is for 64"),
        ({"backend": "executorch"}, "engine.backend is onnxruntime, the plan is for executorch"),
    ],
)
def test_a_profile_of_anything_else_is_refused_by_the_field(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_profiles(parts.settings(tmp_path, **changes))
    line = str(caught.value)
    assert line.startswith(str(tmp_path / "edge.toml"))
    assert words in line
    assert "hiertk profile" in line
    assert "\n" not in line


def test_a_profile_of_another_engine_version_is_refused(tmp_path: Path) -> None:
    old = parts.edge_profile(engine=parts.engine("onnxruntime", "1.18.0"))
    paths = parts.write_profiles(tmp_path, edge=old)
    with pytest.raises(ConfigError, match=rf"engine.version is 1.18.0, .* {VERSION}"):
        open_profiles(asked(**paths))


def test_a_cloud_that_does_not_train_with_torch_is_refused(tmp_path: Path) -> None:
    other = parts.cloud_profile(engine=parts.engine("executorch", "1"))
    with pytest.raises(ConfigError, match=r"cloud.toml: engine.backend is executorch"):
        open_profiles(asked(**parts.write_profiles(tmp_path, cloud=other)))


def test_swapped_profiles_are_refused(tmp_path: Path) -> None:
    paths = parts.write_profiles(tmp_path)
    swapped = {
        "edge_profile": paths["cloud_profile"],
        "cloud_profile": paths["edge_profile"],
    }
    with pytest.raises(ConfigError, match=r"cloud\.toml"):
        open_profiles(asked(**swapped))


def test_a_missing_profile_is_one_line(tmp_path: Path) -> None:
    paths = parts.write_profiles(tmp_path)
    paths["cloud_profile"].unlink()
    with pytest.raises(ConfigError, match=r"cloud\.toml: No such file"):
        open_profiles(asked(**paths))


def test_another_torch_or_number_of_slots_is_only_a_warning(tmp_path: Path) -> None:
    warned = open_profiles(parts.settings(tmp_path, slots=32)).warnings
    assert [line.partition(" ")[2] for line in warned] == [
        "was measured with 16 class slots, the plan is for 32",
        "was measured with 16 class slots, the plan is for 32",
        f"was measured with torch 2.0.0, installed is {version('torch').partition('+')[0]}",
    ]
    same = parts.cloud_profile(engine=parts.engine("torch", version("torch")))
    paths = parts.write_profiles(tmp_path, cloud=same)
    assert open_profiles(asked(**paths)).warnings == ()


def test_profiles_of_two_numberings_are_refused(tmp_path: Path) -> None:
    edge = parts.edge_profile()
    first = edge.points[0].model_copy(update={"module": "stem"})
    other = edge.model_copy(update={"points": (first, *edge.points[1:])})
    with pytest.raises(ConfigError, match=r"point 1 is after layer1.0, in the edge .* after stem"):
        open_profiles(asked(**parts.write_profiles(tmp_path, edge=other)))


def test_points_that_a_profile_lacks_are_told(tmp_path: Path) -> None:
    edge = parts.edge_profile()
    few = edge.model_copy(update={"points": edge.points[2:5]})
    opened = open_profiles(asked(**parts.write_profiles(tmp_path, edge=few)))
    (line,) = missing_points(opened)
    assert line.endswith("edge.toml lacks separation points 1, 2, 6, 7, 8: not planned over")
