from hiertk_edge.uplink.window import SendWindow, WindowLimits

LIMITS = WindowLimits(messages=3, bytes=100, first_timeout_s=5, last_timeout_s=20)


def test_it_holds_so_many_messages_and_bytes() -> None:
    window = SendWindow(LIMITS)
    window.sent(1, 60, now=0)
    assert window.has_room(40)
    assert not window.has_room(41)
    window.sent(2, 10, now=0)
    window.sent(3, 10, now=0)
    assert window.is_full
    window.acknowledged(1, (), now=1)
    assert window.has_room(80)


def test_one_message_may_always_be_on_its_way() -> None:
    window = SendWindow(LIMITS)
    assert window.has_room(1000)
    window.sent(1, 1000, now=0)
    assert not window.has_room(1)


def test_what_is_sent_is_not_sent_twice_in_a_round() -> None:
    window = SendWindow(LIMITS)
    window.sent(4, 1, now=0)
    window.acknowledged(4, (), now=0)
    assert window.sent_through == 4
    window.restart()
    assert window.sent_through == 0


def test_the_wait_doubles_to_its_bound_and_falls_back_on_an_ack() -> None:
    window = SendWindow(LIMITS)
    waits = []
    for _ in range(4):
        window.sent(1, 1, now=100)
        assert window.deadline is not None
        waits.append(window.deadline - 100)
        window.timed_out()
        assert window.deadline is None
    assert waits == [5, 10, 20, 20]
    window.sent(1, 1, now=100)
    window.sent(2, 1, now=100)
    window.acknowledged(1, (), now=103)
    assert window.deadline == 108


def test_patience_with_a_slow_link_ends() -> None:
    window = SendWindow(LIMITS)
    window.sent(1, 1, now=0)
    window.be_patient()
    assert window.deadline == 10
    assert window.can_be_patient
    window.be_patient()
    assert window.deadline == 20
    assert not window.can_be_patient


def test_settled_beyond_a_gap_leaves_the_window() -> None:
    window = SendWindow(LIMITS)
    for seq in (1, 2, 3):
        window.sent(seq, 1, now=0)
    window.acknowledged(0, {2, 3}, now=1)
    assert window.has_room(99)
    assert window.deadline == 6


def test_a_broker_that_takes_fewer_narrows_it_and_one_that_takes_more_does_not_widen_it() -> None:
    window = SendWindow(LIMITS)
    window.take_at_most(1)
    window.sent(1, 1, now=0)
    assert window.is_full
    window.take_at_most(65_535)
    window.sent(2, 1, now=0)
    assert not window.is_full
    window.sent(3, 1, now=0)
    assert window.is_full


def test_it_tells_what_was_acknowledged_and_how_long_it_waited() -> None:
    window = SendWindow(LIMITS)
    assert window.waited_s(now=50) == 0
    window.sent(1, 30, now=100)
    window.sent(2, 20, now=101)
    assert window.waited_s(now=103) == 3
    assert window.acknowledged(2, (), now=103) == 50
    assert window.acknowledged(2, (), now=104) == 0
