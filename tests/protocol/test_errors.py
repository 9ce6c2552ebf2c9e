import re

from hiertk_protocol import errors
from hiertk_protocol.errors import HiertkError


def kinds(error: type[HiertkError]) -> list[type[HiertkError]]:
    """Return the kinds of the tree; a package may tell its own cases of a kind apart."""
    children = [one for one in error.__subclasses__() if one.__module__ == errors.__name__]
    return [kind for child in children for kind in (child, *kinds(child))]


def test_each_kind_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in kinds(HiertkError)]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 1, 2, 130}


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = re.findall(r"^[│├└─ ]*(\w+Error) +(\d+) ", errors.__doc__ or "", re.MULTILINE)
    actual = [("HiertkError", "1")]
    actual += [(kind.__name__, str(kind.exit_code)) for kind in kinds(HiertkError)]
    assert drawn == actual


def test_a_process_error_is_found_again_by_its_exit_code() -> None:
    assert all(errors.error_of_exit_code(kind.exit_code) is kind for kind in kinds(HiertkError))


def test_an_unknown_exit_code_is_an_unforeseen_error() -> None:
    assert errors.error_of_exit_code(-9) is HiertkError
