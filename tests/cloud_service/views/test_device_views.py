from typing import get_args

import pytest
from hiertk_cloud.log.records import DeviceTotals
from hiertk_cloud.training.progress import DeviceProgress
from hiertk_cloud.views.device_views import device_view
from hiertk_cloud.views.view import DeviceState
from hiertk_protocol.hiertk_pb2 import DeviceStatus


@pytest.mark.parametrize("state", DeviceStatus.State.values())
def test_every_state_that_a_device_can_tell_is_shown_by_its_name(
    state: DeviceStatus.State,
) -> None:
    shown = device_view(
        "pi-1",
        status=DeviceStatus(state=state),
        totals=DeviceTotals(),
        progress=DeviceProgress(),
        dropped=0,
        last_seen=None,
        is_suspect=False,
    )
    assert shown.state == DeviceStatus.State.Name(state).lower()
    assert shown.state in get_args(DeviceState)


def test_problems_and_class_map_are_shown_as_the_device_tells_them_fit_for_a_line() -> None:
    told = DeviceStatus(class_map_version=3, problems=["hot\x1b[2J\nnow", *("full",) * 20])
    shown = device_view(
        "pi-1",
        status=told,
        totals=DeviceTotals(),
        progress=DeviceProgress(left_out_total=7),
        dropped=0,
        last_seen=None,
        is_suspect=False,
    )
    assert (shown.class_map_version, shown.left_out_total) == (3, 7)
    assert shown.problems == ("hot [2J now", *("full",) * 7)
