"""The plan: from settings to the chosen separation point, with everything that led to it."""

from dataclasses import dataclass

from hiertk.planner.accuracies import read_accuracies
from hiertk.planner.advice import Advice, advise, paying_uplink, pays
from hiertk.planner.prediction import Prediction, Scenario, predict
from hiertk.planner.profiles import Profiles, missing_points, open_profiles
from hiertk.planner.selection import missed_limits, select
from hiertk.planner.settings import PlanSettings
from hiertk.planner.times import FullCloud


@dataclass(frozen=True)
class PlannedPoint:
    """A prediction, why the limits forbid it (nothing: they don't), and its measured accuracy."""

    prediction: Prediction
    why_not: tuple[str, ...]
    accuracy: float | None


@dataclass(frozen=True)
class Plan:
    """What was asked, what is predicted, and what follows.

    points: each at every number of bits tried. pays_below: uplink
    rate, bits per second, below which hierarchical training pays; infinite for any, None for no
    rate. advice: what would make it pay, if it does not.
    """

    settings: PlanSettings
    profiles: Profiles
    full_cloud: FullCloud
    points: tuple[PlannedPoint, ...]
    chosen: Prediction
    pays: bool
    pays_below: float | None
    advice: tuple[Advice, ...]
    warnings: tuple[str, ...]

    @property
    def raw_bytes(self) -> int:
        """Bytes of one input as 8-bit RGB."""
        return self.profiles.edge.network.raw_bytes

    @property
    def epochs_until_more(self) -> int:
        """The first epoch after which features have taken more bytes than each raw image once."""
        return int(self.raw_bytes / self.chosen.feature_bytes) + 1


def choose_split(settings: PlanSettings) -> tuple[int, int]:
    """Return the separation point and bits that a plan chooses. Raises ConfigError."""
    chosen = make_plan(settings).chosen
    return chosen.cut.split, chosen.bits


def make_plan(settings: PlanSettings) -> Plan:
    """Plan over every separation point that both profiles know.

    Raises ConfigError: settings, profiles, or no point meets the limits.
    """
    settings.check()
    profiles = open_profiles(settings)
    accuracies = None if settings.accuracies is None else read_accuracies(settings.accuracies)
    scenario = Scenario(
        edge=profiles.edge,
        cloud=profiles.cloud,
        link=settings.link,
        batch_size=settings.batch_size,
        bits=settings.bit_choices,
        replay=settings.replay,
        compression=settings.compression,
    )
    measured = accuracies.of(settings.bottleneck) if accuracies else {}
    drops = {key: accuracies.full - one for key, one in measured.items()} if accuracies else {}
    outlook = predict(scenario)
    chosen = select(outlook.points, settings.limits, drops)
    points = tuple(
        PlannedPoint(
            prediction=one,
            why_not=tuple(map(str, missed_limits(one, settings.limits, drops))),
            accuracy=measured.get((one.cut.split, one.bits)),
        )
        for one in outlook.points
    )
    is_paying = pays(outlook, chosen)
    return Plan(
        settings=settings,
        profiles=profiles,
        full_cloud=outlook.full_cloud,
        points=points,
        chosen=chosen,
        pays=is_paying,
        pays_below=paying_uplink(scenario, settings.limits, drops),
        advice=() if is_paying else tuple(advise(scenario, settings.limits, drops)),
        warnings=(*profiles.warnings, *missing_points(profiles)),
    )
