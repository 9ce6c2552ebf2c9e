"""What is compared: the whole method, parts of it switched off alone, and the bounds."""

from dataclasses import dataclass

BATCH = 32  # images of the device's steps, rehearsed ones included
SENT = BATCH // 2  # of these, whose features go to the cloud: new ones, and rehearsed ones beside


@dataclass(frozen=True)
class Method:
    """How both sides learn new classes.

    rehearses: the device's reservoir fills its batches up; without, they are new images alone.
    of_one_class: new images of a class in a batch, at most. practice: steps on rehearsed images
    alone that follow each on a new class, as the agent does them. replay: in batches, earlier
    samples in each of the cloud's steps; balanced: as many of each class, not whole earlier
    batches. imprinted: rows of new classes begin with the mean of their examples instead of at
    random. adjusted: the losses make up for how rare each class is. all_at_once: all classes from
    the start, shuffled, and nothing bounds the storage.
    """

    name: str
    title: str
    rehearses: bool = True
    of_one_class: int = BATCH // 8
    practice: int = 3
    replay: int = 1
    balanced: bool = True
    imprinted: bool = True
    adjusted: bool = True
    all_at_once: bool = False


OURS = Method("ours", "HierTK")
JOINT = Method(
    "joint",
    "joint training on all classes (upper bound)",
    practice=0,
    balanced=False,
    all_at_once=True,
)
NAIVE = Method(
    "naive",
    "naive fine-tuning (lower bound)",
    rehearses=False,
    of_one_class=BATCH // 2,
    practice=0,
    replay=0,
    balanced=False,
    imprinted=False,
    adjusted=False,
)
BOTH_SIDES = (
    OURS,
    JOINT,
    NAIVE,
    Method("device-only", "rehearsal on the device only", replay=0),
    Method(
        "cloud-only",
        "replay in the cloud only",
        rehearses=False,
        of_one_class=BATCH // 2,
        practice=0,
    ),
)
SWITCHED_OFF = (
    Method("random-rows", "without imprinting", imprinted=False),
    Method("unadjusted", "without logit adjustment", adjusted=False),
    Method("unbalanced", "without class-balanced replay", balanced=False),
    Method("no-practice", "without practice", practice=0),
)
LEARNED = (*BOTH_SIDES, *SWITCHED_OFF)
SLDA = "slda"
TITLES = {method.name: method.title for method in LEARNED} | {
    SLDA: "streaming LDA on the base's features"
}
WHOLE = (*(method.name for method in BOTH_SIDES), SLDA)
METHODS = {method.name: method for method in LEARNED}
