"""Problems are told when they begin and when they end, and not in between."""

from hiertk_protocol.host.problems import Problems


def test_each_is_told_once_and_its_end_once() -> None:
    told: list[tuple[str, str]] = []
    problems = Problems(lambda kind, text: told.append((kind, text)))
    problems.end("disk", "never began")
    problems.begin("disk", "full")
    problems.begin("disk", "still full")
    problems.begin("broker", "gone")
    assert list(problems.lines) == ["still full", "gone"]
    problems.end("disk", "room again")
    problems.end("disk", "room again")
    assert list(problems.lines) == ["gone"]
    assert told == [("disk", "full"), ("broker", "gone"), ("disk", "room again")]
