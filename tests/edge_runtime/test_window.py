from hiertk_edge.window import SendWindow, WindowLimits

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
