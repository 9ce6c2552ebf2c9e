"""The benchmarks of the phone's modules run; their targets are no business of the tests."""

from pathlib import Path

import pytest
from hiertk_protocol.bundle import Bundle

from benchmarks.cli import OF_THE_PHONE
from benchmarks.workplace import Workplace


@pytest.mark.android
@pytest.mark.parametrize("name", OF_THE_PHONE)
def test_each_benchmark_gives_figures(name: str, resnet18_bundle: Bundle, tmp_path: Path) -> None:
    told: list[str] = []
    figures = OF_THE_PHONE[name].measure(Workplace(tmp_path, resnet18_bundle, "tiny", told.append))
    assert told
    assert any(figure.target for figure in figures)
    assert all(value > 0 for figure in figures for value in figure.samples)
