"""A short campaign; `make test-faults` runs a long one."""

from pathlib import Path

import pytest
from faults.campaign import run_campaign
from hiertk.brokers import find_mosquitto


@pytest.mark.slow
def test_faults_lose_nothing_and_train_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    lines: list[str] = []
    found = run_campaign(tmp_path, 20, 8, lines.append)
    assert found.wrong == ()
    assert found.put > 100
    assert lines[-1].endswith("nothing lost, nothing twice")
