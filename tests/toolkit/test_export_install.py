"""`hiertk export --install-into`: a bundle's phone side, whole, where the app is built from."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import Ended, run_here
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hiertk.export.install import ASSETS, install
from hiertk_protocol.bundle import Bundle, open_bundle, sign_bundle
from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.manifest import parse_manifest
from protocol_samples import FILES, write_bundle

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The app's project as it is checked out, without its sources."""
    (tmp_path / "android_demo").mkdir()
    shutil.copy(ROOT / "android_demo/pom.xml", tmp_path / "android_demo")
    return tmp_path / "android_demo"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    write_bundle(tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def export(folder: Path, *arguments: str) -> Ended:
    from hiertk.cli import main

    shown = ("export", "--model", "resnet18", "--split", "1", "--bits", "4", *arguments)
    return run_here(main, *shown, folder=folder)


def test_the_app_gets_everything_but_the_clouds_files(bundle: Bundle, project: Path) -> None:
    done = install(bundle, project)
    found = files_in(project / ASSETS)
    manifest = (bundle.folder / "manifest.json").read_bytes()
    assert found == {
        "manifest.json": manifest,
        **{name: data for name, data in FILES.items() if not name.startswith("cloud/")},
    }
    assert parse_manifest(found["manifest.json"], "").bundle_id == bundle.manifest.bundle_id
    assert (done.files, done.size) == (len(found), sum(map(len, found.values())))


def test_the_signature_goes_with_it(bundle: Bundle, project: Path) -> None:
    sign_bundle(bundle.folder, Ed25519PrivateKey.generate())
    install(bundle, project)
    signature = (bundle.folder / "manifest.sig").read_bytes()
    assert (project / ASSETS / "manifest.sig").read_bytes() == signature


def test_an_older_bundle_leaves_nothing_behind(
    bundle: Bundle, project: Path, tmp_path: Path
) -> None:
    install(bundle, project)
    write_bundle(tmp_path / "newer", {"edge/train.pte": b"another", "golden/g": b"g"})
    install(open_bundle(tmp_path / "newer"), project)
    assert set(files_in(project)) == {
        "pom.xml", *(f"{ASSETS}/{name}" for name in ("manifest.json", "edge/train.pte", "golden/g"))
    }  # fmt: skip


def test_a_failure_leaves_the_older_bundle(bundle: Bundle, project: Path) -> None:
    install(bundle, project)
    before = files_in(project)
    (bundle.folder / "golden/steps.safetensors").unlink()
    with pytest.raises(StorageError):
        install(bundle, project)
    assert files_in(project) == before


@pytest.mark.parametrize("file", ["settings.gradle.kts", "pom.xml", None])
def test_another_project_is_left_alone(bundle: Bundle, tmp_path: Path, file: str | None) -> None:
    (tmp_path / "other").mkdir()
    if file is not None:
        (tmp_path / "other" / file).write_text("<project>their.app</project>")
    with pytest.raises(ConfigError, match=r"no settings\.gradle\.kts or pom\.xml of HierTK's app"):
        install(bundle, tmp_path / "other")
    assert not (tmp_path / "other" / "app").exists()


def test_a_module_of_the_app_is_not_the_project(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copy(ROOT / "android_demo/core/pom.xml", tmp_path)
    with pytest.raises(ConfigError, match="name the folder android_demo"):
        install(bundle, tmp_path)


def test_a_folder_of_something_else_is_not_replaced(bundle: Bundle, project: Path) -> None:
    (project / ASSETS).mkdir(parents=True)
    (project / ASSETS / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="move it away"):
        install(bundle, project)
    assert (project / ASSETS / "thesis.txt").read_text() == "years of work"


def test_an_export_installs_the_bundle_that_it_wrote(project: Path, tmp_path: Path) -> None:
    done = export(
        tmp_path, "--target", "android", "--out", "b", "--install-into", str(project), "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["installed"]
    manifest = (project / ASSETS / "manifest.json").read_bytes()
    assert manifest == (tmp_path / "b" / "manifest.json").read_bytes()
    found = files_in(project / ASSETS)
    assert told == {
        "folder": str(project / ASSETS),
        "files": len(found),
        "size": sum(map(len, found.values())),
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--target", "linux"), "is for --target android"),
        (("--target", "android", "--split", "1,2"), "one separation point"),
    ],
)
def test_what_cannot_be_installed_is_refused_before_the_export(
    project: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = export(tmp_path, *arguments, "--out", "b", "--install-into", str(project))
    assert (done.returncode, done.stdout) == (3, "")
    assert reason in done.stderr
    assert not (tmp_path / "b").exists()
