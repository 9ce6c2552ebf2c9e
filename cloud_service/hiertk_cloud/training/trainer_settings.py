"""Settings of the trainer, in its own units."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainerSettings:
    """How the cloud trains.

    replay: in batches, how many earlier samples join each new batch in its step, drawn from the
    replay_window newest training batches. replay_balance: "class" draws samples, as many of each
    class; "none" draws whole batches. logit_adjustment: how far the loss makes up for classes that
    were rare of late, 1 fully, 0 not. imprint: new classes begin with rows made from their first
    samples, not at random. checkpoint_every: cloud steps. passes: with the schedule "replay", how
    often each batch is trained on, the first time included.
    """

    replay: int = 1
    replay_window: int = 4096
    replay_balance: Literal["class", "none"] = "class"
    logit_adjustment: float = 1.0
    imprint: bool = True
    checkpoint_every: int = 200
    seed: int = 0
    schedule: Literal["stream", "replay"] = "stream"
    passes: int = 10
