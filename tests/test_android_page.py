"""The commands of docs/android.md, in their order."""

from pathlib import Path

from pages import hiertk_commands

PAGE = Path(__file__).parent.parent / "docs" / "android.md"


def test_it_shows_the_way_from_a_bundle_to_a_paired_phone() -> None:
    shown = [words[1] for words in hiertk_commands(PAGE)]
    assert shown == ["export", "export", "provision", "pair"]
