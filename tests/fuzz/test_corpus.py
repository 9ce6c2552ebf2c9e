"""Inputs that are kept because they were found, or made, to be hard; and what the targets need."""

import random
from pathlib import Path

import pytest
from fuzz.file_mutations import run_statement
from fuzz.mutations import mutate_fields, split_fields
from fuzz.samples import FEATURES
from fuzz.tampering import LOG_STATEMENTS, SPOOL_STATEMENTS
from fuzz.targets import CORPUS, Target, make_targets
from hiertk_protocol.errors import HiertkError


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return make_targets(tmp_path_factory.mktemp("targets"))


def refuse_in_one_line(target: Target, data: bytes) -> None:
    text = refusal(target, data)
    assert "\n" not in text
    assert len(text) < 2000


def refusal(target: Target, data: bytes) -> str:
    try:
        target.take(data)
    except HiertkError as error:
        return str(error)
    return ""


def test_every_target_takes_its_valid_inputs(targets: dict[str, Target]) -> None:
    for target in targets.values():
        for data in target.seeds:
            target.take(data)


@pytest.mark.parametrize("name", sorted(f"{p.parent.name}/{p.name}" for p in CORPUS.glob("*/*")))
def test_the_corpus_is_taken_or_refused(targets: dict[str, Target], name: str) -> None:
    target = targets[name.partition("/")[0]]
    refuse_in_one_line(target, (CORPUS / name).read_bytes())


@pytest.mark.parametrize("statement", SPOOL_STATEMENTS)
def test_a_spool_that_was_tampered_with_is_taken_or_refused(
    targets: dict[str, Target], tmp_path: Path, statement: str
) -> None:
    target = targets["spool"]
    refuse_in_one_line(target, run_statement(target.seeds[0], statement, tmp_path / "scratch"))


@pytest.mark.parametrize("statement", LOG_STATEMENTS)
def test_a_log_that_was_tampered_with_is_taken_or_refused(
    targets: dict[str, Target], tmp_path: Path, statement: str
) -> None:
    target = targets["log"]
    refuse_in_one_line(target, run_statement(target.seeds[0], statement, tmp_path / "scratch"))


def test_bombs_are_refused(targets: dict[str, Target]) -> None:
    bombs = [path for path in CORPUS.glob("*/*") if "bomb" in path.name or "16-mega" in path.name]
    assert len(bombs) >= 8
    for path in bombs:
        with pytest.raises(HiertkError):
            targets[path.parent.name].take(path.read_bytes())


def test_nothing_of_a_zip_is_written_outside_its_folder(
    targets: dict[str, Target], tmp_path: Path
) -> None:
    targets["bundle-zip"].take((CORPUS / "bundle-zip/entry-outside").read_bytes())
    assert not list(tmp_path.parent.rglob("outside"))
    assert not Path("/outside").exists()


def test_mutations_differ_by_the_seed_alone() -> None:
    valid = FEATURES.SerializeToString()
    assert b"".join(split_fields(valid)) == valid
    assert len(split_fields(valid)) == 12
    once, again = (mutate_fields(valid, random.Random(7)) for _ in range(2))
    assert once == again != mutate_fields(valid, random.Random(8))
