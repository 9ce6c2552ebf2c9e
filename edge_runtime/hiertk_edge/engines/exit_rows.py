"""The early exit's rows among a step program's parameters and moments."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from hiertk_protocol.new_class import ExitRow

from hiertk_edge.engines.exit_slots import BIAS, WEIGHT, check_row
from hiertk_edge.engines.optimizers import Tensors, Trained


def rows_of(trained: Trained, slots: Sequence[int]) -> list[ExitRow]:
    """Return copies of the slots' rows."""
    weight, bias = trained.parameters[WEIGHT].numpy(), trained.parameters[BIAS].numpy()
    return [ExitRow(weight[slot].copy(), float(bias[slot])) for slot in slots]


def with_row(trained: Trained, slot: int, row: ExitRow | None) -> Trained:
    """Return the parameters with that row of the exit, if any, and its moments at zero.

    What came in stays as it is. Raises ConfigError for a row that does not fit the exit.
    """
    parameters = trained.parameters
    if row is not None:
        check_row(row, parameters[WEIGHT].shape[1])
        values = {WEIGHT: torch.tensor(row.weight), BIAS: torch.tensor(row.bias)}
        parameters = _with_slot(parameters, slot, values)
    zeros = {WEIGHT: torch.tensor(0.0), BIAS: torch.tensor(0.0)}
    moments = {kind: _with_slot(own, slot, zeros) for kind, own in trained.moments.items()}
    return replace(trained, parameters=parameters, moments=moments)


def _with_slot(tensors: Tensors, slot: int, values: Tensors) -> Tensors:
    """Return the tensors with a slot's new values in copies of those named."""
    changed = {name: tensors[name].clone() for name in values}
    for name, value in values.items():
        changed[name][slot] = value
    return tensors | changed
