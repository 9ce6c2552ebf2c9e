"""Where the program is that a unit starts; what `install` does is tested with each service."""

import sys
from pathlib import Path

import pytest
from hiertk_protocol import errors
from hiertk_protocol.host.installation import find_program


def test_a_program_that_the_service_could_not_see_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in ("home/me/venv/bin", "opt/hiertk/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "hiertk-cloud").touch()
    monkeypatch.setattr("hiertk_protocol.host.installation._HIDDEN", (str(tmp_path / "home"),))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "home/me/venv/bin/python"))
    with pytest.raises(errors.ConfigError, match="the service cannot see"):
        find_program("hiertk-cloud", Path("/"), "hiertk[cloud]")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "opt/hiertk/bin/python"))
    assert (
        find_program("hiertk-cloud", Path("/"), "hiertk[cloud]")
        == tmp_path / "opt/hiertk/bin/hiertk-cloud"
    )
    assert find_program("hiertk-cloud", tmp_path, "hiertk[cloud]") == Path(
        "/opt/hiertk/bin/hiertk-cloud"
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(errors.ConfigError, match="is missing"):
        find_program("hiertk-cloud", Path("/"), "hiertk[cloud]")
