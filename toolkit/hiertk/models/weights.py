"""Loading a whole network's weights from a safetensors file."""

from pathlib import Path

from hiertk_protocol.errors import ModelError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hiertk.models.cut import Cuttable

_COUNTER = "num_batches_tracked"


def load_weights(network: Cuttable, path: Path) -> list[str]:
    """Load the weights of the whole network; return what was left as it was built.

    Only tensors after the last separation point may be left, where their shape differs: so weights
    of another class count serve. Raises ModelError if names or other shapes differ.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error
    own = network.model.state_dict()
    left = _of_another_shape(network, own, weights)
    for name in left:
        del weights[name]
    for name in [name for name in (*own, *weights) if name.endswith(_COUNTER)]:
        weights.pop(name, None)
        own.pop(name, None)
    _check_names(path, own, weights, left)
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the network's is "
                f"{tuple(own[name].shape)}"
            )
    network.model.load_state_dict(weights, strict=False)
    return left


def _of_another_shape(
    network: Cuttable, own: dict[str, Tensor], weights: dict[str, Tensor]
) -> list[str]:
    head = network.cut(len(network.points)).cloud.state_dict()
    return [name for name in head if name in weights and weights[name].shape != own[name].shape]


def _check_names(
    path: Path, own: dict[str, Tensor], weights: dict[str, Tensor], left: list[str]
) -> None:
    missing = sorted(own.keys() - weights.keys() - set(left))
    unknown = sorted(weights.keys() - own.keys())
    if missing or unknown:
        raise ModelError(
            f"{path} is of another network: it lacks {len(missing)} tensors {missing[:3]} "
            f"and has {len(unknown)} unknown ones {unknown[:3]}"
        )
