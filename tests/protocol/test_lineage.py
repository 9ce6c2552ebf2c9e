"""Grown bundles: what they descend from, and databases that are handed over to them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hiertk_protocol.bundle import MANIFEST as MANIFEST_FILE
from hiertk_protocol.bundle import open_bundle, zip_bundle
from hiertk_protocol.errors import BundleError, ProtocolError, StorageError
from hiertk_protocol.lineage import hand_over
from hiertk_protocol.manifest import (
    MAX_ANCESTORS,
    Ancestor,
    ClassInfo,
    Manifest,
    parse_manifest,
)
from hiertk_protocol.topics import Topics
from protocol_samples import make_manifest, write_bundle

FIRST = make_manifest()


def grown_from(old: Manifest, capacity: int) -> Manifest:
    ancestor = Ancestor(bundle_id=old.bundle_id.hex(), class_capacity=old.classes.capacity)
    return old.model_copy(
        update={
            "classes": ClassInfo(names=old.classes.names, capacity=capacity),
            "grown_from": (*old.grown_from, ancestor),
        }
    )


SECOND = grown_from(FIRST, 12)
THIRD = grown_from(SECOND, 40)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "spool.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("CREATE TABLE owner (bundle_id BLOB NOT NULL, device TEXT)")
        made.execute("INSERT INTO owner VALUES (?, 'pi-1')", (FIRST.bundle_id,))
    return path


def owner(path: Path) -> tuple[bytes, str]:
    with closing(sqlite3.connect(path)) as opened:
        found: tuple[bytes, str] = opened.execute("SELECT * FROM owner").fetchone()
        return found


# The manifest


def test_a_bundle_that_was_not_grown_says_nothing_of_it_and_keeps_its_id() -> None:
    assert "grown_from" not in json.loads(FIRST.to_json())
    with_an_empty_list = json.loads(FIRST.to_json()) | {"grown_from": []}
    data = (json.dumps(with_an_empty_list, indent=2) + "\n").encode()
    with pytest.raises(BundleError, match="not in canonical form"):
        parse_manifest(data, "here")


def test_a_grown_bundle_is_another_bundle_of_the_same_deployment() -> None:
    parsed = parse_manifest(THIRD.to_json(), "here")
    assert parsed == THIRD
    assert len({FIRST.bundle_id, SECOND.bundle_id, THIRD.bundle_id}) == 3
    assert FIRST.deployment == SECOND.deployment == THIRD.deployment
    assert Topics(THIRD.deployment) == Topics(FIRST.deployment)


def test_a_grown_bundle_knows_the_slots_of_all_that_it_was_grown_from() -> None:
    family = (FIRST, SECOND, THIRD)
    assert [THIRD.capacity_of(one.bundle_id) for one in family] == [10, 12, 40]
    assert [THIRD.check_lineage(one.bundle_id) for one in family] == [10, 12, 40]
    assert THIRD.ancestors == {FIRST.bundle_id, SECOND.bundle_id}


def test_a_bundle_knows_nothing_of_what_was_grown_from_it_or_of_others() -> None:
    cousin = grown_from(FIRST, 13)
    assert SECOND.capacity_of(THIRD.bundle_id) is None
    assert SECOND.capacity_of(cousin.bundle_id) is None
    with pytest.raises(ProtocolError, match=f"made with bundle {THIRD.bundle_id.hex()[:16]}, not"):
        SECOND.check_lineage(THIRD.bundle_id)


@pytest.mark.parametrize(
    ("ancestors", "reason"),
    [
        ([("a" * 64, 10)], "class slots do not grow"),
        ([("a" * 64, 9), ("b" * 64, 8)], "class slots do not grow"),
        ([("a" * 64, 8), ("a" * 64, 9)], "is there twice"),
        ([("A" * 64, 8)], "pattern"),
        ([(f"{number:064}", number) for number in range(1, MAX_ANCESTORS + 2)], "at most 16"),
    ],
)
def test_a_lineage_that_no_growing_makes_is_refused(
    ancestors: list[tuple[str, int]], reason: str
) -> None:
    content = json.loads(
        FIRST.model_copy(
            update={"classes": ClassInfo(names=FIRST.classes.names, capacity=10)}
        ).to_json()
    )
    content["grown_from"] = [
        {"bundle_id": one, "class_capacity": slots} for one, slots in ancestors
    ]
    with pytest.raises(BundleError, match=reason):
        parse_manifest((json.dumps(content, indent=2) + "\n").encode(), "here")


def test_a_grown_bundles_zip_is_not_taken_for_the_one_before_it(tmp_path: Path) -> None:
    zipped = tmp_path / "bundle.zip"
    write_bundle(tmp_path / "folder")
    zip_bundle(tmp_path / "folder", zipped)
    assert open_bundle(zipped).manifest == FIRST
    (tmp_path / "folder" / MANIFEST_FILE).write_bytes(SECOND.to_json())
    zip_bundle(tmp_path / "folder", zipped)
    assert open_bundle(zipped).manifest == SECOND


# Databases


def test_a_database_is_handed_over_to_what_was_grown_from_its_bundle(database: Path) -> None:
    assert hand_over(database, THIRD)
    assert owner(database) == (THIRD.bundle_id, "pi-1")
    assert not hand_over(database, THIRD)


@pytest.mark.parametrize("manifest", [FIRST, make_manifest({})])
def test_a_database_of_no_ancestor_stays_as_it_is(database: Path, manifest: Manifest) -> None:
    assert not hand_over(database, manifest)
    assert not hand_over(database, grown_from(make_manifest({}), 20))
    assert owner(database)[0] == FIRST.bundle_id


def test_a_database_is_not_handed_back(database: Path) -> None:
    hand_over(database, SECOND)
    assert not hand_over(database, grown_from(FIRST, 13))
    assert owner(database)[0] == SECOND.bundle_id


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_what_is_no_such_database_is_left_to_whoever_opens_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "spool.sqlite"
    assert not hand_over(path, SECOND)
    assert not path.exists()
    path.write_bytes(content)
    assert not hand_over(path, SECOND)


def test_a_database_that_cannot_be_written_is_one_line(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON owner BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(StorageError, match=r"spool\.sqlite: no: is the disk full"):
        hand_over(database, SECOND)
    assert owner(database)[0] == FIRST.bundle_id
