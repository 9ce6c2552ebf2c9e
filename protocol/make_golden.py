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

GOLDEN = Path(__file__).with_name("golden")
_BUNDLE_ID = bytes(range(32))
# 0 1 2 3, eight times, as zstd 1.5.7 compresses it: other versions may choose other bytes.
_ZSTD_PAYLOAD = bytes.fromhex("28b52ffd202055000020000102030100338e08")


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
