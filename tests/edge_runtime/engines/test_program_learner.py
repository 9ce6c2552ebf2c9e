"""A program with one batch size: padding that changes nothing, refusals, and steps that fail."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from bundles import export_fashion
from hiertk.data import load
from hiertk_edge.engines.program_learner import ProgramLearner
from hiertk_edge.engines.program_state import PARAMETERS, STATE
from hiertk_edge.engines.torch_program import TorchProgram, open_program
from hiertk_edge.learner import Float32Array, SlotArray
from hiertk_protocol.bundle import Bundle
from hiertk_protocol.errors import BundleError, ConfigError, StorageError
from learner_parts import equal
from safetensors.numpy import load_file, save_file
from torch import Tensor

SIZE = 16


class FixedProgram:
    """A program that takes SIZE samples, as an engine with static shapes does."""

    batch_size = SIZE

    def __init__(self, program: TorchProgram) -> None:
        self._program = program

    def step(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        assert len(inputs[0]) == len(inputs[1]) == SIZE
        return self._program.step(inputs)

    def infer(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        assert len(inputs[0]) == SIZE
        return self._program.infer(inputs)


class BrokenProgram(FixedProgram):
    def step(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        super().step(inputs)
        raise BundleError("the engine fails")


@pytest.fixture(scope="module", params=["group", "frozen"])
def independent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle in which no image's features depend on the others of its batch."""
    folder = tmp_path_factory.mktemp("independent") / "bundle"
    settings = {"model": "vgg11_bn", "split": 1, "backend": "torch", "batch_size": SIZE}
    return export_fashion(folder, normalization=request.param, **settings)


@pytest.fixture
def batched(bundle_of: Callable[[str], Bundle]) -> Bundle:
    return bundle_of("torch")


def batch(bundle: Bundle, size: int) -> tuple[Float32Array, SlotArray]:
    images, labels = load("fashion-mnist-mini", "train").tensors(range(size), bundle.manifest.input)
    return images.numpy(), labels.numpy()


def fixed(bundle: Bundle) -> ProgramLearner:
    return ProgramLearner(bundle, FixedProgram(open_program(bundle, threads=1)))


def free(bundle: Bundle) -> ProgramLearner:
    return ProgramLearner(bundle, open_program(bundle, threads=1))


@pytest.mark.parametrize("size", [1, 5, SIZE])
def test_a_padded_step_is_the_step_of_the_smaller_batch(independent: Bundle, size: int) -> None:
    images, labels = batch(independent, size)
    padded, plain = fixed(independent), free(independent)
    assert padded.fixed_batch_size == SIZE
    assert padded.can_train(size)
    results = [learner.forward_backward(images, labels) for learner in (padded, plain)]
    assert results[0].loss == pytest.approx(results[1].loss, abs=1e-6)
    assert results[0].features.shape == (size, *independent.manifest.features.shape)
    assert np.allclose(results[0].features, results[1].features, atol=1e-6)
    assert np.allclose(results[0].logits, results[1].logits, atol=1e-6)
    wanted = plain.gradients()
    for name, gradient in padded.gradients().items():
        scale = np.linalg.norm(wanted[name]) + 1e-6
        assert np.linalg.norm(gradient - wanted[name]) / scale < 1e-4, name


def test_what_is_in_the_padding_does_not_matter(independent: Bundle) -> None:
    """Nothing of a padded sample may leak: the same batch with one more sample differs."""
    images, labels = batch(independent, 5)
    one, other = fixed(independent), fixed(independent)
    one.step(images, labels)
    other.step(images[:4], labels[:4])
    assert not equal(one.parameters(), other.parameters())


def test_a_batch_larger_than_the_program_is_refused(independent: Bundle) -> None:
    learner = fixed(independent)
    assert not learner.can_train(SIZE + 1)
    with pytest.raises(ConfigError, match="a batch of 17: this program trains on up to 16 images"):
        learner.step(*batch(independent, SIZE + 1))


@pytest.mark.parametrize("size", [2, SIZE - 1, SIZE + 1])
def test_batch_statistics_are_not_padded(batched: Bundle, size: int) -> None:
    learner = fixed(batched)
    before = learner.parameters()
    assert not learner.can_train(size)
    with pytest.raises(ConfigError, match="trains on batch statistics of exactly 16 images"):
        learner.step(*batch(batched, size))
    assert equal(before, learner.parameters())
    assert learner.can_train(SIZE)


def test_batch_statistics_of_one_image_are_refused_at_any_batch_size(batched: Bundle) -> None:
    with pytest.raises(ConfigError, match="take 2 images or more"):
        free(batched).step(*batch(batched, 1))


@pytest.mark.parametrize("size", [1, SIZE, SIZE + 1, 2 * SIZE + 3])
def test_inference_pads_and_runs_in_pieces(batched: Bundle, size: int) -> None:
    images, labels = batch(batched, size)
    got, wanted = (learner.evaluate(images, labels) for learner in (fixed(batched), free(batched)))
    assert got.features.shape == wanted.features.shape
    assert np.allclose(got.features, wanted.features, atol=1e-6)
    assert np.allclose(got.logits, wanted.logits, atol=1e-6)
    assert got.loss == pytest.approx(wanted.loss, abs=1e-6)


def test_a_step_whose_program_fails_leaves_everything_as_it_was(
    batched: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    images, labels = batch(batched, SIZE)
    trained = free(batched)
    trained.step(images, labels)
    trained.save(path)
    kept = path.read_bytes()
    broken = ProgramLearner(
        batched, BrokenProgram(open_program(batched, threads=1)), checkpoint=path
    )
    with pytest.raises(BundleError, match="the engine fails"):
        broken.step(images, labels)
    assert equal(broken.parameters(), trained.parameters())
    assert broken.edge_step == 1
    assert path.read_bytes() == kept


def test_a_step_whose_update_fails_leaves_everything_as_it_was(
    batched: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midway, when the first parameters have been computed, and the statistics, too."""
    images, labels = batch(batched, SIZE)
    learner, untouched = free(batched), free(batched)
    before = learner.parameters()

    def fails_midway(values: list[Tensor], *_more: object, **_options: object) -> None:
        values[0].add_(1)
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("hiertk_edge.engines.optimizers.adamw", fails_midway)
        with pytest.raises(MemoryError):
            learner.step(images, labels)
    assert equal(before, learner.parameters())
    assert learner.edge_step == 0
    assert learner.step(images, labels).loss == untouched.step(images, labels).loss
    assert equal(untouched.parameters(), learner.parameters())


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    batched: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    learner = free(batched)
    learner.save(path)
    kept = path.read_bytes()
    learner.step(*batch(batched, SIZE))

    def full_disk(_tensors: object, name: Path, _metadata: object) -> None:
        name.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hiertk_edge.engines.program_checkpoint.save_file", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        learner.save(path)
    assert path.read_bytes() == kept
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("exp_avg/exit.bias"), "'exp_avg/exit.bias' is missing"),
        (lambda tensors: tensors.update(more=np.zeros(1, np.float32)), "'more' is not known"),
        (
            lambda tensors: tensors.update({"parameters/exit.bias": np.zeros(3, np.float32)}),
            r"parameters/exit\.bias is torch\.float32 \(3,\), not \(16,\)",
        ),
        (
            lambda tensors: tensors.update({"parameters/exit.bias": np.zeros(16, np.float64)}),
            r"parameters/exit\.bias is torch\.float64",
        ),
        (
            lambda tensors: tensors.update(more=np.zeros(1 << 20, np.float32)),
            "bytes are more than",
        ),
    ],
)
def test_a_checkpoint_with_other_tensors_is_refused(
    batched: Bundle,
    tmp_path: Path,
    change: Callable[[dict[str, Float32Array]], object],
    message: str,
) -> None:
    path = tmp_path / "checkpoint"
    free(batched).save(path)
    tensors = load_file(path)
    change(tensors)
    metadata = {
        "hiertk_bundle_id": batched.manifest.bundle_id.hex(),
        "hiertk_edge_step": "0",
    }
    save_file(tensors, path, metadata)
    with pytest.raises(BundleError, match=message):
        ProgramLearner(batched, open_program(batched, threads=1), checkpoint=path)


@pytest.mark.parametrize("step", ["", "-1", "1e3", "9" * 16, "٣"])
def test_a_checkpoint_with_an_impossible_step_is_refused(
    batched: Bundle, tmp_path: Path, step: str
) -> None:
    path = tmp_path / "checkpoint"
    free(batched).save(path)
    metadata = {"hiertk_bundle_id": batched.manifest.bundle_id.hex(), "hiertk_edge_step": step}
    save_file(load_file(path), path, metadata)
    with pytest.raises(BundleError, match="is no checkpoint of this engine: edge step"):
        ProgramLearner(batched, open_program(batched, threads=1), checkpoint=path)


@pytest.fixture
def copied(batched: Bundle, tmp_path: Path) -> Bundle:
    """A bundle whose files may be changed; opened without its checksums."""
    for name in batched.manifest.files:
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((batched.folder / name).read_bytes())
    return Bundle(tmp_path / "copy", batched.manifest)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"", r"state\.json: the whole: Invalid JSON"),
        (b"[]", r"state\.json: the whole"),
        (b'{"parameters": [], "statistics": []}', "constants: Field required"),
        (b'{"parameters": ["a", "a"], "statistics": [], "constants": []}', "twice"),
        (b'{"parameters": ["a"], "statistics": [], "constants": []}', "is not in both"),
        (b" " * ((1 << 22) + 1), "more than 4194304 bytes"),
    ],
)
def test_names_that_do_not_fit_are_refused(copied: Bundle, state: bytes, message: str) -> None:
    copied.path(STATE).write_bytes(state)
    with pytest.raises(BundleError, match=message) as raised:
        free(copied)
    assert "\n" not in str(raised.value)


def test_parameters_of_another_shape_are_refused(copied: Bundle) -> None:
    tensors = load_file(copied.path(PARAMETERS))
    tensors["exit.bias"] = np.zeros(1, np.float32)
    save_file(tensors, copied.path(PARAMETERS))
    with pytest.raises(BundleError, match="export the bundle again"):
        free(copied).step(*batch(copied, SIZE))


def test_a_program_of_another_network_is_refused(copied: Bundle) -> None:
    """With one parameter fewer it takes one value too many."""
    names = json.loads(copied.path(STATE).read_bytes())
    names["parameters"].remove("exit.bias")
    copied.path(STATE).write_text(json.dumps(names))
    tensors = load_file(copied.path(PARAMETERS))
    del tensors["exit.bias"]
    save_file(tensors, copied.path(PARAMETERS))
    with pytest.raises(BundleError, match="values, the bundle has"):
        free(copied).step(*batch(copied, SIZE))
