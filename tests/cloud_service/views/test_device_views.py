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
