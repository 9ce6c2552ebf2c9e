import pytest
from hiertk_protocol.host.http_access import has_token, is_local_host, is_same_origin

TOKEN = b"correct-horse-battery"


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:80", "127.0.0.1:8765", "[::1]", "[::1]:1"]
)
def test_this_machine_has_names_that_nobody_else_can_give_it(host: str) -> None:
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "::1",
        "192.0.2.1",
        "localhost.",
        "localhost:",
        "localhost:80x",
        "localhost.evil.example",
        "a@localhost",
    ],
)
def test_all_other_names_may_be_somebody_elses(host: str) -> None:
    assert not is_local_host(host)


def test_a_program_and_the_servers_own_page_are_of_the_same_origin() -> None:
    assert is_same_origin({"host": "localhost:80"})
    assert is_same_origin({"host": "localhost:80", "origin": "http://localhost:80"})
    assert is_same_origin({"sec-fetch-site": "same-origin"})
    assert not is_same_origin({"host": "localhost:80", "origin": "http://localhost:81"})
    assert not is_same_origin({"origin": "http://evil.example"})
    assert not is_same_origin({"sec-fetch-site": "same-site"})


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN.decode()}", "\xe4"])
def test_only_the_token_itself_is_the_token(given: str) -> None:
    assert not has_token({"authorization": given}, TOKEN)
    assert not has_token({}, TOKEN)
    assert has_token({"authorization": f"bearer {TOKEN.decode()}"}, TOKEN)
