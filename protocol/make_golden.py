"""Write protocol/golden/: what every implementation of the protocol must reproduce.

Run `python protocol/make_golden.py [FOLDER]`. The result depends on nothing but this file and the
codec: inputs come from integer arithmetic, and no byte from the version of a compressor.
"""

import base64
import json
import math
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hiertk_protocol.codec import Float32Array, dequantize, encode, pack, quantize
from hiertk_protocol.hiertk_pb2 import (
    Ack,
    ClassAlias,
    ClassMap,
    ClassReply,
    ClassRequest,
    ClassSlot,
    DeviceStatus,
    FeatureBatch,
    ModelStatus,
    QuantizedFeatures,
    Refusal,
)
from hiertk_protocol.pairing import Pairing, encode_ca, parse_pairing

GOLDEN = Path(__file__).with_name("golden")
_BUNDLE_ID = bytes(range(32))
# 0 1 2 3, eight times, as zstd 1.5.7 compresses it: other versions may choose other bytes.
_ZSTD_PAYLOAD = bytes.fromhex("28b52ffd202055000020000102030100338e08")

_DRAWN = "T7vYw0Kx3sQmZb9RcJd1LfHn5pGt8uEa"  # a password as the service draws them
# A CA that `hiertk-cloud provision` made once; nobody has its key any more.
_CA = base64.b64decode(
    "MIIBfTCCASOgAwIBAgIUCHRimMEAmcHrM5cKi2en67Wy0QMwCgYIKoZIzj0EAwIwGzEZMBcGA1UEAwwQSGllclRL"
    "IGF1dGhvcml0eTAeFw0yNjExMjEwMTA4MTFaFw00NjExMTcwMTA4MTFaMBsxGTAXBgNVBAMMEEhpZXJUSyBhdXRo"
    "b3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARs/zQHJSQeGlM2HgdZ22/7cxscsXVR8efEhAjvwRx/WfJ3"
    "4P5wPTCgIUT82YVhBh2nguUs5WhRE9GpFA2mh+A/o0UwQzAdBgNVHQ4EFgQUzM8fO45nujYiIJ46sHn3l2G8go4w"
    "EgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwIDSAAwRQIhAPjqIIw7AaZ2KMMI"
    "X1hZviF2/PasXAG1xfbvR/C2e+/5AiB8+HkoR4rOdqOgC5zo5+f/dfLLOGQtVV4BRjrAiLQd6w=="
)


@dataclass(frozen=True)
class Case:
    """Features to quantize."""

    name: str
    bits: int
    features: Float32Array


def codec_cases() -> list[Case]:
    """Return the features that the codec's vectors are made from."""
    return [
        Case("mixed_8", 8, _mixed((2, 3, 4, 4), -5, 7)),
        Case("mixed_4", 4, _mixed((2, 3, 4, 4), -5, 7)),
        Case("after_relu_8", 8, np.maximum(_mixed((2, 4, 3, 3), -2, 6), 0)),
        Case("after_relu_4", 4, np.maximum(_mixed((2, 4, 3, 3), -2, 6), 0)),
        Case("odd_count_8", 8, _mixed((1, 3, 3, 1), -1, 1)),
        Case("odd_count_4", 4, _mixed((1, 3, 3, 1), -1, 1)),
        Case("one_value_8", 8, _table([[0.1]])),
        Case("one_value_4", 4, _table([[0.1]])),
        Case("negative_8", 8, _mixed((1, 2, 2, 4), -9, -3)),
        Case("negative_4", 4, _mixed((1, 2, 2, 4), -9, -3)),
        Case("constant_8", 8, _table([[0.0] * 4, [3.7] * 4, [-3.7] * 4])),
        Case("constant_4", 4, _table([[0.0] * 4, [3.7] * 4, [-3.7] * 4])),
        # The scale is 1, so that halves are exact: 0.5 goes to 0, 1.5 and 2.5 to 2.
        Case("ties_8", 8, _table([[0, 0.5, 1.5, 2.5, 253.5, 254.5, 255]])),
        Case("ties_4", 4, _table([[0, 0.5, 1.5, 2.5, 12.5, 13.5, 14.5, 15]])),
        # The zero point itself is a tie: 0.5 goes to 0, 1.5 to 2.
        Case("zero_point_ties_8", 8, _table([[-0.5, 0, 254.5], [-1.5, 0, 253.5]])),
        Case("zero_point_ties_4", 4, _table([[-0.5, 0, 14.5], [-1.5, 0, 13.5]])),
        # Ties of negative values; the largest value is clipped where its zero point was rounded up.
        Case("negative_ties_4", 4, _table([[-7.5, -6.5, -0.5, 0.5, 6.5, 7.5]])),
        Case("tiny_8", 8, _table([[1e-45, -1e-40, 2.0**-126], [0, 1e-37, 3e-37]])),
        Case("huge_8", 8, _table([[1e30, -1e30, 1e29], [0, 1e30, 1]])),
        Case("huge_4", 4, _table([[1e30, -1e30, 1e29], [0, 1e30, 1]])),
    ]


def messages() -> dict[str, Message]:
    """Return the messages whose bytes are given, by file name."""
    return {
        "feature_batch_uncompressed": _feature_batch(_four_bits_uncompressed()),
        "feature_batch_zstd": _feature_batch(_eight_bits_zstd()),
        "feature_batch_new_class": _of_a_new_class(),
        "ack": Ack(
            epoch=0xFEDCBA9876543210,
            through=41,
            beyond=[43, 44, 1 << 40],
            refused=[Refusal(seq=40, reason="labels name slot 12 of 10")],
        ),
        "ack_of_nothing": Ack(epoch=1),
        "device_status": DeviceStatus(
            state=DeviceStatus.TRAINING,
            edge_step=1200,
            early_exit_loss=0.75,
            early_exit_accuracy=0.8125,
            early_exit_held_out_accuracy=math.nan,
            spool_batches=3,
            spool_bytes=98304,
            spooled_total=1200,
            dropped_total=2,
            refused_total=1,
            sent_total=1250,
            sent_bytes=40_000_000,
            step_ms=12.5,
            bad_images=4,
            samples_total=38400,
            payload_bytes_total=39_000_000,
        ),
        "device_status_offline": DeviceStatus(state=DeviceStatus.OFFLINE),
        "model_status": ModelStatus(
            state=ModelStatus.ONLINE,
            incarnation=0x0123456789ABCDEF,
            cloud_step=1100,
            final_exit_loss=0.5,
            final_exit_accuracy=0.875,
            final_exit_held_out_accuracy=0.84375,
            stored_total=1197,
            consumed_total=1190,
            refused_total=1,
            duplicates_total=50,
            max_message_bytes=122880,
            step_ms=20.25,
            trained_total=1100,
        ),
        "class_map": ClassMap(
            version=3,
            slots=[
                ClassSlot(slot=0, name="T-shirt/top", since=1),
                ClassSlot(
                    slot=1,
                    name="Hose",
                    since=1,
                    aliases=[ClassAlias(name="Trousers", slot=3, since=2)],
                ),
                ClassSlot(slot=2, name="Öl-Fläschchen 🧴", since=3),
            ],
        ),
        "class_request": ClassRequest(bundle_id=_BUNDLE_ID, name="Öl-Fläschchen 🧴"),
        "class_reply": ClassReply(slot=2, version=3),
        "class_reply_refused": ClassReply(error="all 16 slots are taken"),
    }


def accepted_pairings() -> dict[str, str]:
    """Return pairing codes that are read, by name."""
    text = _pairing().to_text()
    content = json.loads(text.removeprefix("hiertk:1:"))
    later = {"later": {"a": [1]}, **dict(reversed(content.items()))}
    return {
        "a_name": text,
        "an_ipv6_address": _pairing(broker="mqtts://[2001:db8::7]:65535").to_text(),
        "white_space_around": f" \n{text}\r\n",
        "spaces_other_order_and_a_later_key": f"hiertk:1:{json.dumps(later, indent=1)}",
    }


def refused_pairings() -> dict[str, str]:
    """Return texts that are no pairing codes of this version, by name."""
    text = _pairing().to_text()
    changes = {
        "another_version": ("hiertk:1:", "hiertk:2:"),
        "no_version": ("hiertk:1:", "hiertk:"),
        "other_beginning": ("hiertk:1:", "HIERTK:1:"),
        "damaged": ("}", ""),
        "more_behind_it": ("}", "}{}"),
        "without_encryption": ("mqtts:", "mqtt:"),
        "broker_without_port": (":8884", ""),
        "broker_port_too_large": (":8884", ":65536"),
        "broker_with_user": ("//broker", "//me@broker"),
        "broker_with_path": (":8884", ":8884/x"),
        "device_name_in_capitals": ("phone-1", "Phone-1"),
        "device_named_down": ("phone-1", "down"),
        "deployment_too_short": ("0123456789abcdef", "0123456789abcde"),
        "deployment_of_a_line_more": ("0123456789abcdef", "0123456789abcdef\\n"),
        "password_empty": (_DRAWN, ""),
        "password_with_a_space": ("T7vY", "T7v "),
        "password_too_long": ("T7vY", "T7vY" * 40),
        "password_is_a_number": (f'"{_DRAWN}"', "7"),
        "ca_with_a_sign_of_plain_base64": ("MIIB", "MI+B"),
        "ca_too_long": ("MIIB", "MIIB" * 400),
        "ca_of_an_impossible_length": ("MIIB", "MII"),
        "key_missing": ('"device":"phone-1",', ""),
        "key_twice": ('"device":"phone-1",', '"device":"phone-1","device":"phone-2",'),
        "not_ascii": ('"device"', '"é":1,"device"'),
        "too_long": ('"device"', f'"later":"{"x" * 3000}","device"'),
    }
    return {
        "empty": "",
        "a_web_address": "https://broker.example/",
        "a_list": "hiertk:1:[]",
        "deep": "hiertk:1:" + "[" * 2000,
        **{name: text.replace(old, new, 1) for name, (old, new) in changes.items()},
    }


def write(folder: Path) -> None:
    """Write all vectors to a folder."""
    (folder / "messages").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "codec.json", [_codec_vector(case) for case in codec_cases()])
    descriptions = []
    for name, message in messages().items():
        file = f"messages/{name}.bin"
        (folder / file).write_bytes(message.SerializeToString(deterministic=True))
        descriptions.append(
            {
                "file": file,
                "message": message.DESCRIPTOR.name,
                "fields": MessageToDict(
                    message,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                ),
            }
        )
    _write_json(folder / "messages.json", descriptions)
    _write_json(folder / "pairing.json", _pairing_vectors())


def _codec_vector(case: Case) -> dict[str, Any]:
    quantized = quantize(case.features, case.bits)
    return {
        "name": case.name,
        "bits": case.bits,
        "shape": list(case.features.shape),
        "features": _base64(case.features.astype("<f4").tobytes()),
        "scales": _base64(quantized.scales.astype("<f4").tobytes()),
        "zero_points": _base64(quantized.zero_points.tobytes()),
        "packed": _base64(pack(quantized).tobytes()),
        "dequantized": _base64(dequantize(quantized).astype("<f4").tobytes()),
    }


def _pairing(broker: str = "mqtts://broker.example:8884") -> Pairing:
    return Pairing(
        broker=broker,
        device="phone-1",
        deployment="0123456789abcdef",
        password=_DRAWN,
        ca=encode_ca(_CA),
    )


def _pairing_vectors() -> dict[str, Any]:
    accepted = []
    for name, text in accepted_pairings().items():
        found = parse_pairing(text)
        derived = {"host": found.host, "port": found.port, "ca_der": _base64(found.ca_der)}
        accepted.append({"name": name, "text": text, "fields": found.model_dump() | derived})
    refused = [{"name": name, "text": text} for name, text in refused_pairings().items()]
    return {"accepted": accepted, "refused": refused}


def _feature_batch(features: QuantizedFeatures) -> FeatureBatch:
    return FeatureBatch(
        bundle_id=_BUNDLE_ID,
        device="rpi-kitchen-2",
        epoch=0xFEDCBA9876543210,
        seq=42,
        floor=40,
        edge_step=1200,
        class_map_version=3,
        purpose=FeatureBatch.TRAIN,
        shape=[2, 4, 2, 2],
        features=features,
        labels=[1, 300],
        early_exit=[1, 0],
        early_exit_loss=0.75,
    )


def _of_a_new_class() -> FeatureBatch:
    message = _feature_batch(_four_bits_uncompressed())
    message.labels[:] = [65536, 2]
    message.new_classes.append("Öl-Fläschchen 🧴")
    return message


def _four_bits_uncompressed() -> QuantizedFeatures:
    quantized = quantize(_mixed((2, 4, 2, 2), -3, 3), 4)
    message = encode(quantized)
    message.compression = QuantizedFeatures.NONE
    message.payload = pack(quantized).tobytes()
    return message


def _eight_bits_zstd() -> QuantizedFeatures:
    return QuantizedFeatures(
        bits=8,
        scales=struct.pack("<4f", 0.5, 0.25, 1.0, 0.1),
        zero_points=bytes([0, 128, 255, 3]),
        compression=QuantizedFeatures.ZSTD,
        payload=_ZSTD_PAYLOAD,
    )


def _mixed(shape: tuple[int, int, int, int], low: int, high: int) -> Float32Array:
    """Return scattered values between two integers, multiples of 2^-12 and so exact in float32."""
    index = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    scattered = (index * 2654435761) % (1 << 32) % ((high - low) << 12)
    features: Float32Array = scattered.astype(np.float32) / np.float32(1 << 12) + np.float32(low)
    return features.reshape(shape)


def _table(channels: list[list[float]]) -> Float32Array:
    """Return one sample with a list of values for each channel."""
    return np.array(channels, np.float32).reshape(1, len(channels), 1, -1)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
