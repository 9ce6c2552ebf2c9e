"""Messages made smaller: fewer samples, or fewer bits. Pure.

A message keeps its key (device, epoch, seq), whatever it loses. The cloud stores the first one of a
key that comes and takes every later one for a repeat: if the whole message was on its way when it
was made smaller, then the whole one counts, and its ack settles the smaller one here. Either way
each sample has its effect at most once.
"""

from collections.abc import Sequence

from hiertk_protocol.codec import Quantized, decode, dequantize, encode, quantize
from hiertk_protocol.errors import ProtocolError
from hiertk_protocol.hiertk_pb2 import FeatureBatch


def thin(message: FeatureBatch, keep: Sequence[int]) -> FeatureBatch:
    """Return the message with the samples of these indexes only, each exactly as it was.

    Raises ProtocolError if the message breaks the contract.
    """
    found = _copy_with(message, _features(message).take(keep))
    found.labels[:] = [message.labels[index] for index in keep]
    found.early_exit[:] = [message.early_exit[index] for index in keep]
    return found


def requantize(message: FeatureBatch, bits: int) -> FeatureBatch:
    """Return the message with its features at fewer bits: off by both roundings, one after another.

    Raises ProtocolError if the message breaks the contract.
    """
    return _copy_with(message, quantize(dequantize(_features(message)), bits))


def _features(message: FeatureBatch) -> Quantized:
    features = decode(message.features, tuple(message.shape))
    if {len(message.labels), len(message.early_exit)} != {len(features.values)}:
        raise ProtocolError("a message in the spool has not one label for each sample")
    return features


def _copy_with(message: FeatureBatch, features: Quantized) -> FeatureBatch:
    found = FeatureBatch()
    found.CopyFrom(message)
    found.shape[:] = features.values.shape
    found.features.CopyFrom(encode(features))
    return found
