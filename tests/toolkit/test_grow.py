"""`hiertk grow`: the same bundle with more class slots, proved like any export."""

import json
from pathlib import Path

import pytest
import torch
from grown_bundles import CLASSES, FACTORY, NEW_SLOTS, OLD_SLOTS, export_small, grow_small
from hiertk.cli import app
from hiertk.export.grow import GrowSettings, grow_bundle
from hiertk.models import load_cloud_partition
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.golden import verify_golden
from hiertk_edge.weights import ReadableLearner
from hiertk_protocol.bundle import Bundle, open_bundle, sign_bundle, zip_bundle
from hiertk_protocol.errors import BundleError, ConfigError, ModelError
from hiertk_protocol.manifest import MAX_ANCESTORS, MAX_CLASSES, Ancestor
from hiertk_protocol.signature import make_key_pair, public_key_path, read_private_key
from typer.testing import CliRunner, Result


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_small(tmp_path_factory.mktemp("old") / "bundle", backend="torch")


@pytest.fixture(scope="module")
def grown(old: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return grow_small(old, tmp_path_factory.mktemp("grown") / "bundle")


def test_all_but_the_slots_stays(old: Bundle, grown: Bundle) -> None:
    was, now = old.manifest, grown.manifest
    for field in ("target", "input", "features", "optimizer", "engine"):
        assert getattr(now, field) == getattr(was, field)
    assert now.model.split == was.model.split
    assert now.model.edge_parameters == was.model.edge_parameters
    assert now.classes.names == CLASSES
    assert (was.classes.capacity, now.classes.capacity) == (OLD_SLOTS, NEW_SLOTS)
    assert now.deployment == was.deployment
    assert now.capacity_of(was.bundle_id) == OLD_SLOTS


def test_it_is_whole_and_passes_the_gate_of_every_export(old: Bundle, grown: Bundle) -> None:
    assert open_bundle(grown.folder).manifest == grown.manifest
    assert [one.what for one in grown.manifest.parity] == [one.what for one in old.manifest.parity]
    assert verify_golden(grown)


def test_the_early_exits_weights_are_the_old_ones_with_rows_behind(
    old: Bundle, grown: Bundle
) -> None:
    was, now = open_learner(old), open_learner(grown)
    assert isinstance(was, ReadableLearner)
    assert isinstance(now, ReadableLearner)
    wider = now.parameters()
    for name, value in was.parameters().items():
        held = wider[name][:OLD_SLOTS] if name.startswith("exit.") else wider[name]
        assert (held == value).all(), name
    assert wider["exit.weight"][OLD_SLOTS:].any(axis=1).all()
    assert now.open_slots == was.open_slots


def test_the_final_exits_weights_are_the_old_ones_with_rows_behind(
    old: Bundle, grown: Bundle
) -> None:
    was, now = (
        load_cloud_partition(bundle, trusted_factory=FACTORY).state_dict()
        for bundle in (old, grown)
    )
    assert now.keys() == was.keys()
    for name, value in was.items():
        held = now[name][: len(value)] if value.dim() else now[name]
        assert torch.equal(held, value), name
    assert now["classifier.weight"].shape[0] == NEW_SLOTS


@pytest.mark.slow
def test_a_grown_bundle_can_be_grown(old: Bundle, grown: Bundle, tmp_path: Path) -> None:
    third = grow_small(grown, tmp_path / "third", 20).manifest
    assert [one.class_capacity for one in third.grown_from] == [OLD_SLOTS, NEW_SLOTS]
    assert third.deployment == old.manifest.deployment


@pytest.mark.slow
def test_growing_twice_gives_the_same_weights(old: Bundle, grown: Bundle, tmp_path: Path) -> None:
    again = grow_small(old, tmp_path / "again").manifest
    for name in ("edge/params.safetensors", "cloud/cloud.safetensors"):
        assert again.files[name] == grown.manifest.files[name]


# Bad input


@pytest.mark.parametrize("capacity", [0, OLD_SLOTS - 1, OLD_SLOTS, MAX_CLASSES + 1])
def test_fewer_slots_or_too_many_are_refused(old: Bundle, tmp_path: Path, capacity: int) -> None:
    with pytest.raises(ConfigError, match=f"has {OLD_SLOTS} class slots: give more, up to 4096"):
        grow_bundle(old, GrowSettings(capacity, tmp_path / "out", FACTORY))
    assert not list(tmp_path.iterdir())


def test_what_exists_is_not_replaced_unasked_and_the_bundle_itself_never(
    old: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="exists: choose another folder with --out, or --force"):
        grow_bundle(old, GrowSettings(NEW_SLOTS, tmp_path, FACTORY))
    with pytest.raises(ConfigError, match="is the bundle itself"):
        grow_bundle(old, GrowSettings(NEW_SLOTS, old.folder, FACTORY, force=True))
    assert open_bundle(old.folder).manifest == old.manifest


def test_a_network_of_ones_own_runs_only_if_it_is_named(old: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"start with --factory {FACTORY} if you trust it"):
        grow_bundle(old, GrowSettings(NEW_SLOTS, tmp_path / "out"))


def test_growing_has_an_end(old: Bundle, tmp_path: Path) -> None:
    ancestors = tuple(
        Ancestor(bundle_id=f"{number:064}", class_capacity=number)
        for number in range(1, MAX_ANCESTORS + 1)
    )
    manifest = old.manifest.model_copy(update={"grown_from": ancestors})
    with pytest.raises(ConfigError, match="was grown 16 times, which is the most: export a new"):
        grow_bundle(
            Bundle(old.folder, manifest), GrowSettings(NEW_SLOTS, tmp_path / "out", FACTORY)
        )


def test_a_profiling_bundle_is_no_deployment(old: Bundle, tmp_path: Path) -> None:
    files = {
        name: info for name, info in old.manifest.files.items() if not name.startswith("cloud/")
    }
    edge_only = Bundle(old.folder, old.manifest.model_copy(update={"files": files}))
    with pytest.raises(BundleError, match=r"no cloud/cloud\.safetensors in the manifest"):
        grow_small(edge_only, tmp_path / "out")


# The command


@pytest.fixture
def signed(old: Bundle, tmp_path: Path) -> Path:
    """The old bundle as a signed zip; beside it, the keys."""
    make_key_pair(tmp_path / "signing.key")
    zip_bundle(old.folder, tmp_path / "signed.zip")
    sign_bundle(tmp_path / "signed.zip", read_private_key(tmp_path / "signing.key"))
    return tmp_path / "signed.zip"


def run(signed: Path, *options: str) -> Result:
    fixed = ("--class-capacity", str(NEW_SLOTS), "--factory", FACTORY)
    place = ("--out", str(signed.with_name("out")))
    arguments = ["grow", str(signed), *fixed, *place, *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command_says_what_is_next_and_that_a_signature_is_wanted(signed: Path) -> None:
    public = public_key_path(signed.with_name("signing.key"))
    done = run(signed, "--public-key", str(public))
    assert done.exit_code == 0
    assert "sign it, too (hiertk sign)" in done.output
    assert "Next: restart the cloud service with it, then the devices" in done.output


@pytest.mark.slow
def test_a_grown_bundle_is_signed_on_the_way(signed: Path) -> None:
    done = run(signed, "--sign", str(signed.with_name("signing.key")), "--json")
    content = json.loads(done.stdout)
    assert content["notes"] == []
    assert content["manifest"]["grown_from"][0]["class_capacity"] == OLD_SLOTS
    assert (signed.with_name("out") / "manifest.sig").exists()


def test_no_bundle_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="neither a bundle folder nor a zip of one"):
        CliRunner().invoke(
            app,
            ["grow", str(tmp_path / "none"), "--class-capacity", "20"],
            catch_exceptions=False,
        )
