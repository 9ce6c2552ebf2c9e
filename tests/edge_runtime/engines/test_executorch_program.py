"""ExecuTorch programs: opened quietly and lean, damage told in one line, padding exact."""

import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from bundles import export_fashion
from hiertk.data import load
from hiertk_edge.engines import executorch_program
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.executorch_program import INFER, STEP, open_file, open_program
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Bundle]:
    """The same network with group normalization, for batches of 3 and of 8."""
    folder = tmp_path_factory.mktemp("grouped")
    return {
        batch_size: export_fashion(
            folder / str(batch_size),
            model="vgg11_bn",
            split=1,
            backend="executorch",
            normalization="group",
            batch_size=batch_size,
        )
        for batch_size in (3, 8)
    }


@pytest.fixture
def copy(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    bundle = bundle_of("executorch")
    shutil.copytree(bundle.folder, tmp_path / "copy")
    return Bundle(tmp_path / "copy", bundle.manifest)


def test_a_padded_step_is_the_step_of_the_smaller_batch(grouped: dict[int, Bundle]) -> None:
    large, small = open_learner(grouped[8]), open_learner(grouped[3])
    images, labels = load("fashion-mnist-mini", "train").tensors(
        range(12), grouped[3].manifest.input
    )
    for start in range(0, 12, 3):
        batch = images[start : start + 3].numpy(), labels[start : start + 3].numpy()
        padded, whole = large.step(*batch), small.step(*batch)
        assert padded.loss == pytest.approx(whole.loss, rel=1e-5)
        np.testing.assert_allclose(padded.features, whole.features, atol=1e-4)


@pytest.mark.parametrize("name", [STEP, INFER])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_program_is_refused(copy: Bundle, name: str, share: float) -> None:
    path = copy.folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=rf"{path} is no program that ExecuTorch") as refusal:
        open_program(copy, threads=1)
    assert "\n" not in str(refusal.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pte"
    path.write_bytes(b"no program at all" * 100)
    with pytest.raises(BundleError, match="is no program that ExecuTorch"):
        open_file(path)


@pytest.mark.parametrize("name", [STEP, INFER])
def test_a_program_has_memory_for_its_outputs(
    bundle_of: Callable[[str], Bundle], name: str
) -> None:
    """Java can give none, and where there is none the engine ends the process (decision 0016)."""
    meta = open_file(bundle_of("executorch").path(name)).method_meta("forward")
    outputs = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
    assert all(output.is_memory_planned() for output in outputs)


def test_a_program_that_does_not_fit_its_state_is_refused(copy: Bundle) -> None:
    shutil.copy(copy.folder / INFER, copy.folder / STEP)
    learner = open_learner(copy)
    size = copy.manifest.engine.batch_size
    images, labels = load("fashion-mnist-mini", "train").tensors(range(size), copy.manifest.input)
    with pytest.raises(BundleError, match="export the bundle again"):
        learner.step(images.numpy(), labels.numpy())
    assert learner.edge_step == 0


def test_a_missing_or_another_engine_is_told(copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    executorch_program._runtime.cache_clear()
    monkeypatch.setattr(executorch_program, "version", missing)
    with pytest.raises(ConfigError, match=r"executorch is not installed: pip install"):
        open_program(copy, threads=1)
    monkeypatch.setattr(executorch_program, "version", lambda _: "1.6.0")
    with pytest.raises(ConfigError, match=r"executorch 1\.6\.0 is installed, 1\.5\.1 is needed"):
        open_program(copy, threads=1)


def test_opening_says_nothing(copy: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    open_program(copy, threads=2)
    assert capfd.readouterr() == ("", "")
