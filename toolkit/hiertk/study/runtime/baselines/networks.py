"""The networks of the baselines: all begin with the weights that a bundle of this seed has."""

import torch
from hiertk_protocol.errors import StorageError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hiertk.models import Cuttable, NetworkSpec, open_network
from hiertk.models.networks import build_without_values
from hiertk.study.runtime.baselines.role import Role


def spec_of(role: Role) -> NetworkSpec:
    """Return the network of a role."""
    return NetworkSpec(role.model, len(role.classes), role.input.size)


def whole_network(role: Role) -> nn.Module:
    """Return the whole network."""
    return _opened(role).model


def cloud_partition(role: Role) -> nn.Module:
    """Return the layers behind the cut."""
    assert role.split is not None
    return _opened(role).cut(role.split).cloud


def edge_partition(role: Role) -> nn.Module:
    """Return the layers before the cut; a device never holds the others. Raises StorageError."""
    assert role.split is not None
    assert role.weights is not None
    spec = spec_of(role)
    empty = Cuttable(build_without_values(spec), spec.input_size, spec.slots)
    edge = empty.cut(role.split).edge.to_empty(device="cpu")
    try:
        edge.load_state_dict(load_file(role.weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(f"{role.weights}: not the weights of this partition: {error}") from error
    return edge


def _opened(role: Role) -> Cuttable:
    torch.manual_seed(role.seed)
    return open_network(spec_of(role))
