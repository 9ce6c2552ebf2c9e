"""Records with any values in their fields: what hypothesis is better at than damaged bytes."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli_w
from fuzz.samples import DEVICE, FEATURES, MANIFEST
from hiertk_cloud.ingest.judge import Judge
from hiertk_cloud.log import Accepted, Refused
from hiertk_protocol.codec import decode
from hiertk_protocol.errors import BundleError, ConfigError, ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch, QuantizedFeatures
from hiertk_protocol.manifest import parse_manifest
from hiertk_protocol.messages import FeatureContract
from hiertk_protocol.profile_file import read_edge_profile
from hiertk_protocol.toml_file import read_toml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CONTRACT, JUDGE = FeatureContract(MANIFEST), Judge(MANIFEST)
FAST = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

uint32 = st.integers(0, (1 << 32) - 1)
uint64 = st.integers(0, (1 << 64) - 1)
sizes = st.one_of(st.integers(0, 6), uint32)
quantized = st.builds(
    QuantizedFeatures,
    bits=st.one_of(st.sampled_from((4, 8)), uint32),
    scales=st.one_of(st.just(FEATURES.features.scales), st.binary(max_size=16)),
    zero_points=st.one_of(st.just(FEATURES.features.zero_points), st.binary(max_size=4)),
    compression=st.integers(0, 3),
    payload=st.one_of(st.just(FEATURES.features.payload), st.binary(max_size=64)),
)
batches = st.builds(
    FeatureBatch,
    bundle_id=st.one_of(st.just(MANIFEST.bundle_id), st.binary(max_size=33)),
    device=st.one_of(st.just(DEVICE), st.text(max_size=5)),
    epoch=uint64,
    seq=uint64,
    floor=uint64,
    edge_step=uint64,
    purpose=st.integers(0, 3),
    shape=st.one_of(st.just(list(FEATURES.shape)), st.lists(sizes, max_size=6)),
    features=quantized,
    labels=st.one_of(st.just([0] * 5), st.lists(uint32, max_size=6)),
    early_exit=st.one_of(st.just([9] * 5), st.lists(uint32, max_size=6)),
    early_exit_loss=st.floats(width=32),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@FAST
@given(batches, st.sampled_from((DEVICE, "another", "", "/", "\x00")))
def test_a_message_is_stored_only_if_the_trainer_can_use_it(
    message: FeatureBatch, sender: str
) -> None:
    payload = message.SerializeToString()
    with suppress(ProtocolError):
        answer = JUDGE.judge(sender, payload)
        if isinstance(answer, Refused):
            assert answer.reason
        else:
            assert isinstance(answer, Accepted)
            assert CONTRACT.check(CONTRACT.parse(answer.message)).key == answer.key


@FAST
@given(quantized, st.lists(st.integers(-1, 1 << 40), max_size=6))
def test_any_shape_is_decoded_or_refused(message: QuantizedFeatures, shape: list[int]) -> None:
    with suppress(ProtocolError):
        assert decode(message, tuple(shape)).values.shape == tuple(shape)


@FAST
@given(data=st.data())
def test_a_manifest_with_any_value_anywhere_is_whole_or_refused(data: st.DataObject) -> None:
    content = json.loads(MANIFEST.to_json())
    _replace(content, data)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    with suppress(BundleError):
        assert (
            parse_manifest(text.encode(errors="surrogatepass"), "here").to_json() == text.encode()
        )


@FAST
@given(data=st.data())
def test_a_profile_of_any_values_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    content = data.draw(
        st.dictionaries(
            st.sampled_from(("role", "points", "network", "date", "profile_version")),
            json_values.filter(_is_toml),
        )
    )
    path = tmp_path / "profile.toml"
    path.write_bytes(tomli_w.dumps(content).encode(errors="replace"))
    with suppress(ConfigError):
        read_toml(path, what="a profile", if_missing="", if_wrong="")
        raise AssertionError(read_edge_profile(path))


def _is_toml(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_toml(one) for one in value.values())
    if isinstance(value, list):
        return all(_is_toml(one) for one in value)
    return value is not None


def _replace(content: Any, data: st.DataObject) -> None:
    keys = sorted(content) if isinstance(content, dict) else range(len(content))
    key = data.draw(st.sampled_from(list(keys)))
    if isinstance(content[key], dict | list) and content[key] and data.draw(st.booleans()):
        _replace(content[key], data)
    else:
        content[key] = data.draw(json_values)
