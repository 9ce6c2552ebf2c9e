import pytest
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.topics import Topics, check_device_name, is_device_name
from hypothesis import given
from hypothesis import strategies as st

TOPICS = Topics("0123456789abcdef")
device_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name != "down"
)


def test_topics_lie_below_their_deployment() -> None:
    root = "hiertk/v1/0123456789abcdef"
    assert TOPICS.features("rpi-1") == f"{root}/rpi-1/up/features"
    assert TOPICS.status("rpi-1") == f"{root}/rpi-1/up/status"
    assert TOPICS.ack("rpi-1") == f"{root}/rpi-1/down/ack"
    assert TOPICS.predict("rpi-1") == f"{root}/rpi-1/up/predict"
    assert TOPICS.predict_reply("rpi-1") == f"{root}/rpi-1/down/predict"
    assert TOPICS.class_map == f"{root}/down/classes"
    assert TOPICS.model == f"{root}/down/model"


@given(device_names)
def test_the_device_is_found_in_each_of_its_topics(name: str) -> None:
    assert check_device_name(name) == name
    for of_device in (
        TOPICS.features,
        TOPICS.status,
        TOPICS.ack,
        TOPICS.predict,
        TOPICS.predict_reply,
    ):
        topic = of_device(name)
        assert TOPICS.device_of(topic) == name


@pytest.mark.parametrize(
    "topic",
    [
        TOPICS.class_map,
        TOPICS.model,
        TOPICS.root,
        Topics("ffffffffffffffff").status("rpi-1"),
        "",
        "hiertk/v1/0123456789abcdef/rpi-1",
        "hiertk/v1/0123456789abcdef/rpi-1/upward",
        "hiertk/v1/0123456789abcdef//up/status",
        "hiertk/v1/0123456789abcdef/down/down/ack",
        "hiertk/v1/0123456789abcdef/RPI/up/status",
    ],
)
def test_a_topic_of_no_device_has_none(topic: str) -> None:
    assert TOPICS.device_of(topic) is None


@given(st.text(max_size=80))
def test_any_text_is_a_device_name_or_refused(name: str) -> None:
    if is_device_name(name):
        assert check_device_name(name) == name
        assert not set(name) & set("/+#$ \n\0")
    else:
        with pytest.raises(ConfigError, match="device name"):
            check_device_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "down", "-a", "a-", "A", "a_b", "a/b", "+", "#", "a\n", "ä", "x" * 64, "..", "\u0661"],
)
def test_names_that_could_break_topics_or_paths_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 63"):
        check_device_name(name)
