"""The demo of a new class, small: everything real, and both exits learn it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hiertk.demo.new_class.record import Point, Share, first_majority
from PIL import Image

SMALL = ("--limit", "640", "--epochs", "1", "--examples", "20")


@pytest.mark.slow
def test_both_exits_are_seen_to_learn_a_class_that_was_held_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hiertk", "demo", "--new-class", "--hold-back", "Bag", "--json",
         "--runs", str(tmp_path / "runs"), *SMALL],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["new_class"] == "Bag"
    assert "Bag" not in results["old_classes"]
    assert len(results["old_classes"]) == 9
    before, last = results["before"], results["points"][-1]
    assert (before["examples"], last["examples"]) == (0, 20)
    assert (before["new"]["early"], before["new"]["final"]) == (0, 0), "nobody knows its name"
    assert last["edge_step"] > before["edge_step"]
    assert max(point["new"]["early"] for point in results["points"]) > 0.5
    (run,) = (tmp_path / "runs").iterdir()
    assert json.loads((run / "results.json").read_text()) == results
    with Image.open(run / "new-class.png") as picture:
        assert picture.size[0] > 1000


def test_a_class_is_learned_when_more_than_half_of_its_images_are_named_rightly() -> None:
    def point(seconds: float, early: float, final: float | None) -> Point:
        share, old = Share(early, final), Share(1.0, 1.0)
        return Point(
            seconds=seconds, examples=int(seconds), edge_step=0, cloud_step=0, new=share, old=old
        )

    points = (point(1, 0.5, None), point(2, 0.6, 0.5), point(3, 0.4, 0.7))
    early, final = first_majority(points, final=False), first_majority(points, final=True)
    assert early is not None
    assert final is not None
    assert (early.seconds, early.examples, final.seconds) == (2, 2, 3)
    assert first_majority(points[:1], final=True) is None
