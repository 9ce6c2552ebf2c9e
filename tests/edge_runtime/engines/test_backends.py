"""The manifest says which engine; one that is not there, or another version, is one line."""

import sys
from collections.abc import Callable
from typing import Literal

import pytest
from hiertk_edge.engines.backends import open_learner
from hiertk_edge.engines.ort_learner import OrtLearner
from hiertk_edge.engines.program_learner import ProgramLearner
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError


def of_version(bundle: Bundle, version: str) -> Bundle:
    engine = bundle.manifest.engine.model_copy(update={"version": version})
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"engine": engine}))


def test_the_manifest_chooses_the_engine(bundle_of: Callable[[str], Bundle]) -> None:
    assert isinstance(open_learner(bundle_of("onnxruntime")), OrtLearner)
    assert isinstance(open_learner(bundle_of("torch")), ProgramLearner)


@pytest.mark.parametrize("backend", ["torch", "executorch"])
def test_a_missing_pytorch_is_one_line(
    bundle_of: Callable[[str], Bundle],
    monkeypatch: pytest.MonkeyPatch,
    backend: Literal["torch", "executorch"],
) -> None:
    bundle = bundle_of("torch")
    engine = bundle.manifest.engine.model_copy(update={"backend": backend})
    manifest = bundle.manifest.model_copy(update={"engine": engine})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=rf"pip install 'hiertk\[edge-{backend}\]'") as raised:
        open_learner(Bundle(bundle.folder, manifest))
    assert "\n" not in str(raised.value)


def test_torch_of_another_minor_version_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    bundle = bundle_of("torch")
    major, minor, _ = bundle.manifest.engine.version.split(".")
    assert open_learner(of_version(bundle, f"{major}.{minor}.99")).edge_step == 0
    with pytest.raises(BundleError, match=rf"install torch {major}\.99, or export"):
        open_learner(of_version(bundle, f"{major}.99.0"))


def test_a_learning_rate_of_the_devices_own_replaces_the_bundles(
    bundle_of: Callable[[str], Bundle],
) -> None:
    assert open_learner(bundle_of("torch"), learning_rate=0.25).learning_rate == 0.25
    with pytest.raises(ConfigError, match="learning rate 0: above 0, up to 10"):
        open_learner(bundle_of("torch"), learning_rate=0)
