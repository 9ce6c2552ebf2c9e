"""`hiertk-edge doctor`: everything that is wrong with a device at once, and what to do about it."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from edge_parts import CLASSES, write_bundle, write_images
from hiertk.brokers import Broker
from hiertk_edge.checks import machine
from hiertk_edge.commands.doctor import doctor
from mqtt_client import wait_until
from secured_broker import SecuredBroker, open_folder
from typer.testing import CliRunner

NOBODY = "mqtt://127.0.0.1:1"


class Setting:
    """A device's configuration in a folder, to be made wrong."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder = folder
        self.file = folder / "pi-1.toml"
        self.values: dict[str, Any] = {
            "bundle": bundle,
            "device": "pi-1",
            "state": folder / "state",
            "data": f"folder:{folder / 'images'}",
        }
        self.streams: list[str] = []
        self.broker = f'url = "{NOBODY}"'
        self.more = ""

    def run(self, *arguments: str) -> tuple[int, str]:
        values = [f'{key} = "{value}"' for key, value in self.values.items()]
        values.append(f"streams = {json.dumps(self.streams)}")
        self.file.write_text("\n".join([*values, "[broker]", self.broker, self.more]))
        alone = typer.Typer()
        alone.command()(doctor)
        command = ["--config", str(self.file), *arguments]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(alone, command, catch_exceptions=False)
        return result.exit_code, result.output

    def check(self, *arguments: str) -> dict[str, str]:
        """Return what was found, by what was looked at; wrong ones begin with `WRONG`."""
        code, output = self.run("--json", *arguments)
        found = json.loads(output)
        assert code == (0 if all(one["ok"] for one in found) else 3)
        return {one["what"]: ("" if one["ok"] else "WRONG ") + one["text"] for one in found}


def wrong(found: dict[str, str]) -> set[str]:
    return {what for what, text in found.items() if text.startswith("WRONG")}


def assert_says(text: str, pattern: str) -> None:
    assert re.search(pattern, text), text


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "available_mib", lambda: 4096)
    write_images(tmp_path / "images", 2)
    return Setting(tmp_path, write_bundle(tmp_path / "bundle"))


def test_all_that_works_is_said_to_work(
    setting: Setting, exported: Path, mosquitto: Broker
) -> None:
    setting.values |= {"bundle": exported, "held_out": setting.values["data"]}
    setting.broker = f'url = "{mosquitto.url}"'
    (setting.folder / "new").mkdir()
    setting.streams = [f"watch:{setting.folder / 'new'}"]
    found = setting.check()
    assert list(found) == [
        "configuration", "bundle", "clock", "engine", "memory", "temperature", "data", "held_out",
        "stream", "state folder", "free disk", "way to broker", "broker",
    ]  # fmt: skip
    assert wrong(found) == set(), found
    assert "trains as the reference does" in found["engine"]
    assert f"{2 * len(CLASSES)} images" in found["data"]
    assert not (setting.folder / "state").exists()
    assert "opens the bundle" in setting.check("--quick", "--offline")["engine"]
    code, table = setting.run("--quick")
    assert code == 0
    assert "WRONG" not in table


def test_one_wrong_thing_hides_no_other(setting: Setting) -> None:
    setting.values["state"] = setting.file / "state"
    setting.values["data"] = f"folder:{setting.folder / 'none'}"
    setting.streams = ["watch:/no/such", "watch:/no/such?then=burn"]
    setting.more = "[training]\nepochs = 0\n[care]\nmax_memory_mib = 50\n[spool]\nmax_mib = 1e9\n"
    found = setting.check("--quick", "--offline")
    assert wrong(found) == {
        "configuration", "engine", "memory", "data", "stream", "state folder", "free disk",
    }  # fmt: skip
    assert "training.epochs: should be greater" in found["configuration"]
    assert "raise it" in found["memory"]
    assert "No such file" in found["data"]
    assert "then=" in found["stream"]
    assert "lower them" in found["free disk"]
    assert "WRONG" in setting.run("--offline")[1]


def test_a_bundle_that_does_not_open_is_told_beside_the_rest(setting: Setting) -> None:
    setting.values["bundle"] = setting.folder / "none"
    found = setting.check("--offline")
    assert_says(found["bundle"], "WRONG .*neither a bundle folder")
    assert "state folder" in found
    assert "engine" not in found


def test_a_file_that_is_missing_is_the_only_line(setting: Setting) -> None:
    alone = typer.Typer()
    alone.command()(doctor)
    result = CliRunner().invoke(alone, ["--config", str(setting.folder / "none"), "--json"])
    assert result.exit_code == 3
    (one,) = json.loads(result.output)
    assert "hiertk-edge install makes one" in one["text"]


def test_the_way_to_the_broker_is_told_apart_from_the_broker(setting: Setting) -> None:
    assert_says(setting.check("--quick")["way to broker"], "WRONG .*port 1: Connection refused")
    setting.broker = 'url = "mqtt://no-such-host.invalid"'
    found = setting.check("--quick")
    assert_says(found["way to broker"], "WRONG no-such-host.invalid: .*is the name right")
    assert "broker" not in found


def test_a_clock_from_before_the_bundle_is_wrong(setting: Setting) -> None:
    later = time.time() + 86400
    os.utime(setting.values["bundle"] / "manifest.json", (later, later))
    assert_says(setting.check("--quick", "--offline")["clock"], "WRONG .*timedatectl set-ntp true")


def test_too_little_memory_is_told_before_training_takes_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_mib", lambda: 90)
    assert_says(setting.check("--quick", "--offline")["memory"], "WRONG 90 MiB available")


@pytest.mark.parametrize(
    ("degrees", "told"),
    [(float("nan"), "^no sensor"), (55.0, "^55 C, training pauses from 70"), (75.0, "WRONG 75 C")],
)
def test_the_temperature_is_read(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, degrees: float, told: str
) -> None:
    monkeypatch.setattr(machine, "hottest_c", lambda: degrees)
    setting.more = "[care]\nmax_temperature_c = 70\n"
    assert_says(setting.check("--quick", "--offline")["temperature"], told)


def test_a_camera_that_is_not_there_is_told(setting: Setting) -> None:
    setting.streams = ["camera:63"]
    assert_says(setting.check("--quick", "--offline")["stream"], "WRONG /dev/video63 is not there")


def test_a_token_that_others_can_read_is_told(setting: Setting) -> None:
    setting.more = '[endpoint]\nlisten = "127.0.0.1:0"\ntoken_file = "token"\n'
    assert "endpoint token" not in setting.check("--quick", "--offline")
    token = setting.folder / "pi-1/token"
    token.parent.mkdir()
    token.write_text("0123456789abcdef\n")
    token.chmod(0o644)
    assert_says(setting.check("--quick", "--offline")["endpoint token"], "WRONG .*chmod 600")


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBroker]:
    with open_folder() as folder, SecuredBroker(folder) as running:
        yield running


def test_what_provision_made_is_all_that_a_device_needs(
    setting: Setting, secured: SecuredBroker
) -> None:
    folder = setting.folder / "pi-1"
    secured.provision("pi-1", out=folder)
    secured.reload()
    setting.broker = (folder / "broker.toml").read_text().replace("[broker]", "")
    found = setting.check("--quick")
    assert wrong(found) == {"engine"}  # this bundle has none
    assert_says(found["certificate"], "valid until .*, 9 days")
    assert "takes the connection" in found["broker"]
    (folder / "device.key").chmod(0o644)
    found = setting.check("--quick")
    assert_says(found["certificate"], "WRONG .*others can read it")
    assert "broker" not in found


def test_a_device_that_was_revoked_is_told(setting: Setting, secured: SecuredBroker) -> None:
    folder = setting.folder / "pi-1"
    secured.provision("pi-3", out=folder)
    secured.revoke("pi-3")
    secured.reload()
    setting.broker = (folder / "broker.toml").read_text().replace("[broker]", "")
    wait_until(lambda: "is revoked: have a new one made" in setting.check("--quick")["broker"])


def test_a_password_is_read_but_never_shown(setting: Setting, secured: SecuredBroker) -> None:
    folder = setting.folder / "pi-1"
    secured.provision("pi-2", kind="password", out=folder)
    setting.broker = (folder / "broker.toml").read_text().replace("[broker]", "")
    found = setting.check("--quick", "--offline")
    assert found["broker password"] == str(folder / "password")
    assert (folder / "password").read_text().strip() not in str(found)


def test_names_beyond_the_bundles_classes_are_wrong_only_where_new_ones_are_refused(
    setting: Setting,
) -> None:
    (setting.folder / "images" / "kettle").mkdir()
    assert "kettle" in setting.check("--quick", "--offline")["data"]
    setting.more = '[classes]\nnew = "accept"\n'
    found = setting.check("--quick", "--offline")
    assert "data" not in wrong(found), found
