"""`hiertk-cloud classes`: on the state folder's file, for people and for programs."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cloud_service.classes.class_parts import confirm, open_registry
from hiertk_cloud.cli import app
from hiertk_protocol.errors import ConfigError
from typer.testing import CliRunner, Result

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The commands on a folder with one class more than exported, and two devices."""
    with closing(open_registry(tmp_path)) as registry:
        registry.request("boot")
        confirm(registry, **{"pi-1": 2, "pi-2": 0})

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["classes", *arguments, "--state", str(tmp_path)])

    return invoke


def json_of(result: Result) -> Any:
    assert result.exit_code == 0, result.exception
    return json.loads(result.output)


def test_the_list_says_who_has_which_slot_and_who_confirmed_it(run: Run) -> None:
    text = run().output
    for word in ("boot", "pi-1", "not confirmed", "class map 2; 4 of 8 slots have a class"):
        assert word in text
    assert "not confirmed yet by pi-2." in text
    listed = json_of(run("--json"))
    assert (listed["version"], listed["capacity"], listed["free"]) == (2, 8, [4, 5, 6, 7])
    assert listed["classes"][3] == {"slot": 3, "name": "boot", "since": 2, "aliases": []}
    assert [(one["name"], one["class_map_version"]) for one in listed["devices"]] == [
        ("pi-1", 2),
        ("pi-2", None),
    ]


def test_a_name_is_shown_as_it_is(run: Run) -> None:
    name = "[red]:boot:"
    assert f"'{name}' has slot 4 since class map 3." in run("add", name).output
    assert name in run().output


def test_each_change_says_how_the_classes_stand_and_doing_it_again_is_harmless(run: Run) -> None:
    for _ in range(2):
        assert json_of(run("merge", "cat", "--into", "dog", "--json"))["version"] == 3
    for _ in range(2):
        assert json_of(run("add", "bag", "--json"))["version"] == 4
    for done in ("'boot' is retired.", "'boot' was retired before."):
        result = run("retire", "boot")
        assert done in result.output
        assert "2 wait until every device has confirmed" in result.output
    for done in ("pi-2 is forgotten", "pi-2 is not known"):
        assert done in run("forget-device", "pi-2").output
    listed = json_of(run("--json"))
    assert listed["version"] == 5
    assert [one["name"] for one in listed["devices"]] == ["pi-1"]
    assert listed["classes"][0]["aliases"] == ["cat"]
    assert listed["waiting"] == [0, 3]


@pytest.mark.parametrize(
    "arguments",
    [
        ("merge", "hat", "--into", "dog"),
        ("merge", "dog", "--into", "hat"),
        ("retire", "hat"),
        ("add", "a\x07b"),
        ("add", ""),
    ],
)
def test_what_makes_no_sense_is_one_line_of_settings_being_wrong(
    run: Run, arguments: tuple[str, ...]
) -> None:
    error = run(*arguments).exception
    assert isinstance(error, ConfigError)
    assert "\n" not in str(error)


def test_a_folder_without_classes_is_said_to_be_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["classes", "--state", str(tmp_path / "none")])
    assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "none").exists()


def test_options_before_a_command_are_not_lost_in_silence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["classes", "--state", str(tmp_path), "retire", "boot"])
    assert result.exit_code == 2
    assert "put options behind the command" in result.output


@pytest.mark.parametrize("command", ["add", "merge", "retire", "forget-device"])
def test_each_command_teaches_with_an_example(command: str) -> None:
    text = CliRunner().invoke(app, ["classes", command, "--help"]).output
    for word in ("Example:", "--state", "--config", "--json"):
        assert word in text
