"""What the endpoint bears: floods, slow clients, faults behind it, and its own end."""

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from pathlib import Path

import httpx2
import pytest
from edge_runtime.endpoint.endpoint_parts import NO_TLS, LearnerPredicts, Serving, image_of, serving
from hiertk_edge.endpoint import bodies
from hiertk_edge.endpoint import serving as endpoint_serving
from hiertk_edge.images import Pixels
from hiertk_edge.prediction.record import Answer
from hiertk_protocol.errors import TransportError
from mqtt_client import wait_until

TESTS = Path(__file__).parent.parent.parent
ROOM_MB = 16  # 16 connections with their buffers, 6 MiB of bodies, one image being decoded


def request_head(served: Serving, path: str, length: int) -> bytes:
    authorization = served.authorization["Authorization"]
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def connect(served: Serving) -> socket.socket:
    return socket.create_connection(served.address, timeout=10)


def has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def status_of(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def memory_kib(process: "subprocess.Popen[str]", name: str) -> int:
    """Return a number of its /proc/PID/status: VmRSS, resident now, or VmHWM, its peak."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def test_two_hundred_at_once_are_all_served(served: Serving) -> None:
    data = image_of("red")

    def post(_number: int) -> int:
        status: int = client.post("/images?label=red", content=data).status_code
        return status

    with served.client(60, connections=200) as client, ThreadPoolExecutor(200) as pool:
        answered = Counter(pool.map(post, range(200)))
    assert answered == {202: 200}
    assert len(served.intake.samples) == 200
    assert served.told == []


def test_an_answer_on_a_kept_connection_waits_for_no_acknowledgement(
    client: httpx2.Client,
) -> None:
    """Nagle's algorithm and the client's delayed acknowledgement would make each take 40 ms."""
    took_s = []
    for _ in range(10):
        began = time.perf_counter()
        assert client.get("/status").status_code == 200
        took_s.append(time.perf_counter() - began)
    assert min(took_s) < 0.03


def test_a_flood_takes_bounded_memory() -> None:
    """In a process of its own: 200 clients at once post bodies of 512 KiB, 100 MiB in all."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("serve_endpoint.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        address, authorization = process.stdout.readline().strip().split(" ", 1)
        body = image_of("red") + bytes(512 << 10)  # Pillow stops at the image's end
        with httpx2.Client(
            base_url=address,
            headers={"Authorization": authorization},
            timeout=60,
            verify=NO_TLS,
            limits=httpx2.Limits(max_connections=200),
        ) as client:

            def post(_number: int) -> int:
                status: int = client.post("/images?label=red", content=body).status_code
                return status

            assert post(0) == 202
            before_kib = memory_kib(process, "VmRSS")
            with ThreadPoolExecutor(200) as pool:
                answered = Counter(pool.map(post, range(200)))
        peak_kib = memory_kib(process, "VmHWM")
        process.stdin.close()
        assert process.wait(20) == 0
    assert set(answered) <= {202, 503}
    assert answered[202] > 50
    assert (peak_kib - before_kib) / 1024 < ROOM_MB


def test_a_client_that_dribbles_blocks_nobody_and_is_given_up(
    served: Serving, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.5)
    with connect(served) as slow:
        slow.sendall(request_head(served, "/predictions", 1000) + b"\x89PNG")
        assert client.post("/predictions", content=image_of("red")).status_code == 200
        assert status_of(slow) == 408
    with connect(served) as left:
        left.sendall(request_head(served, "/predictions", 1000) + b"\x89PNG")
    assert client.post("/predictions", content=image_of("red")).status_code == 200
    assert served.told == []


def test_silent_connections_make_room(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_serving, "SILENCE_S", 0.3)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(connect(served))
            for _ in range(endpoint_serving.MAX_CONNECTIONS + 4)
        ]
        with served.client() as client:
            assert client.post("/predictions", content=image_of("red")).status_code == 200
        assert all(has_ended(one) for one in silent)


def test_a_second_request_that_never_comes_to_an_end_is_given_up(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_serving, "SILENCE_S", 0.3)
    with connect(served) as slow:
        data = image_of("red")
        slow.sendall(request_head(served, "/predictions", len(data)) + data)
        assert status_of(slow) == 200
        slow.sendall(b"GET /status HTTP/1.1\r\nHost: ")
        assert has_ended(slow)


def test_predictions_that_wait_leave_room_for_what_does_not(served: Serving) -> None:
    served.predicts.pause.clear()
    with ThreadPoolExecutor(3) as pool, served.client() as client:
        waiting = [
            pool.submit(lambda: client.post("/predictions", content=image_of("red")).status_code)
            for _ in range(3)
        ]
        assert client.post("/images?label=red", content=image_of("red")).status_code == 202
        assert client.get("/status").status_code == 200
        assert not any(one.done() for one in waiting)
        served.predicts.pause.set()
        assert [one.result() for one in waiting] == [200, 200, 200]


@pytest.mark.parametrize("bytes_sent", [b"\0" * 100, b"GET / HTTP/9\r\n\r\n", b"A" * 100_000])
def test_what_is_not_http_ends_the_connection_and_nothing_else(
    served: Serving, client: httpx2.Client, bytes_sent: bytes
) -> None:
    with connect(served) as strange:
        strange.sendall(bytes_sent)
        with suppress(ConnectionResetError):
            while strange.recv(65536):
                continue
    assert client.get("/status").status_code == 200
    assert served.told == []


class FaultyPredicts(LearnerPredicts):
    """Has a fault that nobody foresaw."""

    def predict(self, pixels: Pixels) -> Answer:
        raise ZeroDivisionError(f"something\nunforeseen in {pixels.shape}")


def test_a_fault_is_told_once_and_ends_one_answer_only(tmp_path: Path) -> None:
    with serving(tmp_path, predicts=FaultyPredicts()) as served, served.client() as client:
        for _ in range(3):
            refused = client.post("/predictions", content=image_of("red"))
            assert refused.status_code == 500
            assert set(refused.json()) == {"error"}
        assert client.post("/images?label=red", content=image_of("red")).status_code == 202
        ((event, text),) = served.told
        assert event == "endpoint_answer"
        assert "ZeroDivisionError: something unforeseen" in text


class SilentPredicts(LearnerPredicts):
    """Cannot answer, and says why."""

    def predict(self, pixels: Pixels) -> Answer:
        raise TransportError(f"no answer for {pixels.shape}: wait")


def test_what_the_device_cannot_do_now_is_answered_with_its_reason(tmp_path: Path) -> None:
    with serving(tmp_path, predicts=SilentPredicts()) as served, served.client() as client:
        refused = client.post("/predictions", content=image_of("red"))
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert refused.json() == {"error": "no answer for (16, 16, 3): wait"}
        assert served.told == []


def test_an_end_of_its_thread_is_told_and_it_answers_again(
    served: Serving, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/status").status_code == 200
    client.close()
    loop = served.endpoint._loop
    assert loop is not None
    loop.call_soon_threadsafe(loop.stop)
    wait_until(lambda: len(served.told) == 2)
    assert [event for event, _ in served.told] == ["endpoint", "endpoint"]
    assert "has ended" in served.told[0][1]
    assert "answers again" in served.told[1][1]
    assert served.problems.lines == ()
    with served.client() as again:
        assert again.get("/status").status_code == 200


def test_it_ends_within_two_seconds_whoever_is_connected(served: Serving) -> None:
    served.predicts.pause.clear()
    with ExitStack() as stack:
        data = image_of("red")
        for sent in (
            b"",
            b"GET /sta",
            request_head(served, "/predictions", 5000),
            request_head(served, "/predictions", len(data)) + data,
        ):
            stack.enter_context(connect(served)).sendall(sent)
        idle = stack.enter_context(served.client())
        assert idle.get("/status").status_code == 200
        began = time.monotonic()
        served.endpoint.stop()
        assert time.monotonic() - began < 2
        served.endpoint.stop()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(served.endpoint.address, verify=NO_TLS)
    served.predicts.pause.set()
    wait_until(lambda: not any(one.name == "endpoint" for one in threading.enumerate()))


def test_an_end_before_it_serves_is_an_end(tmp_path: Path) -> None:
    for _ in range(3):
        with serving(tmp_path) as served:
            began = time.monotonic()
            served.endpoint.stop()
            assert time.monotonic() - began < 2


def is_loaded_by(modules: str, names: set[str]) -> bool:
    """Whether a process that imports these modules has any of the names."""
    code = f"import sys, {modules}; sys.exit(bool({names} & set(sys.modules)))"
    return bool(subprocess.run([sys.executable, "-c", code], check=False).returncode)


@pytest.mark.slow  # another process
def test_the_rest_of_the_device_loads_none_of_it() -> None:
    assert not is_loaded_by("hiertk_edge.endpoint", {"uvicorn", "starlette"})


@pytest.mark.slow  # another process
def test_it_loads_nothing_that_it_could_do_without() -> None:
    endpoint = "hiertk_edge.endpoint.app, hiertk_edge.endpoint.serving"
    assert not is_loaded_by(endpoint, {"fastapi", "jinja2", "python_multipart", "opentelemetry"})
