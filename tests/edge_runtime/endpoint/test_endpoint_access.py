"""Who may ask the endpoint: this machine's own programs that have the token."""

import stat
import time
from pathlib import Path

import httpx2
import pytest
from edge_parts import make_manifest
from edge_runtime.endpoint.endpoint_parts import (
    INFO,
    NO_TLS,
    LearnerPredicts,
    ListIntake,
    Serving,
    image_of,
    serving,
)
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.endpoint.record import EndpointSettings
from hiertk_edge.endpoint.server import Endpoint
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.problems import Problems


def make(settings: EndpointSettings) -> Endpoint:
    problems = Problems(lambda *_: None)
    return Endpoint(
        settings,
        intake=ListIntake(),
        predicts=LearnerPredicts(),
        classes=DeviceClasses(
            settings.token_file.with_name("classes.json"), make_manifest(), problems
        ),
        info=INFO,
        status=dict,
        problems=problems,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images?label=red"),
        ("POST", "/predictions"),
        ("POST", "/corrections"),
        ("GET", "/status"),
        ("GET", "/classes"),
        ("POST", "/classes"),
        ("GET", "/camera"),
        ("POST", "/camera/teach?label=red"),
        ("GET", "/nothing"),
    ],
)
def test_nobody_gets_anything_without_the_token(served: Serving, method: str, path: str) -> None:
    token = served.token_file.read_text().strip()
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {token}"},
        {"Authorization": token},
    )
    with httpx2.Client(base_url=served.endpoint.address, verify=NO_TLS) as client:
        for headers in wrong:
            refused = client.request(method, path, headers=headers, content=image_of("red"))
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert "Bearer TOKEN" in refused.json()["error"]
    assert served.intake.samples == []


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
def test_a_page_of_another_site_is_refused_even_with_the_token(
    served: Serving, client: httpx2.Client, headers: dict[str, str]
) -> None:
    refused = client.post("/images?label=red", content=image_of("red"), headers=headers)
    assert refused.status_code == 403
    assert served.intake.samples == []


def test_its_own_page_may_ask(served: Serving, client: httpx2.Client) -> None:
    own = {"Origin": served.endpoint.address, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/classes", headers=own).status_code == 200
    port = served.address[1]
    assert client.get("/classes", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_every_answer_forbids_pages_to_show_or_keep_it(client: httpx2.Client) -> None:
    for path in ("/", "/status", "/nothing"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


def test_the_first_start_draws_a_token_that_only_its_owner_reads(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert stat.S_IMODE(served.token_file.stat().st_mode) == 0o600
        token = served.token_file.read_text().strip()
        assert len(bytes.fromhex(token)) == 32
    with serving(tmp_path) as again:
        assert again.token_file.read_text().strip() == token


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("short\n", 0o600, "delete it"),
        ("with spaces in it, but long\n", 0o600, "delete it"),
        ("two-lines-that-are-long\nenough\n", 0o600, "only line"),
        ("long-enough-for-a-token\n", 0o644, "chmod 600"),
    ],
)
def test_a_token_that_is_unsafe_is_refused_and_not_told(
    tmp_path: Path, content: str, mode: int, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=words) as caught:
        make(EndpointSettings(file, port=0)).start()
    assert content.splitlines()[0] not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "robot.example", ""])  # noqa: S104
def test_it_listens_for_this_machine_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="no TLS"):
        make(EndpointSettings(tmp_path / "token", host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_listens_by_each_of_this_machines_names(tmp_path: Path, host: str) -> None:
    endpoint = make(EndpointSettings(tmp_path / "token", host=host, port=0))
    endpoint.start()
    try:
        headers = {"Authorization": f"Bearer {(tmp_path / 'token').read_text().strip()}"}
        assert (
            httpx2.get(f"{endpoint.address}/status", headers=headers, verify=NO_TLS).status_code
            == 200
        )
    finally:
        endpoint.stop()


def test_a_port_in_use_is_told_at_the_start(served: Serving, tmp_path: Path) -> None:
    _, port = served.address
    with pytest.raises(ConfigError, match=f"port {port}: Address already in use"):
        make(EndpointSettings(tmp_path / "other", port=port)).start()


def test_the_start_does_not_wait_for_what_it_imports(tmp_path: Path) -> None:
    endpoint = make(EndpointSettings(tmp_path / "token", port=0))
    began = time.monotonic()
    endpoint.start()
    took_s = time.monotonic() - began
    endpoint.stop()
    assert took_s < 0.5
