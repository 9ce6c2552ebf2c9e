import math

import pytest
from hiertk_edge.uplink.status import StatusRhythm
from hiertk_protocol.hiertk_pb2 import DeviceStatus


def status(**fields: float) -> DeviceStatus:
    """Return a status as an idle device has it: much is unknown."""
    return DeviceStatus(
        state=DeviceStatus.WAITING,
        early_exit_held_out_accuracy=math.nan,
        temperature_c=math.nan,
        **fields,  # type: ignore[arg-type]
    )


@pytest.fixture
def rhythm() -> StatusRhythm:
    found = StatusRhythm(1.0, 0)
    found.published(status(edge_step=5))
    return found


def test_what_is_unknown_still_is_no_news(rhythm: StatusRhythm) -> None:
    assert not rhythm.is_news(status(edge_step=5))


def test_a_step_is_news_and_what_telling_costs_is_not(rhythm: StatusRhythm) -> None:
    assert rhythm.is_news(status(edge_step=6))
    assert not rhythm.is_news(status(edge_step=5, wire_bytes=100))


def test_after_a_broken_connection_everything_is_news(rhythm: StatusRhythm) -> None:
    rhythm.forget()
    assert rhythm.is_news(status(edge_step=5))
