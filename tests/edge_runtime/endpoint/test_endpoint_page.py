"""What docs/endpoint.md shows, run; and the endpoint's own page in a real browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from edge_runtime.endpoint.camera_parts import with_video
from edge_runtime.endpoint.endpoint_parts import Serving, image_of
from hiertk_edge.endpoint.bodies import BODY_S, MAX_IMAGE_BYTES
from hiertk_edge.endpoint.serving import MAX_CONNECTIONS, SILENCE_S
from hiertk_edge.endpoint.work import MAX_PIXELS
from mqtt_client import wait_until
from pages import shell_commands
from playwright.sync_api import Browser, expect

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "endpoint.md"
PATIENCE_MS = 15_000


def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "cup.jpg").write_bytes(image_of("red", kind="JPEG"))
    lines = shell_commands(PAGE)
    told: dict[str, dict[str, object]] = {}
    with with_video(tmp_path) as served, served.client() as client:
        wait_until(lambda: client.get("/camera").status_code == 200)
        for line in (one for one in lines if one.startswith("curl ")):
            path = re.findall(r"\$URL(/[a-z/]*)", line)[0]
            given = line.replace("=cup", "=red").replace('"cup"', '"red"')
            given = given.replace("ID", str(told.get("/predictions", {}).get("id")))
            set_up = [lines[0].replace("http://127.0.0.1:8765", served.endpoint.address), lines[1]]
            done = subprocess.run(
                ["bash", "-ec", "\n".join([*set_up, f"exec {given} -sS --fail"])],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            told[path] = json.loads(done.stdout)
        wait_until(lambda: len(served.intake.samples) > 2)
        counts = served.endpoint.counts
    assert (counts.taken, counts.predictions, counts.corrections, counts.right) == (2, 2, 1, 1)
    assert told["/predictions"]["class"] == "red"
    assert told["/camera/predictions"]["class"] == "green"
    assert told["/classes"] == {"name": "teapot", "slot": 3, "provisional": True}
    assert len(told) == 8


def test_the_limits_that_the_page_names_are_those_that_hold() -> None:
    text = PAGE.read_text()
    assert f"a body over {MAX_IMAGE_BYTES >> 20} MiB, an image over {MAX_PIXELS >> 20} Mpx" in text
    assert f"within {BODY_S:.0f} s" in text
    assert f"At most {MAX_CONNECTIONS} connections" in text
    assert f"silent for {SILENCE_S:.0f} s" in text


def test_a_person_names_something_new_and_the_image_is_its_first_example(
    served: Serving, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "it.png").write_bytes(image_of("red"))
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.endpoint.address)
    page.fill("#token", served.token_file.read_text().strip())
    page.click("text=Open")
    page.set_input_files("#file", tmp_path / "it.png")
    expect(page.locator("#class")).to_contain_text("red")
    page.fill("#new-name", "teapot")
    page.click("text=Name it")
    expect(page.locator("#note")).to_contain_text("Taken as teapot.")
    expect(page.locator("#classes button").last).to_have_text("teapot (new)")
    expect(page.locator("#new-name")).to_have_value("")
    page.fill("#new-name", "kettle")
    page.click("text=Name it")
    expect(page.locator("#note")).to_contain_text("all 4 class slots are taken")
    assert served.intake.labels() == ["teapot"]
    page.close()


def test_a_person_drops_an_image_sees_the_answer_and_names_it(
    served: Serving, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "it.png").write_bytes(image_of("red"))
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: set[str] = set()
    faults: list[str] = []
    page.on("request", lambda request: asked.add(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(served.endpoint.address)

    page.fill("#token", "wrong")
    page.click("text=Open")
    expect(page.locator("#note")).to_contain_text("token is missing or wrong")
    expect(page.locator("#content")).to_be_hidden()
    page.fill("#token", served.token_file.read_text().strip())
    page.click("text=Open")
    expect(page.locator("#content")).to_be_visible()
    expect(page.locator("#look")).to_be_hidden()

    page.set_input_files("#file", tmp_path / "it.png")
    expect(page.locator("#class")).to_contain_text("red")
    assert page.evaluate("document.getElementById('shown').naturalWidth") == 40
    page.click("#classes >> text=green")
    expect(page.locator("#note")).to_contain_text("Taken as green. Right so far: 0 % of 1.")
    assert served.intake.labels() == ["green"]
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no"})
    expect(page.locator("#note")).to_contain_text("no image")
    page.close()
    assert faults == []
    assert all(one.startswith((served.endpoint.address, "blob:", "data:")) for one in asked)
