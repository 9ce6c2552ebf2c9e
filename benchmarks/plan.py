"""How long `hiertk plan` takes, and its selection alone."""

import subprocess
import time

from hiertk.planner.plan import make_plan
from hiertk.planner.prediction import Scenario, predict
from hiertk.planner.profiles import open_profiles
from hiertk.planner.runtime_model import Link
from hiertk.planner.selection import select
from hiertk.planner.settings import PlanSettings

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.workplace import Workplace, environment, python

TITLE = "Planning"
HOW = """\
`hiertk plan` as a user types it, a new process each time, with the shipped profiles of VGG-16 at
32x32 (13 separation points, the most of those that are shipped, each at 8 and 4 bits), imports and
tables included. The selection alone: the runtime model over all points and bits, and the choice.
Predicted reductions rest on the shipped profiles: hierarchical training in a pipeline against full
cloud in a pipeline. Their targets are the paper's figures, of other images and machines."""

_RUNS = {"tiny": 1, "quick": 3, "full": 7}
_MODEL = "vgg16"


def measure(place: Workplace) -> list[Figure]:
    """Return both times."""
    runs = _RUNS[place.effort]
    command = python("hiertk", "plan", "--model", _MODEL, "--uplink", "1.1mbit")
    whole, alone = [], []
    settings = PlanSettings(model=_MODEL, link=Link(1.1e6, 1.1e6, 0.06))
    profiles = open_profiles(settings)
    scenario = Scenario(edge=profiles.edge, cloud=profiles.cloud, link=settings.link, batch_size=32)
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment())
        whole.append(time.perf_counter() - started)
        started = time.perf_counter()
        select(predict(scenario).points, settings.limits, {})
        alone.append(time.perf_counter() - started)
    place.tell(f"the command {min(whole):.2f} s, the selection {1e3 * min(alone):.1f} ms")
    return [
        Figure(what="hiertk plan", unit="s", samples=tuple(whole), target=at_most(5)),
        Figure(
            what="selection over all points and bits",
            unit="s",
            samples=tuple(alone),
            target=at_most(1),
        ),
        *_reductions(),
    ]


def _reductions() -> list[Figure]:
    """Return what the shipped profiles predict beside what the paper reports.

    Without replay as with it: the paper has none, and full cloud here has none.
    """
    figures = []
    for model, size, reported in (("resnet18", 64, 81), ("vgg16", 32, 29)):
        for replay in (0, 1):
            settings = PlanSettings(
                model=model, link=Link(1.1e6, 1.1e6, 0.06), input_size=size, replay=replay
            )
            chosen = make_plan(settings).chosen
            figures.append(
                Figure(
                    what=f"predicted reduction, {model}, {size}x{size}, 1.1 Mbit/s, replay "
                    f"{replay}: separation point {chosen.cut.split}, {chosen.bits} bits",
                    unit="%",
                    samples=(chosen.reduction_percent,),
                    target=at_least(reported) if replay == 0 else None,
                )
            )
    return figures
