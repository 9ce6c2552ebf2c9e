"""What separation points cost, against what a real network does."""

import pytest
import torch
from hiertk.models import CutSpec, NetworkSpec, both_sides, open_network, parameter_count
from hiertk.models.costs import network_costs
from torch.utils.flop_counter import FlopCounterMode

SPEC = NetworkSpec("resnet18", 16, 32)


def test_shapes_and_parameters_are_the_cuts_own() -> None:
    network = open_network(SPEC)
    for one in network_costs(SPEC).points:
        sides = both_sides(network, CutSpec(SPEC, one.point.number))
        assert one.feature_shape == sides.feature_shape
        assert one.edge_parameters == parameter_count(sides.edge)
        assert one.cloud_parameters == parameter_count(sides.cloud)


@pytest.mark.parametrize(("split", "bottleneck"), [(1, None), (5, None), (5, 16)])
def test_operations_are_what_torch_counts_while_a_step_is_computed(
    split: int, bottleneck: int | None
) -> None:
    sides = both_sides(open_network(SPEC), CutSpec(SPEC, split, bottleneck))
    one = network_costs(SPEC, bottleneck=bottleneck).points[split - 1]
    assert one.edge_parameters == parameter_count(sides.edge)
    with FlopCounterMode(display=False) as edge:
        logits, features = sides.edge(torch.randn(1, 3, 32, 32), torch.zeros(16))
        logits.sum().backward()
    assert one.edge_forward_flops + one.edge_backward_flops == edge.get_total_flops()
    with FlopCounterMode(display=False) as cloud:
        sides.cloud.eval()(features.detach()).sum().backward()
    assert one.cloud_forward_flops + one.cloud_backward_flops == cloud.get_total_flops()


def test_a_depthwise_convolution_counts_by_its_groups() -> None:
    """The backward pass takes at most twice the forward one, unlike in torch's own count."""
    for one in network_costs(NetworkSpec("mobilenet_v2", 16, 32)).points:
        assert one.edge_backward_flops <= 2 * one.edge_forward_flops


def test_sides_add_up_and_memory_grows() -> None:
    costs = network_costs(SPEC, batch_size=8)
    exit_sizes = [(one.feature_shape[0] + 1) * 16 for one in costs.points]
    for one, own in zip(costs.points, exit_sizes, strict=True):
        assert one.edge_parameters - own + one.cloud_parameters == costs.parameters
    memory = [one.activation_bytes for one in costs.points]
    assert memory == sorted(memory)
    twice = network_costs(SPEC, batch_size=16).points[3].activation_bytes
    assert 1.9 < twice / memory[3] < 2.1


def test_a_bottleneck_shrinks_what_is_sent_by_the_channels() -> None:
    plain, narrow = network_costs(SPEC), network_costs(SPEC, bottleneck=16)
    assert plain.points[0].sent_bytes(8) == 4 * narrow.points[0].sent_bytes(8)
    assert plain.points[0].sent_bytes(4) == 4 * narrow.points[0].sent_bytes(4)


def test_a_point_without_more_channels_than_the_bottleneck_is_left_out() -> None:
    numbers = [one.point.number for one in network_costs(SPEC, bottleneck=64).points]
    assert numbers == [3, 4, 5, 6, 7, 8]
