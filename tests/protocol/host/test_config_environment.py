"""The environment as a source of a configuration: keys, tables and lists, and what is no value."""

import json
import os
from pathlib import Path
from unittest import mock

import pytest
from hiertk_protocol.errors import ConfigError
from hiertk_protocol.host.config_sources import Program
from hiertk_protocol.host.configuration import load
from hiertk_protocol.host.sections import Section
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = Program("kettle", "KETTLE_", Path("/nowhere/kettle.toml"), credentials=())
SECRET = "hunter2-not-to-be-shown"


class Heat(Section):
    """A table."""

    degrees: float = 100.0
    keep_s: int | None = None


class Kettle(Section):
    """A configuration."""

    name: str = "tea"
    on: bool = False
    cups: tuple[str, ...] = ()
    heat: Heat = Heat()
    broker: Heat = Heat()  # there always is one


def read(**variables: str) -> Kettle:
    with mock.patch.dict(os.environ, variables):
        return load(Kettle, PROGRAM, None, {})


def problems(**variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**variables)
    assert caught.value.__cause__ is None
    return [line.strip() for line in str(caught.value).splitlines()]


def test_texts_become_the_numbers_and_switches_that_the_model_wants() -> None:
    kettle = read(KETTLE_NAME="7", KETTLE_ON="true", KETTLE_HEAT__KEEP_S="60")
    assert (kettle.name, kettle.on, kettle.heat) == ("7", True, Heat(keep_s=60))


def test_names_may_be_in_small_letters() -> None:
    assert read(kettle_heat__Degrees="80").heat.degrees == 80


def test_a_list_is_json() -> None:
    assert read(KETTLE_CUPS='["mug", "glass"]').cups == ("mug", "glass")


def test_a_table_can_be_json_and_its_keys_are_above_it() -> None:
    kettle = read(KETTLE_HEAT__DEGREES="80", KETTLE_HEAT='{"degrees": 90, "keep_s": 5}')
    assert kettle.heat == Heat(degrees=80, keep_s=5)


@pytest.mark.parametrize("text", [SECRET, "", "null", "5", "[" * 20_000])
def test_what_is_no_table_is_told_whatever_the_options_say(text: str) -> None:
    with (
        mock.patch.dict(os.environ, KETTLE_HEAT=text),
        pytest.raises(ConfigError, match="KETTLE_HEAT: should be a table"),
    ):
        load(Kettle, PROGRAM, None, {"heat": {"degrees": 80.0}})


def test_all_that_is_no_json_is_told_at_once_and_not_repeated() -> None:
    head, *lines = problems(
        KETTLE_HEAT=SECRET, KETTLE_HEAT__DEGREES="80", KETTLE_CUPS=f"[{SECRET}", KETTLE_ON="perhaps"
    )
    assert head == "3 problems in the configuration:"
    told = "\n".join(lines)
    assert "KETTLE_HEAT: should be a table; set its keys one by one, as KETTLE_HEAT__KEY" in told
    assert 'KETTLE_CUPS: should be a list in JSON, such as ["...", "..."]' in told
    assert "KETTLE_ON: should be a valid boolean" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("KETTLE_NAEM", "KETTLE_NAEM is not known; is KETTLE_NAME meant?"),
        ("KETTLE_HEAT_DEGREES", "is KETTLE_HEAT__DEGREES meant?"),
        ("KETTLE_HEAT__DEGREE", "is KETTLE_HEAT__DEGREES meant?"),
        ("KETTLE_HEAT__DEGREES__OF", "is KETTLE_HEAT__DEGREES meant?"),
        ("KETTLE_HEAT__TOKEN", "KETTLE_HEAT__TOKEN: a secret cannot stand here"),
        ("KETTLE_", "KETTLE_: is not known"),
        ("KETTLE_HEAT__A\nB", "KETTLE_HEAT__A?B: is not known"),
        ("KETTLE_HEAT" + 10_000 * "__A", "is not known"),
    ],
)
def test_a_variable_that_is_not_known_is_one_line(name: str, told: str) -> None:
    (line,) = problems(**{name: SECRET})
    assert told in line
    assert len(line) < 400
    assert SECRET not in line


_NAMES = st.lists(
    st.sampled_from(["name", "on", "cups", "heat", "degrees", "keep_s", "broker", "x", ""]),
    min_size=1,
    max_size=4,
).map(lambda parts: "KETTLE_" + "__".join(parts).upper())
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_VALUES = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    | _JSON.map(json.dumps)
    | st.sampled_from(["[" * 20_000, '{"a":' * 20_000, "9" * 5_000])
)


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_whatever_stands_in_the_environment_is_taken_or_refused(variables: dict[str, str]) -> None:
    try:
        kettle = read(**variables)
    except ConfigError as error:
        head = str(error).splitlines()[0]
        assert "KETTLE_" in head or "problems in the configuration:" in head
    else:
        assert isinstance(kettle, Kettle)
