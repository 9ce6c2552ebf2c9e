"""The benchmarks run, whatever they measure; their targets are no business of the tests."""

from pathlib import Path

import pytest
from hiertk_protocol.bundle import Bundle

from benchmarks.cli import BENCHMARKS
from benchmarks.figures import Figure, at_least, at_most, interleave
from benchmarks.machine import this_machine
from benchmarks.page import write_page
from benchmarks.results import Result, Results, read_results, write_results
from benchmarks.workplace import Workplace


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_gives_figures(name: str, resnet18_bundle: Bundle, tmp_path: Path) -> None:
    told: list[str] = []
    place = Workplace(tmp_path, resnet18_bundle, "tiny", told.append)
    figures: list[Figure] = BENCHMARKS[name].measure(place)
    assert figures
    assert told
    # An exit that has not been measured yet when a tiny outage begins is told as 0.
    least = 0 if name in {"crowd", "outage"} else 1e-9
    assert all(value >= least for figure in figures for value in figure.samples)
    assert name in {"bottleneck", "crowd", "growth", "memory_parts", "outage"} or any(
        figure.target for figure in figures
    )


def test_verdicts_say_by_how_much_a_target_is_missed() -> None:
    assert at_most(1.5).verdict(1.5) == "met"
    assert at_most(1.5).verdict(1.8) == "missed by 20%"
    assert at_least(100).verdict(100) == "met"
    assert at_least(100).verdict(75) == "missed by 25%"


def test_measurements_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def measuring(name: str, value: float) -> float:
        calls.append(name)
        return value

    works = [lambda: measuring("a", 1.0), lambda: measuring("b", 2.0)]
    assert interleave(works, 2) == [[1.0, 1.0], [2.0, 2.0]]
    assert calls == ["a", "b"] * 3


def test_the_page_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    old = _result("codec", 100.0)
    write_results(tmp_path / "kept.json", Results(results={"codec": old}))
    kept = read_results(tmp_path / "kept.json").with_newer([_result("cloud", 200.0)])
    write_page(tmp_path / "page.md", kept, ["codec", "cloud"])
    page = (tmp_path / "page.md").read_text()
    assert "| codec speed | at least 150 MB/s | 100 MB/s | **missed by 33%** |" in page
    assert "| cloud speed | at least 150 MB/s | 200 MB/s | met |" in page


def _result(name: str, value: float) -> Result:
    figure = Figure(what=f"{name} speed", unit="MB/s", samples=(value,), target=at_least(150))
    return Result(
        name=name,
        title=name,
        how="",
        date="2026-01-01",
        seconds=1.0,
        machine=this_machine(),
        figures=(figure,),
    )
