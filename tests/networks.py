"""Networks for tests: a cut of one, seeded."""

import torch
from hiertk.models import CutSpec, Cuttable, NetworkSpec, Sides, both_sides, open_network


def network(name: str = "resnet18", *, slots: int = 16, size: int = 32, seed: int = 0) -> Cuttable:
    torch.manual_seed(seed)
    return open_network(NetworkSpec(name, slots, size))


def resnet18_sides(split: int, *, seed: int = 0) -> Sides:
    spec = CutSpec(NetworkSpec("resnet18", 16, 32), split)
    torch.manual_seed(seed)
    return both_sides(open_network(spec.network), spec)
