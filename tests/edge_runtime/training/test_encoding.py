import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from edge_parts import DEVICE, make_manifest
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.learner import StepResult
from hiertk_edge.training.encoding import BatchEncoder, split
from hiertk_protocol.codec import dequantize, quantize
from hiertk_protocol.errors import ConfigError, ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.messages import NEW_CLASS, FeatureContract
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = (4, 4, 4)


def make_result(count: int, seed: int = 0) -> StepResult:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, *SHAPE)).astype(np.float32)
    return StepResult(1.25, features, generator.normal(size=(count, 4)).astype(np.float32))


def encode(result: StepResult, max_bytes: int, bits: int = 8) -> list[FeatureBatch]:
    manifest = make_manifest(bits=8 if bits == 8 else 4)
    labels = np.arange(len(result.features), dtype=np.int64) % 3
    return BatchEncoder(manifest, DEVICE).encode(
        result, labels, edge_step=17, purpose=FeatureBatch.HELD_OUT, max_bytes=max_bytes
    )


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), max_bytes=st.integers(300, 4000), bits=st.sampled_from([8, 4]))
def test_the_parts_together_are_exactly_the_batch(count: int, max_bytes: int, bits: int) -> None:
    result = make_result(count)
    contract = FeatureContract(make_manifest(bits=8 if bits == 8 else 4))
    parts = []
    for message in encode(result, max_bytes, bits):
        message.epoch, message.seq, message.floor = (1 << 64) - 1, (1 << 62), 1 << 62
        assert message.ByteSize() <= max_bytes
        parts.append(contract.check(contract.parse(message.SerializeToString())))
    sizes = [len(part.labels) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    features = np.concatenate([dequantize(part.features) for part in parts])
    assert np.array_equal(features, dequantize(quantize(result.features, bits)))
    assert np.concatenate([part.labels for part in parts]).tolist() == [i % 3 for i in range(count)]
    early = np.concatenate([part.early_exit for part in parts])
    assert np.array_equal(early, result.predictions)
    assert all(part.edge_step == 17 and part.held_out for part in parts)
    assert all(part.early_exit_loss == 1.25 for part in parts)


def test_what_fits_is_one_message() -> None:
    assert len(encode(make_result(32), 120 * 1024)) == 1


def test_no_fewer_parts_would_fit() -> None:
    result = make_result(32)
    parts = encode(result, 1000)
    fewer = len(parts) - 1
    largest = -(-32 // fewer)
    whole = StepResult(result.loss, result.features[:largest], result.logits[:largest])
    assert len(parts) > 1
    assert encode(whole, 120 * 1024)[0].ByteSize() + 40 > 1000


def test_one_image_too_large_for_a_message_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"a message holds 150: .*fewer bits or a deeper"):
        encode(make_result(8), 150)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e31])
def test_diverged_features_are_no_message(value: float) -> None:
    result = make_result(4)
    result.features[1, 2, 3, 0] = value
    with pytest.raises(ProtocolError, match="diverged"):
        encode(result, 10_000)


def test_a_diverged_loss_is_no_message() -> None:
    result = make_result(4)
    with pytest.raises(ProtocolError, match="diverged"):
        encode(StepResult(math.nan, result.features, result.logits), 10_000)


@pytest.mark.parametrize(("own", "asked", "made"), [(8, 8, 8), (8, 4, 4), (4, 8, 4), (8, None, 8)])
def test_bits_are_as_asked_but_never_above_the_bundles(
    own: Literal[8, 4], asked: int | None, made: int
) -> None:
    encoder = BatchEncoder(make_manifest(bits=own), DEVICE)
    result = make_result(4)
    labels = np.zeros(4, np.int64)
    purpose = FeatureBatch.TRAIN
    (message,) = encoder.encode(result, labels, edge_step=1, purpose=purpose, bits=asked)
    assert message.features.bits == made


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 40), max_bytes=st.integers(100, 4000), bits=st.sampled_from([8, 4]))
def test_a_stored_message_is_split_into_parts_that_are_exactly_it(
    count: int, max_bytes: int, bits: int
) -> None:
    (whole,) = encode(make_result(count), 1 << 20, bits)
    parts = split(whole.SerializeToString(), max_bytes)
    if not parts:
        with pytest.raises(ConfigError):
            encode(make_result(count), max_bytes, bits)
        return
    assert all(part.ByteSize() + 40 <= max_bytes for part in parts)
    contract = FeatureContract(make_manifest(bits=8 if bits == 8 else 4))
    values = [contract.check(numbered(part)).features.values for part in parts]
    assert np.array_equal(np.concatenate(values), contract.check(numbered(whole)).features.values)
    assert [label for part in parts for label in part.labels] == list(whole.labels)
    assert {part.features.scales for part in parts} == {whole.features.scales}


def numbered(message: FeatureBatch) -> FeatureBatch:
    message.seq = 1
    return message


def test_what_is_no_message_is_not_split() -> None:
    (whole,) = encode(make_result(4), 1 << 20)
    whole.labels.append(1)
    for damaged in (b"\xff\xff", whole.SerializeToString()):
        with pytest.raises(ProtocolError, match="a message in the spool"):
            split(damaged, 1000)


def test_new_classes_go_by_name_in_every_part(tmp_path: Path) -> None:
    manifest = make_manifest()
    classes = DeviceClasses(tmp_path / "classes.json", manifest, Problems(lambda *_: None))
    slot = classes.name_new("cup")
    features = np.random.default_rng(0).normal(size=(40, 4, 4, 4)).astype(np.float32)
    logits = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    labels = np.array([0, slot] * 20)
    messages = BatchEncoder(manifest, DEVICE, classes).encode(
        StepResult(1.0, features, logits),
        labels,
        edge_step=0,
        purpose=FeatureBatch.TRAIN,
        max_bytes=900,
    )
    assert len(messages) > 1
    for message in [*messages, *split(messages[0].SerializeToString(), 500)]:
        message.seq = 1
        FeatureContract(manifest).validate(message)
        assert list(message.new_classes) == ["cup"]
        assert message.class_map_version == 1
    found = [label for message in messages for label in message.labels]
    assert found == [0, NEW_CLASS] * 20
    said = [label for message in messages for label in message.early_exit]
    assert said == [0, 1, 2, NEW_CLASS] * 10
