"""The plan as a whole: what it chooses, says, draws and tells programs."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import planner_parts as parts
import pytest
from hiertk.planner.accuracies import read_accuracies
from hiertk.planner.as_json import as_json
from hiertk.planner.picture import draw
from hiertk.planner.plan import choose_split, make_plan
from hiertk.planner.runtime_model import Link
from hiertk.planner.selection import Limits, select
from hiertk.planner.table import better_bits, print_plan
from hiertk.planner.words import export_command, summary
from hiertk_protocol.errors import ConfigError, StorageError
from PIL import Image

WIFI = Link(18.88e6, 18.88e6, 0.06)
TABLE = """
full = 0.914
[[points]]
split = 3
bits = 8
accuracy = 0.91
[[points]]
split = 5
bits = 4
accuracy = 0.88
[[points]]
split = 5
bits = 4
accuracy = 0.5
bottleneck = 8
"""


def test_a_slow_link_pays_and_the_words_say_where_to_cut(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path))
    assert plan.pays
    assert plan.advice == ()
    assert (plan.chosen.cut.split, plan.chosen.bits) == (5, 4)
    text = "\n".join(summary(plan))
    assert "separation point 5 of 8 (after layer3.0) at 4 bits" in text
    assert "hiertk export --model resnet18 --split 5 --bits 4 --target linux" in text
    assert "pays: 82.8 % less time" in text
    assert "with an uplink below 10.38 Mbit/s" in text


def test_a_fast_link_does_not_pay_and_the_words_say_what_would(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path, link=WIFI))
    assert not plan.pays
    text = "\n".join(summary(plan))
    assert "does not pay: 53.4 % more time" in text
    assert "- an uplink below 10.38 Mbit/s" in text
    assert "- no replay in the cloud" in text
    assert "- a device more than 2.49 times as fast" in text


def test_the_epoch_from_which_raw_images_sent_once_are_less_is_told(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path))
    epoch = plan.epochs_until_more
    assert (epoch - 1) * plan.chosen.feature_bytes <= plan.raw_bytes
    assert epoch * plan.chosen.feature_bytes > plan.raw_bytes
    assert f"from epoch {epoch} on" in summary(plan)[-1]


def test_the_export_command_repeats_what_differs_from_its_defaults(tmp_path: Path) -> None:
    edge = parts.edge_profile(network=parts.network(normalization="frozen", bottleneck=8))
    cloud = parts.cloud_profile(network=parts.network(normalization="frozen", bottleneck=8))
    asked = parts.settings(tmp_path, normalization="frozen", bottleneck=8, batch_size=16, slots=8)
    parts.write_profiles(tmp_path, edge, cloud)
    assert export_command(make_plan(asked)).endswith(
        "--target linux --batch-size 16 --normalization frozen --bottleneck 8 "
        "--class-capacity 8 --classes 8"
    )


def test_each_point_is_shown_at_bits_that_the_limits_allow(tmp_path: Path) -> None:
    limits = Limits(uplink_bytes=1000)
    plan = make_plan(parts.settings(tmp_path, limits=limits))
    shown = {row.prediction.cut.split: row for row in better_bits(plan)}
    assert sorted(shown) == list(range(1, 9))
    assert shown[3].prediction.bits == 4
    assert shown[3].why_not == ()
    assert "--max-uplink-bytes: 1.46 kB is more than 1 kB" in shown[1].why_not


def test_the_table_marks_the_choice_and_the_slowest_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_plan(make_plan(parts.settings(tmp_path)))
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    layers = [cut.module for cut in parts.edge_points()]
    shown = [line.replace(">", "").replace("!", "").split() for line in lines]
    assert [row[1] for row in shown if len(row) > 5 and row[1] in layers] == layers
    sent, takes = [line for line in lines if line.strip().startswith("> 5")]
    assert "layer3.0" in sent
    assert "129*" in takes
    assert "82.8 %" in takes
    assert max(map(len, lines[: lines.index(takes)])) <= 80
    assert "edge profile: " in printed


def test_json_has_every_point_at_every_bits_with_its_parts(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path, limits=Limits(uplink_bytes=400)))
    told = json.loads(json.dumps(as_json(plan), allow_nan=False))
    assert len(told["points"]) == 16
    for point in told["points"]:
        edge = point["edge"]
        parts_ms = [edge[f"{name}_ms"] for name in ("prepare", "forward", "backward")]
        assert sum(parts_ms) + edge["optimizer_ms"] + edge["handover_ms"] == pytest.approx(
            edge["busy_ms"]
        )
        slowest = point[point["slowest"]]["busy_ms"]
        assert point["pipeline_ms"] == pytest.approx(slowest)
        full = told["full_cloud"]["pipeline_ms"]
        assert point["reduction_percent"] == pytest.approx(100 * (1 - point["pipeline_ms"] / full))
        assert point["feasible"] == (not point["why_not"])
    assert told["chosen"]["split"] == 5
    assert told["profiles"]["edge"]["shipped"] is False
    assert told["link"]["up_bits_per_s"] == 1.1e6
    assert told["pays"] is True


def test_json_of_a_plan_that_pays_at_any_rate_has_no_infinity(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path))
    told = as_json(replace(plan, pays_below=math.inf))
    assert told["pays_at_any_uplink"] is True
    assert told["pays_below_bits_per_s"] is None
    json.dumps(told, allow_nan=False)


def test_a_picture_is_drawn_in_the_format_of_its_name(tmp_path: Path) -> None:
    draw(make_plan(parts.settings(tmp_path)), tmp_path / "plan.png")
    with Image.open(tmp_path / "plan.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
    # Bars that are too long for the picture, and points over a limit.
    draw(make_plan(parts.settings(tmp_path, link=WIFI)), tmp_path / "plan.svg")
    assert ET.parse(tmp_path / "plan.svg").getroot().tag.endswith("svg")  # noqa: S314


def test_a_picture_of_another_format_or_below_a_file_is_refused(tmp_path: Path) -> None:
    plan = make_plan(parts.settings(tmp_path))
    with pytest.raises(ConfigError, match=r"pictures are .png or .svg"):
        draw(plan, tmp_path / "plan.pdf")
    with pytest.raises(StorageError):
        draw(plan, tmp_path / "edge.toml" / "plan.png")  # below a file


def test_accuracies_limit_the_choice_and_are_told(tmp_path: Path) -> None:
    table = tmp_path / "accuracies.toml"
    table.write_text(TABLE)
    plan = make_plan(parts.settings(tmp_path, accuracies=table, limits=Limits(accuracy_drop=0.01)))
    assert (plan.chosen.cut.split, plan.chosen.bits) == (3, 8)
    accuracies = {
        (row.prediction.cut.split, row.prediction.bits): row.accuracy for row in plan.points
    }
    assert accuracies[3, 8] == 0.91
    assert accuracies[5, 4] == 0.88
    assert accuracies[5, 8] is None


def test_accuracies_are_of_one_bottleneck(tmp_path: Path) -> None:
    table = tmp_path / "accuracies.toml"
    table.write_text(TABLE)
    read = read_accuracies(table)
    assert read.of(None) == {(3, 8): 0.91, (5, 4): 0.88}
    assert read.of(8) == {(5, 4): 0.5}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "full: Field required"),
        (b"full = 91.4\npoints = []", "full: Input should be less than or equal to 1"),
        (b"full = 0.9", "points: Field required"),
        (b"full = nan", "full: "),
        (TABLE.replace("bottleneck = 8", "").encode(), "given twice"),
        (TABLE.replace("bits = 8", "bits = 7").encode(), "points.0.bits"),
        (b"full = ", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"a = " + b"[" * 50_000, "not TOML"),
        (b"#" * ((1 << 20) + 1), "more than 1048576 bytes"),
    ],
)
def test_a_table_that_is_wrong_is_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_accuracies(path)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"--accuracies {path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"bits": 6}, "--bits 6: "),
        ({"batch_size": 1}, "--batch-size 1: from 2 to 1024 images"),
        ({"input_size": 4}, "--input-size 4: "),
        ({"stem": "5x5"}, "--stem 5x5: choose from torchvision, 3x3"),
        ({"normalization": "layer"}, "--normalization layer: choose from "),
        ({"bottleneck": 0}, "--bottleneck 0: "),
        ({"replay": -1}, "--replay -1: "),
        ({"slots": 0}, "--class-capacity 0: "),
        ({"compression": 0.0}, "--compression 0: "),
        ({"compression": math.nan}, "--compression nan: "),
        ({"backend": "tflite"}, "--backend tflite: choose from "),
        ({"limits": Limits(accuracy_drop=0.1)}, "--max-accuracy-drop needs"),
    ],
)
def test_settings_that_no_plan_can_be_made_of_are_refused(
    tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        make_plan(parts.settings(tmp_path, **changes))


def test_selection_over_a_hundred_points_takes_less_than_a_second() -> None:
    edge, cloud = parts.edge_profile(), parts.cloud_profile()
    many = [
        parts.edge_point(split, f"block{split}", (64, 8, 8), split * 1000, 10**6)
        for split in range(1, 101)
    ]
    scenario = parts.scenario(
        edge=edge.model_copy(update={"points": tuple(many)}),
        cloud=cloud.model_copy(
            update={
                "points": (
                    cloud.points[0],
                    *(cloud.points[1].model_copy(update={"split": cut.split}) for cut in many),
                )
            }
        ),
    )
    from hiertk.planner.prediction import predict

    started = time.perf_counter()
    chosen = select(predict(scenario).points, Limits(), {})
    assert time.perf_counter() - started < 1
    assert chosen.cut.split == 1


def test_the_choice_for_an_export_is_the_plans(tmp_path: Path) -> None:
    asked = parts.settings(tmp_path)
    chosen = make_plan(asked).chosen
    assert choose_split(asked) == (chosen.cut.split, chosen.bits)
