"""Write new_class.json beside this file: what `hiertk_protocol.new_class` gives.

Run it where `hiertk` is installed; it gives the same file each time.
"""

import json
from pathlib import Path

import numpy as np
from hiertk_protocol.new_class import imprinted_row, log_prior


def _rows() -> list[dict[str, object]]:
    found = []
    for seed, (examples, others, known, channels) in enumerate(
        [
            (1, True, 1, 1),
            (3, True, 4, 6),
            (5, False, 2, 3),
            (2, True, 0, 4),
            (4, False, 0, 2),
            (20, True, 10, 16),
        ]
    ):
        random = np.random.default_rng(seed)
        inputs = random.normal(1, 2, (examples, channels)).astype(np.float32)
        center = random.normal(0, 1, channels).astype(np.float32) if others else None
        weight = random.normal(0, 1, (known, channels)).astype(np.float32)
        bias = random.normal(0, 1, known).astype(np.float32)
        row = imprinted_row(inputs, center, weight, bias)
        found.append(
            {
                "examples": inputs.tolist(),
                "others": None if center is None else center.tolist(),
                "weight": weight.tolist(),
                "bias": bias.tolist(),
                "row": row.weight.tolist(),
                "row_bias": row.bias,
            }
        )
    same = np.ones((2, 3), np.float32)  # examples that are no different from the others
    row = imprinted_row(same, same[0], same, np.zeros(2, np.float32))
    found.append(
        {
            "examples": same.tolist(),
            "others": same[0].tolist(),
            "weight": same.tolist(),
            "bias": [0.0, 0.0],
            "row": row.weight.tolist(),
            "row_bias": row.bias,
        }
    )
    return found


def _priors() -> list[dict[str, object]]:
    counts = [[0.0, 0.0], [4.0, 1.0, 0.0], [1e-9, 100.0, 3.5], [7.0]]
    return [
        {"counts": one, "strength": strength, "prior": log_prior(np.array(one), strength).tolist()}
        for one in counts
        for strength in (1.0, 0.5)
    ]


if __name__ == "__main__":
    content = {"rows": _rows(), "priors": _priors()}
    Path(__file__).with_name("new_class.json").write_text(json.dumps(content) + "\n")
