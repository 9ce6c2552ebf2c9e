"""Write temperatures.json beside this file: what `fit_temperature` gives, for the phone's tests.

Run it where `hiertk` is installed; it gives the same file each time.
"""

import json
from pathlib import Path

import numpy as np
from hiertk_edge.prediction.calibration import fit_temperature


def _case(seed: int, samples: int, classes: int, factor: float) -> dict[str, object]:
    """Return logits with labels that are right as often as softmax says, made so much larger."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (samples, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=row) for row in shares], np.int64)
    given = np.round(logits * factor, 3).astype(np.float32)
    return {
        "logits": [[round(float(value), 3) for value in row] for row in given],
        "labels": labels.tolist(),
        "temperature": fit_temperature(given, labels),
    }


if __name__ == "__main__":
    chosen = [(0, 60, 3, 1.0), (1, 80, 4, 6.0), (2, 80, 2, 0.3), (3, 50, 5, 200.0), (4, 49, 3, 4.0)]
    cases = [_case(*one) for one in chosen]
    Path(__file__).with_name("temperatures.json").write_text(json.dumps(cases) + "\n")
