"""The feature codec on real features, with zlib as the yardstick."""

import time
import zlib
from collections.abc import Callable, Sequence

from hiertk_edge.learner import Float32Array
from hiertk_protocol.codec import decode, dequantize, encode, pack, quantize

from benchmarks.figures import Figure, at_least, interleave, ratios
from benchmarks.workplace import Workplace

TITLE = "Feature codec"
HOW = """\
Batches of 32 features of ResNet-18 at separation point 2 on Fashion-MNIST after some training, as
float32 (MB are 10^6 bytes of it), one thread. Encoding is quantize, pack and compress; decoding
ends with float32 again. The yardstick is zlib at level 1 on the same packed bytes, quantizing and
packing included. The six take turns; one sample is a pass over all batches."""

_BATCHES = {"tiny": 2, "quick": 10, "full": 20}
_TURNS = {"tiny": 2, "quick": 15, "full": 60}


def measure(place: Workplace) -> list[Figure]:
    """Return speeds and sizes at 8 and 4 bits."""
    features = [result.features for result, _ in place.trained_features(_BATCHES[place.effort])]
    return [
        figure for bits in (8, 4) for figure in _at(bits, features, _TURNS[place.effort], place)
    ]


def _at(bits: int, features: Sequence[Float32Array], turns: int, place: Workplace) -> list[Figure]:
    messages = [encode(quantize(one, bits)) for one in features]
    pairs = list(zip(messages, features, strict=True))

    def encode_all() -> None:
        for one in features:
            encode(quantize(one, bits))

    def decode_all() -> None:
        for message, one in pairs:
            dequantize(decode(message, one.shape))

    def zlib_all() -> None:
        for one in features:
            zlib.compress(_packed(one, bits), 1)

    megabytes = sum(one.nbytes for one in features) / 1e6
    works = [_speed(work, megabytes) for work in (encode_all, decode_all, zlib_all)]
    encoding, decoding, yardstick = interleave(works, turns)
    values = sum(one.size for one in features)
    ours = sum(len(message.payload) for message in messages) / values
    theirs = sum(len(zlib.compress(_packed(one, bits), 1)) for one in features) / values
    name = f"{bits} bits"
    figures = [
        Figure(what=f"encode, {name}", unit="MB/s", samples=tuple(encoding), target=at_least(150)),
        Figure(what=f"decode, {name}", unit="MB/s", samples=tuple(decoding), target=at_least(150)),
        Figure(
            what=f"decode / encode speed, {name}",
            unit="",
            samples=ratios(decoding, encoding),
            target=at_least(1),
        ),
        Figure(
            what=f"encode / zlib level 1 speed, {name}",
            unit="",
            samples=ratios(encoding, yardstick),
        ),
        Figure(what=f"payload, {name}", unit="bytes per value", samples=(ours,)),
        Figure(
            what=f"payload with zlib level 1, {name}", unit="bytes per value", samples=(theirs,)
        ),
    ]
    place.tell(f"{name}: encode {figures[0].text}, decode {figures[1].text}")
    return figures


def _packed(features: Float32Array, bits: int) -> memoryview:
    return pack(quantize(features, bits)).data


def _speed(work: Callable[[], None], megabytes: float) -> Callable[[], float]:
    def measure_once() -> float:
        started = time.perf_counter()
        work()
        return megabytes / (time.perf_counter() - started)

    return measure_once
