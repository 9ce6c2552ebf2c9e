import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hiertk_protocol.errors import BundleError
from hiertk_protocol.manifest import (
    CLOSED_SLOT_BIAS,
    MAX_MANIFEST_BYTES,
    AdamW,
    ClassInfo,
    FeatureInfo,
    Manifest,
    Sgd,
    parse_manifest,
)
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import make_manifest

MANIFEST = make_manifest()
JSON = MANIFEST.to_json()


def canonical(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def edited(edit: Callable[[Any], object]) -> bytes:
    content = json.loads(JSON)
    edit(content)
    return canonical(content)


def test_a_manifest_comes_back_with_its_identity() -> None:
    parsed = parse_manifest(JSON, "here")
    assert parsed == MANIFEST
    assert parsed.bundle_id == MANIFEST.bundle_id
    assert len(parsed.bundle_id) == 32
    assert parsed.deployment == MANIFEST.bundle_id.hex()[:16]


def test_the_canonical_form_is_plain_indented_json() -> None:
    assert canonical(json.loads(JSON)) == JSON


def test_another_content_is_another_deployment() -> None:
    other = MANIFEST.model_copy(update={"target": "linux"})
    assert other.deployment != MANIFEST.deployment


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, 10**30])
def test_another_schema_version_is_named(version: object) -> None:
    data = edited(lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match=r"^here: schema version .{1,20} is not 1: export"):
        parse_manifest(data, "here")


def test_a_schema_version_of_thousands_of_digits_is_refused() -> None:
    data = JSON.replace(b'"schema_version": 1', b'"schema_version": ' + b"9" * 10_000)
    with pytest.raises(BundleError):
        parse_manifest(data, "here")


@pytest.mark.parametrize(
    "data",
    [
        JSON[:-1],
        JSON + b"\n",
        b"\xef\xbb\xbf" + JSON,
        JSON.replace(b"  ", b"    "),
        JSON.replace(b"\n", b"\r\n"),
        JSON.replace(b'"schema_version": 1', b'"schema_version": 1.0'),
        JSON.replace(b'"target": "rpi"', b'"target": "linux",\n  "target": "rpi"'),
        JSON.replace(b'"rpi"', b'"\\u0072pi"'),
        JSON.replace(b'"split": 3', b'"split": "3"'),
        JSON.replace(b"1e-05", b"0.00001"),
        canonical(dict(reversed(json.loads(JSON).items()))),
    ],
)
def test_the_same_content_in_another_form_is_refused(data: bytes) -> None:
    assert data != JSON
    with pytest.raises(BundleError):
        parse_manifest(data, "here")


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.update(target="windows"),
        lambda content: content.update(extra=1),
        lambda content: content.pop("engine"),
        lambda content: content["model"].update(name="a b"),
        lambda content: content["model"].update(split=0),
        lambda content: content["model"].update(edge_parameters=-1),
        lambda content: content["input"].update(size=7),
        lambda content: content["input"].update(std=[0.25, 0, 0.25]),
        lambda content: content["input"].update(mean=[0.5, 0.5]),
        lambda content: content["features"].update(bits=5),
        lambda content: content["features"].update(shape=[3, 2, 0]),
        lambda content: content["features"].update(shape=[3, 2, 1 << 21]),
        lambda content: content["classes"].update(names=["same", "same"]),
        lambda content: content["classes"].update(names=[""]),
        lambda content: content["classes"].update(names=["a\tb"]),
        lambda content: content["classes"].update(names=["a  b"]),
        lambda content: content["classes"].update(capacity=1),
        lambda content: content["classes"].update(capacity=1 << 20),
        lambda content: content["optimizer"].update(learning_rate=0),
        lambda content: content["optimizer"].update(beta1=1),
        lambda content: content["engine"].update(backend="tensorflow"),
        lambda content: content["parity"][0].update(worst=-1),
        lambda content: content["files"]["edge/checkpoint"].update(size=-1),
        lambda content: content["files"]["edge/checkpoint"].update(size=1 << 40),
        lambda content: content["files"]["edge/checkpoint"].update(sha256="0" * 63),
        lambda content: content["files"]["edge/checkpoint"].update(sha256="0" * 64 + "\n"),
    ],
)
def test_an_impossible_content_is_refused(edit: Callable[[Any], object]) -> None:
    with pytest.raises(BundleError, match=r"^here: (?!not in canonical form)"):
        parse_manifest(edited(edit), "here")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "/etc/passwd", "edge/../../x", "edge//x", "edge/", ".hidden"),
        *("edge/.hidden", "a\\b", "C:x", "x\n", "x\0", "a/b/c/d/e", "ä", "edge/ x", "-x"),
    ],
)
def test_a_file_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    def rename(content: Any) -> None:
        content["files"][name] = content["files"].pop("edge/checkpoint")

    with pytest.raises(BundleError, match="is not allowed"):
        parse_manifest(edited(rename), "here")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_is_not_finite_is_refused(number: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(JSON.replace(b"1e-08", number), "here")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_bundle_errors(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(data, "here")


@given(st.data())
def test_every_changed_byte_is_refused_or_gives_another_deployment(data: st.DataObject) -> None:
    changed = bytearray(JSON)
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != JSON[place]))
    try:
        manifest = parse_manifest(bytes(changed), "here")
    except BundleError:
        return
    assert manifest.deployment != MANIFEST.deployment


@given(st.text(alphabet='{}[]":,\\u0d8 1e-.tfn', max_size=200))
def test_json_like_text_raises_only_bundle_errors(text: str) -> None:
    with pytest.raises(BundleError):
        parse_manifest(text.encode(), "here")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"files":' * 10_000,
        b'{"target": "\\ud800"}',
        JSON.replace(b'"shirt"', b'"\\ud800"'),
        b'{"input": {"size": ' + b"1" * 500_000 + b"}}",
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
)
def test_hostile_json_raises_only_bundle_errors(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(data, "here")


def test_errors_are_one_line() -> None:
    data = edited(lambda content: content["model"].update(name="two\nlines"))
    with pytest.raises(BundleError) as caught:
        parse_manifest(data, "here")
    assert "\n" not in str(caught.value)


def test_free_slots_are_closed_by_their_bias() -> None:
    bias = ClassInfo(names=("a", "b"), capacity=4).bias()
    assert bias.dtype == np.float32
    assert bias.tolist() == [0, 0, CLOSED_SLOT_BIAS, CLOSED_SLOT_BIAS]


def test_packed_bytes_of_an_odd_sample_are_rounded_up() -> None:
    assert FeatureInfo(shape=(3, 3, 3), bits=4).packed_bytes == 14
    assert FeatureInfo(shape=(3, 3, 3), bits=8).packed_bytes == 27


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        MANIFEST.target = "linux"  # type: ignore[misc]


def test_input_sizes_are_derived() -> None:
    assert MANIFEST.input.shape == (3, 32, 32)
    assert MANIFEST.input.raw_bytes == 3072


def test_every_manifest_that_validates_is_read_back() -> None:
    odd = Manifest.model_validate(
        {**MANIFEST.model_dump(), "classes": {"names": ("Öl 🧴", "a\\\"'"), "capacity": 2}}
    )
    assert parse_manifest(odd.to_json(), "here") == odd


@pytest.mark.parametrize(
    "optimizer",
    [AdamW(weight_decay=0.5), Sgd(), Sgd(momentum=0.0, learning_rate=10), Sgd(nesterov=True)],
)
def test_either_optimizer_comes_back(optimizer: AdamW | Sgd) -> None:
    manifest = MANIFEST.model_copy(update={"optimizer": optimizer})
    parsed = parse_manifest(manifest.to_json(), "here")
    assert parsed.optimizer == optimizer
    assert type(parsed.optimizer) is type(optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adam", "learning_rate": 0.1},
        {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "beta1": 0.9},
        {"name": "sgd", "learning_rate": 0.1, "momentum": 1.0, "weight_decay": 0.0},
        {"name": "sgd", "learning_rate": 0.0},
        {"name": "sgd", "momentum": 0.0, "nesterov": True},
        {"learning_rate": 0.1},
        [],
        None,
    ],
)
def test_an_optimizer_that_is_none_is_named(optimizer: object) -> None:
    data = edited(lambda content: content.update(optimizer=optimizer))
    with pytest.raises(BundleError, match=r"^here: optimizer"):
        parse_manifest(data, "here")
