"""The dashboard in a real browser: what it shows, of whom it asks, and what it survives."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest
from cloud_service.cloud_parts import DEVICE, MANIFEST, make_message
from cloud_service.still_view import (
    CLASSES,
    EVALUATION,
    PI_1,
    PI_2,
    StillView,
    evaluation_of,
    serving,
    snapshot_at,
)
from cloud_service.test_cloud_service import TESTS, TOPICS, device, next_status, send
from hiertk.brokers import Broker, free_port
from hiertk_cloud.api.history import History
from hiertk_cloud.views.class_state import ClassState
from hiertk_protocol.class_map import ClassMap, ClassSlot
from hiertk_protocol.hiertk_pb2 import DeviceStatus
from mqtt_client import PlainClient, wait_until
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

PATIENCE_MS = 15_000
START_S = 120.0  # torch is slow to load on a busy machine
TOKEN = "correct-horse-battery"


class Watched:
    """A page, the hosts that it asked, and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: set[str] = set()
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: self.asked.add(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def values(self) -> dict[str, str]:
        """The numbers on the page, by name."""
        found: dict[str, str] = self.page.eval_on_selector_all(
            "main data", "all => Object.fromEntries(all.map(one => [one.id, one.value]))"
        )
        return found

    def sideways(self) -> int:
        """Pixels by which the page is wider than the screen."""
        over: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return over

    def end(self, url: str, *, expected: str = "nothing") -> None:
        """Check that nobody else was asked, and that nothing but the expected went wrong."""
        assert {one for one in self.asked if not one.startswith(url)} == set()
        assert [one for one in self.complaints if expected not in one] == []


Open = Callable[..., Watched]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    contexts = []

    def open_one(
        url: str, *, width: int = 1240, scheme: str = "light", locked: bool = False
    ) -> Watched:
        context = chromium.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(url)
        if not locked:
            expect(watched.page.locator("#content")).to_be_visible(timeout=PATIENCE_MS)
        return watched

    yield open_one
    for context in contexts:
        context.close()


@contextmanager
def service_process(broker: Broker, state: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    url = f"127.0.0.1:{port}"
    with state.with_suffix(".out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, TESTS / "cloud_service/serve_api.py", broker.url, state, url],
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
    try:
        wait_until(lambda: _is_ready(port), START_S)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)


def _is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/ready").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_full_run_is_watched(mosquitto: Broker, tmp_path: Path, open_page: Open) -> None:
    port, state = free_port(), tmp_path / "state"
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as api:
        with service_process(mosquitto, state, port), device(mosquitto) as client:
            watched = open_page(str(api.base_url))
            page = watched.page
            expect(page.locator("#deployment")).to_have_text(MANIFEST.deployment)
            expect(page.locator("#state")).to_have_text("Waiting for batches")
            _play_device(client)
            next_status(client, consumed=42)
            expect(page.locator("#consumed_total")).to_have_text("42", timeout=PATIENCE_MS)
            _check_values(watched, api)
            _check_device(page, api)
            _check_confusion(page, api)
            _check_classes(page, api)
            _check_pause(page, api)
            wait_until(lambda: api.get("/api/history").json()["cloud_step"][-1:] == [40])
        # The service was killed, with its page open.
        expect(page.locator("#state")).to_have_text("Disconnected", timeout=PATIENCE_MS)
        watched.end(str(api.base_url), expected="net::ERR_")


def _play_device(client: PlainClient) -> None:
    """Send 40 batches to train on, one again, a refused one, and two held-out ones."""
    status = DeviceStatus(
        state=DeviceStatus.TRAINING,
        edge_step=1234,
        early_exit_loss=0.75,
        early_exit_accuracy=0.5,
        early_exit_held_out_accuracy=0.625,
        spool_batches=3,
        spool_bytes=45_000,
    )
    client.publish(TOPICS.status(DEVICE), status.SerializeToString(), retain=True)
    spoiled = make_message(41)
    spoiled.labels[0] = 7
    send(client, *(make_message(seq) for seq in range(1, 41)), make_message(40), spoiled)
    send(client, *(make_message(seq, held_out=True) for seq in (42, 43)))


def test_a_wrong_token_is_refused_and_the_right_one_opens(tmp_path: Path, open_page: Open) -> None:
    with serving(StillView(), tmp_path, token=TOKEN) as server:
        watched = open_page(server.url, locked=True)
        page = watched.page
        expect(page.locator("#content")).to_be_hidden()
        for token, note in (("not-this-one", "not the token"), ("nor-this", "try again")):
            page.get_by_label("asks for its token").fill(token)
            page.get_by_role("button", name="Open").click()
            expect(page.locator("#token-note")).to_contain_text(note)
            expect(page.get_by_label("asks for its token")).to_have_value("")  # it was refused
        page.get_by_label("asks for its token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        expect(page.locator("#cloud_step")).to_have_text("50", timeout=PATIENCE_MS)
        page.reload()
        expect(page.locator("#cloud_step")).to_have_text("50", timeout=PATIENCE_MS)
        assert TOKEN not in " ".join(watched.asked)
        watched.end(server.url, expected="401")


def test_two_pages_see_the_same(tmp_path: Path, open_page: Open) -> None:
    view = StillView()
    with serving(view, tmp_path) as server:
        pages = [open_page(server.url), open_page(server.url)]
        view.now = snapshot_at(51)
        for watched in pages:
            expect(watched.page.locator("#cloud_step")).to_have_text("51", timeout=PATIENCE_MS)
        assert pages[0].values() == pages[1].values()
        for watched in pages:
            watched.end(server.url)


def test_a_page_says_that_the_service_is_gone_and_finds_it_again(
    tmp_path: Path, open_page: Open
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    view = StillView()
    with serving(view, tmp_path, listen=listen) as server:
        watched = open_page(server.url)
        page = watched.page
        expect(page.locator("#cloud_step")).to_have_text("50", timeout=PATIENCE_MS)
    expect(page.locator("#state")).to_have_text("Disconnected", timeout=PATIENCE_MS)
    expect(page.locator("#notices")).to_contain_text("Trying again")
    expect(page.get_by_role("button", name="Pause training")).to_be_hidden()
    view.now = snapshot_at(60)
    with serving(view, tmp_path, listen=listen):
        expect(page.locator("#cloud_step")).to_have_text("60", timeout=PATIENCE_MS)
        expect(page.locator("#state")).to_have_text("Training")
        expect(page.locator("#notices p")).to_have_count(0)
    watched.end(server.url, expected="net::ERR_")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_fits_a_phone(tmp_path: Path, open_page: Open, scheme: str) -> None:
    long_named = PI_1.model_copy(
        update={"name": "greenhouse-" + 50 * "x", "problems": ("/mnt/" + 120 * "z",)}
    )
    classes = ClassMap(3, (*CLASSES.slots[:2], ClassSlot(4, 100 * "w", since=2)))
    view = StillView(
        all_devices=[PI_1, PI_2, long_named],
        problems=("/var/lib/" + 120 * "y",),
        class_state=ClassState(classes),
    )
    with serving(view, tmp_path) as server:
        watched = open_page(server.url, width=360, scheme=scheme)
        page = watched.page
        expect(page.locator("#devices tbody")).to_have_count(3, timeout=PATIENCE_MS)
        expect(page.locator("#classes tbody tr")).to_have_count(3, timeout=PATIENCE_MS)
        assert watched.sideways() == 0
        expect(page.locator("[data-device=pi-2] .suspect")).to_have_text("suspect")
        expect(page.locator("[data-device=pi-1] .suspect")).to_be_hidden()
        expect(page.locator("#notices")).to_contain_text("yyyy")
        expect(page.get_by_role("table", name="Devices")).to_be_visible()
        expect(page.get_by_role("rowheader", name="pi-1", exact=True)).to_be_visible()
        assert _contrast(page, "body") > 7
        for quiet in ("#bundle", "#devices td", ".suspect", "#notices p", ".problems td", ".new"):
            assert _contrast(page, quiet) >= 4.5, quiet
        watched.end(server.url)


def test_it_says_how_a_phone_is_added_and_that_this_is_not_the_place(
    tmp_path: Path, open_page: Open
) -> None:
    with serving(StillView(), tmp_path) as server:
        watched = open_page(server.url, width=360)
        page = watched.page
        command = page.locator("#pair-command")
        expect(command).to_be_hidden()
        page.get_by_text("Add a phone").click()
        expect(command).to_have_text("sudo hiertk-cloud pair phone-1 --deployment greenhouse")
        assert watched.sideways() == 0
        assert _contrast(page, "details p") >= 4.5
        watched.end(server.url)


def test_names_are_text_whatever_is_in_them(tmp_path: Path, open_page: Open) -> None:
    markup = "<img src=x onerror=alert(1)>"
    classes = ClassMap(2, (ClassSlot(0, markup), ClassSlot(1, "dog")))
    view = StillView(
        all_devices=[PI_1.model_copy(update={"name": markup, "problems": (markup,)})],
        problems=(f"{markup} is odd",),
        class_state=ClassState(classes),
    )
    with serving(view, tmp_path) as server:
        watched = open_page(server.url)
        row = watched.page.locator("#devices tbody th")
        expect(row).to_contain_text(markup, timeout=PATIENCE_MS)
        expect(watched.page.locator("#notices")).to_contain_text(markup)
        expect(watched.page.locator("#classes tbody")).to_contain_text(markup)
        expect(watched.page.locator(".problems")).to_contain_text(markup)
        assert watched.page.locator("main img").count() == 0
        watched.end(server.url)


def test_classes_show_what_both_exits_know_when_they_came_and_what_is_gone(
    tmp_path: Path, open_page: Open
) -> None:
    before = ClassMap(1, (*CLASSES.slots[:2], ClassSlot(2, "kite")))
    known = evaluation_of(
        [(0, 0, 10), (2, 2, 4)], [(0, 0, 9), (0, 1, 1), (2, 0, 4)], classes=before
    )
    with closing(History(tmp_path / "curves.sqlite", every_s=0)) as history:
        history.record(
            StillView(now=snapshot_at(20), measured=known, class_state=ClassState(before))
        )
        history.record(StillView(now=snapshot_at(50)))
    ill = PI_2.model_copy(update={"problems": ("the disk is full", "hot"), "class_map_version": 1})
    with serving(StillView(all_devices=[PI_1, ill]), tmp_path) as server:
        watched = open_page(server.url)
        page = watched.page
        rows = page.locator("#classes tbody tr")
        expect(rows).to_have_count(3, timeout=PATIENCE_MS)
        cells = rows.nth(0).locator("td").all_inner_texts()
        assert cells == ["0", "10", "900", "70.0%", "20.0 pt", "80.0%", "20.0 pt", "2"]
        expect(rows.nth(2)).to_contain_text("at cloud step 50")
        expect(rows.nth(2)).to_contain_text("also kite")
        expect(page.locator("#classes-note")).to_contain_text("not yet on 1 of 2 devices")
        expect(page.locator("#gone-classes")).to_contain_text("kite, slot 2: merged into owl")
        expect(page.get_by_role("checkbox", name="owl")).to_be_checked()
        page.get_by_role("checkbox", name="cat").check()
        legend = page.locator("figure", has=page.locator("#class-chart")).locator(".legend li")
        expect(legend).to_have_count(4)
        expect(page.locator("#class-chart")).to_have_attribute(
            "aria-label", re.compile("cat, early 70.0%, cat, final 80.0%")
        )
        page.get_by_role("radio", name="early exit").check()
        expect(page.locator("#confusion-note")).to_contain_text("early exit")
        shown = page.locator("#confusion td[data-samples]").evaluate_all(
            "all => all.map(one => Number(one.dataset.samples))"
        )
        assert shown == EVALUATION.early_exit.flatten().tolist()
        expect(page.locator("[data-device=pi-2] .problems")).to_have_text("the disk is full · hot")
        expect(page.locator("[data-device=pi-1] .problems")).to_be_hidden()
        watched.end(server.url)


def _check_values(watched: Watched, api: httpx2.Client) -> None:
    status = api.get("/api/status").json()
    shown = watched.values()
    names = status.keys() & shown.keys()
    assert len(names) > 12
    for name in names:
        assert float(shown[name]) == pytest.approx(status[name]), name
    assert shown["final_exit_held_out_accuracy"]
    assert (status["refused_total"], status["duplicates_total"]) == (1, 1)


def _check_device(page: Page, api: httpx2.Client) -> None:
    (found,) = api.get("/api/devices").json()
    row = page.locator(f"[data-device={DEVICE}]")
    expect(row).to_contain_text("training")
    cells = dict(
        zip(
            row.locator("td").evaluate_all("all => all.map(one => one.dataset.label)"),
            row.locator("td").all_inner_texts(),
            strict=True,
        )
    )
    assert cells["Edge step"] == "1,234"
    assert cells["Spool"] == "3 (45.0 kB)"
    assert cells["Left out"] == "1 refused"
    assert cells["Early exit, held out"] == f"{100 * found['early_exit_held_out_accuracy']:.1f}%"
    assert cells["Final exit, held out"] == f"{100 * found['final_exit_held_out_accuracy']:.1f}%"
    assert cells["Stored"] == f"{found['stored_bytes'] / 1000:.1f} kB"


def _check_confusion(page: Page, api: httpx2.Client) -> None:
    matrix = np.array(api.get("/api/confusion").json()["matrix"])
    assert matrix.sum() == 16
    expect(page.locator("#confusion-note")).to_contain_text("16 samples", timeout=PATIENCE_MS)
    shown = page.locator("#confusion td[data-samples]").evaluate_all(
        "all => all.map(one => Number(one.dataset.samples))"
    )
    assert shown == matrix.flatten().tolist()


def _check_classes(page: Page, api: httpx2.Client) -> None:
    classes = api.get("/api/classes").json()["classes"]
    assert [one["name"] for one in classes] == list(MANIFEST.classes.names)
    for place, one in enumerate(classes):
        row = page.locator("#classes tbody tr").nth(place)
        share = f"{100 * one['final_exit']['accuracy']:.1f}%"
        expect(row.locator("td").nth(5)).to_have_text(share, timeout=PATIENCE_MS)
    wait_until(lambda: api.get("/api/classes/0/history").json()["samples"])


def _check_pause(page: Page, api: httpx2.Client) -> None:
    page.get_by_role("button", name="Pause training").click()
    expect(page.locator("#state")).to_have_text("Paused", timeout=PATIENCE_MS)
    assert api.get("/api/status").json()["is_paused"]
    page.get_by_role("button", name="Resume training").click()
    expect(page.locator("#state")).not_to_have_text("Paused", timeout=PATIENCE_MS)
    assert not api.get("/api/status").json()["is_paused"]


def _contrast(page: Page, selector: str) -> float:
    """Contrast ratio of WCAG 2 between an element's text and what lies behind it."""
    text, behind = page.eval_on_selector(
        selector,
        """(element) => {
          let behind = element;
          const clear = (one) => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
          while (clear(behind)) behind = behind.parentElement;
          const numbers = (color) => color.match(/[0-9.]+/g).slice(0, 3).map(Number);
          return [
            numbers(getComputedStyle(element).color),
            numbers(getComputedStyle(behind).backgroundColor),
          ];
        }""",
    )
    lighter, darker = sorted((_luminance(text), _luminance(behind)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: list[float]) -> float:
    parts = np.array(color) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
