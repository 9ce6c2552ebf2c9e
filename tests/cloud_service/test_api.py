"""The HTTP API over real connections: what it answers, to whom, and how it ends."""

import gc
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from cloud_service.still_view import (
    CHECKPOINT,
    DEPLOYMENT,
    EVALUATION,
    PI_1,
    PI_2,
    StillView,
    serving,
    snapshot_at,
)
from fastapi import APIRouter, Request
from hiertk_cloud.api import connections
from hiertk_cloud.api.events import MAX_LISTENERS
from hiertk_cloud.api.history import History
from hiertk_cloud.api.records import MAX_DEVICES_SHOWN
from hiertk_cloud.api.server import ApiServer
from hiertk_protocol.errors import ConfigError
from mqtt_client import wait_until

TOKEN = "correct-horse-battery"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
OPEN_PATHS = ("/health", "/", "/dashboard.js", "/vendor/uPlot.iife.min.js")


@pytest.fixture
def view() -> StillView:
    return StillView()


@pytest.fixture
def client(view: StillView, tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        serving(view, tmp_path) as server,
        httpx2.Client(base_url=server.url, timeout=10) as client,
    ):
        yield client


def frames(response: httpx2.Response) -> Iterator[dict[str, object]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_it_shows_what_the_view_says(client: httpx2.Client) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"is_ready": True, "reasons": []}
    assert client.get("/api/deployment").json() == DEPLOYMENT.model_dump(mode="json")
    assert client.get("/api/devices").json() == [
        one.model_dump(mode="json") for one in (PI_1, PI_2)
    ]
    assert client.get("/api/devices/pi-2").json() == PI_2.model_dump(mode="json")
    assert client.get("/api/checkpoint").json() == CHECKPOINT.model_dump(mode="json")
    status = client.get("/api/status").json()
    assert abs(status.pop("time") - time.time()) < 60
    assert status == {
        "is_ready": True,
        "is_connected": True,
        "is_paused": False,
        "problems": [],
        "cloud_step": 50,
        "step_ms": 12.5,
        "final_exit_loss": 0.4,
        "final_exit_accuracy": 0.875,
        "final_exit_held_out_accuracy": 0.85,
        "early_exit_held_out_accuracy": 0.7,
        "waiting": 3,
        "stored_total": 60,
        "acknowledged_total": 62,
        "acks_total": 30,
        "ack_wait_ms": 21.5,
        "consumed_total": 57,
        "trained_total": 50,
        "replayed_total": 0,
        "skipped_total": 1,
        "stale_total": 4,
        "left_out_total": 0,
        "refused_total": 2,
        "duplicates_total": 5,
        "dropped_total": 6,
        "predictions_answered_total": 0,
        "predictions_refused_total": 0,
        "predictions_unusable_total": 0,
        "prediction_wait_ms": None,
    }


def test_what_is_not_measured_yet_is_null(client: httpx2.Client, view: StillView) -> None:
    view.now = snapshot_at(loss=float("nan"))
    view.measured = None
    view.saved = None
    assert client.get("/api/status").json()["final_exit_loss"] is None
    assert client.get("/api/confusion").json()["matrix"] is None
    assert client.get("/api/checkpoint").json() is None
    unmeasured = {"accuracy": None, "best": None, "forgetting": None}
    assert client.get("/api/classes").json()["classes"][0]["early_exit"] == unmeasured


def test_it_names_what_it_does_not_know(client: httpx2.Client) -> None:
    unknown = client.get("/api/devices/pi-9")
    assert unknown.status_code == 404
    assert "pi-9" in unknown.json()["detail"]
    assert client.get("/api/history", params={"after": -1}).status_code == 422
    assert client.get("/../pyproject.toml").status_code == 404
    for slot in ("-1", "3", "5000", "1" + 40 * "0"):
        assert client.get(f"/api/classes/{slot}/history").status_code == 404
    assert client.get("/api/classes/0/history", params={"since": 0}).status_code == 422


def test_ready_says_why_it_is_not(client: httpx2.Client, view: StillView) -> None:
    view.is_connected = False
    view.problems = ("the disk is full",)
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the disk is full"]
    view.problems = ()
    assert client.get("/ready").json()["reasons"] == ["no connection to the broker"]
    assert client.get("/health").status_code == 200


def test_a_problem_alone_leaves_it_ready(client: httpx2.Client, view: StillView) -> None:
    view.problems = ("pi-2 is suspect",)
    assert client.get("/ready").status_code == 200
    assert client.get("/api/status").json()["problems"] == ["pi-2 is suspect"]


def test_pausing_or_resuming_twice_is_harmless(client: httpx2.Client, view: StillView) -> None:
    for path, expected in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        assert client.post(f"/api/{path}").json()["is_paused"] is expected
        assert view.is_paused is expected
    assert client.get("/api/pause").status_code in (404, 405)


def test_the_schema_is_served_and_needs_no_outside_host(client: httpx2.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/ready", "/metrics", "/api/status", "/api/events", "/api/pause"} <= paths.keys()
    assert client.get("/docs").status_code == 404
    page = client.get("/").text + client.get("/dashboard.css").text
    assert "://" not in page


def test_with_a_token_everything_but_health_and_the_page_asks_for_it(
    view: StillView, tmp_path: Path
) -> None:
    with (
        serving(view, tmp_path, token=TOKEN) as server,
        httpx2.Client(base_url=server.url, timeout=10) as client,
    ):
        paths = client.get("/openapi.json", headers=AUTHORIZED).json()["paths"]
        closed = (set(paths) - {"/health"}) | {"/openapi.json", "/nothing"}
        assert len(closed) > 12
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {TOKEN}"},
        )
        for path in closed:
            for headers in wrong:
                refused = client.request("POST", path, headers=headers)
                assert refused.status_code == 401, path
                assert refused.headers["www-authenticate"] == "Bearer"
                assert client.get(path, headers=headers).status_code == 401
        assert not view.is_paused
        for path in OPEN_PATHS:
            assert client.get(path).status_code == 200
        assert client.get("/api/status", headers=AUTHORIZED).status_code == 200
        # Whoever has the token may come by any name.
        elsewhere = {"Host": "cloud.example", **AUTHORIZED}
        assert client.get("/api/status", headers=elsewhere).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "localhost.rebound.example:80"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_without_a_token_pages_of_other_sites_are_refused(
    client: httpx2.Client, view: StillView, headers: dict[str, str]
) -> None:
    assert client.post("/api/pause", headers=headers).status_code == 403
    assert client.get("/api/events", headers=headers).status_code == 403
    assert not view.is_paused


def test_the_dashboard_itself_may_ask(client: httpx2.Client, view: StillView) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/pause", headers=own).status_code == 200
    assert view.is_paused
    port = client.base_url.port
    assert client.get("/api/status", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_bodies_are_bounded(client: httpx2.Client, view: StillView) -> None:
    assert client.post("/api/pause", content=b"x" * 5000).status_code == 413
    assert client.post("/api/pause", content=iter([b"x"])).status_code == 411
    assert not view.is_paused
    assert client.post("/api/pause", content=b"x").status_code == 200


def test_every_answer_carries_the_security_headers(client: httpx2.Client) -> None:
    for path, host in (("/", None), ("/api/status", None), ("/none", None), ("/", "rebound")):
        headers = client.get(path, headers={"Host": host} if host else {}).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    assert client.get("/api/status").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("listen", "token", "words"),
    [
        ("8080", None, "HOST:PORT"),
        ("localhost:http", None, "HOST:PORT"),
        ("127.0.0.1:70000", None, "HOST:PORT"),
        ("0.0.0.0:0", None, "set a token"),
        ("[::]:0", None, "set a token"),
        ("127.0.0.1:0", "short", "at least 16"),
        ("127.0.0.1:0", "long enough but with spaces", "without spaces"),
        ("127.0.0.1:0", "naïve-but-long-enough", "of ASCII"),
    ],
)
def test_unsafe_settings_are_refused(
    view: StillView, tmp_path: Path, listen: str, token: str | None, words: str
) -> None:
    with closing(History(tmp_path / "curves.sqlite")) as history:
        with pytest.raises(ConfigError, match=words) as caught:
            ApiServer(view, listen, token, history)
        assert token is None or token not in str(caught.value)


def test_a_port_in_use_is_named(view: StillView, tmp_path: Path) -> None:
    with serving(view, tmp_path) as first, closing(History(tmp_path / "other.sqlite")) as history:
        taken = f"127.0.0.1:{urlsplit(first.url).port}"
        with pytest.raises(ConfigError, match=taken):
            ApiServer(view, taken, None, history).start()


def test_listeners_share_the_frames_and_their_number_is_bounded(
    client: httpx2.Client, view: StillView
) -> None:
    with ExitStack() as streams:
        watching = [
            frames(streams.enter_context(client.stream("GET", "/api/events")))
            for _ in range(MAX_LISTENERS)
        ]
        first = [next(one) for one in watching]
        view.asked = 0
        second = [next(one) for one in watching]
        assert view.asked == 1
        assert all(frame == second[0] for frame in second)
        assert first[0]["devices"] == [one.model_dump(mode="json") for one in (PI_1, PI_2)]
        assert (first[0]["early_exit_loss"], first[0]["early_exit_accuracy"]) == (1.5, 0.75)
        refused = client.get("/api/events")
        assert refused.status_code == 503
        assert "another dashboard" in refused.json()["detail"]

    def has_room() -> bool:
        with client.stream("GET", "/api/events") as again:
            return again.status_code == 200

    wait_until(has_room)


def test_rates_and_the_version_of_the_classes_follow_what_changes(
    client: httpx2.Client, view: StillView
) -> None:
    with client.stream("GET", "/api/events") as stream:
        watching = frames(stream)
        before = next(watching)
        view.all_devices = [PI_1.model_copy(update={"stored_bytes": 4_000_000}), PI_2]
        view.measured = replace(EVALUATION, number=EVALUATION.number + 1)
        after = next(watching)
    assert before["rates"] == {
        "stored_batches": None,
        "trained_batches": None,
        "stored_bytes": None,
    }
    rates = after["rates"]
    assert isinstance(rates, dict)
    assert rates["stored_batches"] == 0
    assert 0 < rates["stored_bytes"] <= 1_000_000
    assert before["classes_version"] != after["classes_version"]


def test_of_many_devices_a_frame_holds_the_suspect_and_the_newest(
    client: httpx2.Client, view: StillView
) -> None:
    many = [
        PI_1.model_copy(update={"name": f"pi-{n:04}", "last_seen": float(n), "is_suspect": n == 0})
        for n in range(MAX_DEVICES_SHOWN + 2)
    ]
    view.all_devices = many
    with client.stream("GET", "/api/events") as stream:
        frame = next(frames(stream))
    shown = frame["devices"]
    assert isinstance(shown, list)
    assert frame["device_count"] == len(many)
    assert [one["name"] for one in shown] == [one.name for one in many if one.name != "pi-0001"][
        :1
    ] + [one.name for one in many[3:]]
    assert len(client.get("/api/devices").json()) == len(many)


def test_it_stops_within_a_second_while_dashboards_watch(view: StillView, tmp_path: Path) -> None:
    with serving(view, tmp_path) as server, httpx2.Client(base_url=server.url) as client:
        with client.stream("GET", "/api/events") as stream:
            watching = frames(stream)
            next(watching)
            began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 1
            assert list(watching) == []
        with pytest.raises(httpx2.ConnectError):
            client.get("/health")


def test_who_never_ends_a_request_is_cut_off_at_the_stop(view: StillView, tmp_path: Path) -> None:
    router = APIRouter()
    is_asked = threading.Event()

    @router.post("/read")
    async def read(request: Request) -> int:
        is_asked.set()
        return len(await request.body())

    with serving(view, tmp_path, routers=[router]) as server:
        address = ("127.0.0.1", urlsplit(server.url).port or 0)
        with socket.create_connection(address, timeout=5) as half:
            half.sendall(b"POST /read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n1")
            assert is_asked.wait(5)
            server.stop()
            gc.collect()  # a connection that was left open would say so now
            assert _ended(half)


def test_connections_are_bounded_and_a_silent_one_is_closed(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(connections, "_FIRST_REQUEST_S", 0.3)
    assert client.get("/health").status_code == 200
    address = (client.base_url.host, client.base_url.port or 0)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(6)
        ]
        for one in silent:
            assert _ended(one)
    assert client.get("/health").status_code == 200


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.slow  # another process that loads torch
def test_a_service_without_it_loads_none_of_it() -> None:
    code = "import sys, hiertk_cloud.api.history; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
