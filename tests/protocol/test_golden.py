import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from hiertk_protocol import hiertk_pb2
from hiertk_protocol.codec import Quantized, UInt8Array, decode, dequantize, encode, pack, quantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch, QuantizedFeatures
from hiertk_protocol.pairing import parse_pairing
from make_golden import GOLDEN, write

CODEC: list[dict[str, Any]] = json.loads((GOLDEN / "codec.json").read_text())
MESSAGES: list[dict[str, Any]] = json.loads((GOLDEN / "messages.json").read_text())
PAIRING: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "pairing.json").read_text())

each_case = pytest.mark.parametrize("case", CODEC, ids=[case["name"] for case in CODEC])
each_message = pytest.mark.parametrize(
    "description", MESSAGES, ids=[Path(description["file"]).stem for description in MESSAGES]
)


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def quantized_case(case: dict[str, Any]) -> Quantized:
    return quantize(floats(case["features"]).reshape(case["shape"]), case["bits"])


@each_case
def test_quantizing_gives_the_golden_bytes(case: dict[str, Any]) -> None:
    quantized = quantized_case(case)
    assert quantized.scales.tobytes() == base64.b64decode(case["scales"])
    assert quantized.zero_points.tobytes() == base64.b64decode(case["zero_points"])
    assert pack(quantized).tobytes() == base64.b64decode(case["packed"])


@each_case
def test_golden_bytes_dequantize_to_the_golden_features(case: dict[str, Any]) -> None:
    message = QuantizedFeatures(
        bits=case["bits"],
        scales=base64.b64decode(case["scales"]),
        zero_points=base64.b64decode(case["zero_points"]),
        payload=base64.b64decode(case["packed"]),
    )
    features = dequantize(decode(message, tuple(case["shape"])))
    assert features.tobytes() == base64.b64decode(case["dequantized"])


@each_case
def test_golden_cases_survive_compression(case: dict[str, Any]) -> None:
    decoded = decode(encode(quantized_case(case)), tuple(case["shape"]))
    assert pack(decoded).tobytes() == base64.b64decode(case["packed"])


def reference_quantization(case: dict[str, Any]) -> tuple[list[float], list[int], list[int]]:
    """Follow the rules at the head of codec.py, value by value, as another language would."""
    count, channels, height, width = case["shape"]
    features = floats(case["features"]).reshape(count, channels, height * width)
    qmax = 2 ** case["bits"] - 1
    scales: list[float] = []
    zero_points: list[int] = []
    for channel in range(channels):
        values = [float(value) for value in features[:, channel].ravel()]
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        scale = float(np.float32(max((high - low) / qmax, 2.0**-126)))
        scales.append(scale)
        zero_points.append(min(max(round(-low / scale), 0), qmax))
    quantized = []
    for sample in features:
        for channel in range(channels):
            for value in sample[channel]:
                quotient = float(np.float32(value) / np.float32(scales[channel]))
                quantized.append(min(max(round(quotient) + zero_points[channel], 0), qmax))
    return scales, zero_points, quantized


@each_case
def test_golden_cases_follow_the_written_rules(case: dict[str, Any]) -> None:
    quantized = quantized_case(case)
    flat: UInt8Array = quantized.values.reshape(-1)
    assert reference_quantization(case) == (
        quantized.scales.tolist(),
        quantized.zero_points.tolist(),
        flat.tolist(),
    )


@each_message
def test_golden_messages_have_the_golden_fields(description: dict[str, Any]) -> None:
    data = (GOLDEN / description["file"]).read_bytes()
    kind = getattr(hiertk_pb2, description["message"])
    expected = ParseDict(description["fields"], kind())
    assert expected.SerializeToString(deterministic=True) == data
    assert kind.FromString(data).SerializeToString(deterministic=True) == data


@pytest.mark.parametrize("name", ["uncompressed", "zstd"])
def test_golden_feature_batches_decode(name: str) -> None:
    data = (GOLDEN / "messages" / f"feature_batch_{name}.bin").read_bytes()
    batch = FeatureBatch.FromString(data)
    decoded = decode(batch.features, tuple(batch.shape))
    assert decoded.values.shape == (2, 4, 2, 2)
    if name == "zstd":
        assert decoded.values.reshape(-1).tolist() == [0, 1, 2, 3] * 8


@pytest.mark.parametrize("case", PAIRING["accepted"], ids=lambda case: case["name"])
def test_golden_pairing_codes_say_the_golden_fields(case: dict[str, Any]) -> None:
    found = parse_pairing(case["text"])
    derived = {
        "host": found.host,
        "port": found.port,
        "ca_der": base64.b64encode(found.ca_der).decode(),
    }
    assert found.model_dump() | derived == case["fields"]


@pytest.mark.parametrize("case", PAIRING["refused"], ids=lambda case: case["name"])
def test_golden_texts_that_are_no_pairing_codes_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_pairing(case["text"])


def test_regenerated_vectors_are_byte_equal(tmp_path: Path) -> None:
    write(tmp_path)
    assert all_files(tmp_path) == {
        name: data for name, data in all_files(GOLDEN).items() if name != "README.md"
    }


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
