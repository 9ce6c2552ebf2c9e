"""The predictor: the early exit answers at once, and the final exit where the early is not sure.

It takes turns with training at the learner, and gives its turn back before it asks the cloud, so
neither ever waits for the network.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from hiertk_protocol.codec import quantize
from hiertk_protocol.errors import ProtocolError, TransportError
from hiertk_protocol.manifest import Manifest
from hiertk_protocol.prediction_messages import (
    CloudRefusedError,
    FinalExitReply,
    PredictionContract,
)

from hiertk_edge.classes import ClassTable, ExportedClasses, KnowsClasses
from hiertk_edge.images import Float32Array, Pixels, normalize
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import (
    NOT_CALIBRATED,
    Calibration,
    Probabilities,
    softmax,
)
from hiertk_edge.prediction.record import Answer, Scores
from hiertk_edge.training.turns import Turns

Ask = Callable[[bytes, float], bytes]
_Outcome = Literal["by early exit", "by cloud", "unanswered", "refused"]


@dataclass(frozen=True)
class CloudHelp:
    """When the final exit is asked, and how.

    below: the early exit's confidence under which it is asked; 0 never. deadline_s: how long its
    answer is waited for. ask: sends a request with its deadline and returns the reply; raises
    TransportError with a short reason, such as "no answer within 2 s". bits: of the features as the
    link wants them now; None: the bundle's own.
    """

    ask: Ask
    below: float = 0.0
    deadline_s: float = 2.0
    bits: Callable[[], int] | None = None


@dataclass(frozen=True)
class PredictionCounts:
    """What became of the predictions since the start.

    total: all of them. by_cloud: the final exit's answer stands. unanswered: the cloud was asked in
    vain: no link, or no reply in time. refused: it gave a reason instead, or its reply breaks the
    contract. For the rest the early exit sufficed.
    """

    total: int = 0
    by_cloud: int = 0
    unanswered: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Early:
    """What the early exit says of one image. features: (1, C, H, W). table: the classes then."""

    scores: Scores
    table: ClassTable
    features: Float32Array
    edge_step: int

    @property
    def is_provisional(self) -> bool:
        """Whether the likeliest class has no slot in the cloud."""
        return self.scores.best in self.table.provisional


class Predictor:
    """Answers for one image at a time; any thread may call it. Implements record.Predicts.

    calibration: of the early exit; whoever fits a better one puts it here.
    """

    def __init__(
        self,
        learner: Learner,
        manifest: Manifest,
        turns: Turns,
        *,
        calibration: Calibration = NOT_CALIBRATED,
        cloud: CloudHelp | None = None,
        classes: KnowsClasses | None = None,
    ) -> None:
        """Prepare. turns: the trainer's, too. cloud: None for a device that works alone.

        classes: the device's; None: the bundle's, for ever.
        """
        self._learner = learner
        self._input = manifest.input
        self._classes = classes or ExportedClasses(manifest.classes)
        self._bits = manifest.features.bits
        self._contract = PredictionContract(manifest)
        self._turns = turns
        self._cloud = cloud
        self._outcomes: Counter[_Outcome] = Counter()
        self._lock = threading.Lock()
        self.calibration = calibration

    @property
    def counts(self) -> PredictionCounts:
        """What became of the predictions so far."""
        with self._lock:
            outcomes = self._outcomes.copy()
        return PredictionCounts(
            total=outcomes.total(),
            by_cloud=outcomes["by cloud"],
            unanswered=outcomes["unanswered"],
            refused=outcomes["refused"],
        )

    def predict(self, pixels: Pixels) -> Answer:
        """Answer for pixels (size, size, 3) uint8, within a training step and the deadline.

        Raises ProtocolError if training has diverged: then no answer is any good.
        """
        early = self._ask_early_exit(normalize(pixels[None], self._input))
        cloud = self._cloud
        why = _why_not_ask(early, cloud)
        if cloud is None or why:
            return self._keep(early, why)
        try:
            reply = self._ask_final_exit(early, cloud)
            scores = _scores_of_cloud(reply, early.table)
        except TransportError as error:
            return self._keep(early, str(error), "unanswered")
        except CloudRefusedError as error:
            return self._keep(early, f"the cloud refused: {error}", "refused")
        except ProtocolError as error:
            return self._keep(early, f"the cloud's reply is unusable: {error}", "refused")
        return self._replace(early, reply, scores)

    def _ask_final_exit(self, early: _Early, cloud: CloudHelp) -> FinalExitReply:
        bits = self._bits if cloud.bits is None else cloud.bits()
        request = self._contract.request(quantize(early.features, bits))
        return self._contract.read_reply(cloud.ask(request, cloud.deadline_s), samples=1)

    def _ask_early_exit(self, image: Float32Array) -> _Early:
        with self._turns.turn():
            result = self._learner.evaluate(image)
            edge_step = self._learner.edge_step
            table, open_slots = self._classes.table, self._learner.open_slots
        if not np.isfinite(result.logits).all():
            raise ProtocolError("the early exit's logits are not finite: training diverged")
        probabilities = softmax(result.logits, self.calibration.temperature)[0]
        slots = [slot for slot in table.by_slot if slot in open_slots]
        return _Early(_scores(probabilities, slots, table), table, result.features, edge_step)

    def _keep(self, early: _Early, why: str, outcome: _Outcome = "by early exit") -> Answer:
        self._count(outcome)
        return Answer("early exit", why, early.scores, early.scores, early.edge_step)

    def _replace(self, early: _Early, reply: FinalExitReply, scores: Scores) -> Answer:
        self._count("by cloud")
        return Answer(
            by="final exit",
            why="the early exit was not sure",
            scores=scores,
            early=early.scores,
            edge_step=early.edge_step,
            cloud_step=reply.cloud_step,
        )

    def _count(self, outcome: _Outcome) -> None:
        with self._lock:
            self._outcomes[outcome] += 1


def _why_not_ask(early: _Early, cloud: CloudHelp | None) -> str:
    """Return why the early exit's answer stands without the cloud's; "" if it does not."""
    if cloud is None or not cloud.below:
        return "the cloud is not asked"
    if early.scores.confidence >= cloud.below:
        return "sure"
    return "the cloud does not know this class yet" if early.is_provisional else ""


def _scores_of_cloud(reply: FinalExitReply, table: ClassTable) -> Scores:
    """Return the final exit's scores of the classes that the device knows.

    The cloud's class map may be newer. A provisional class's slot is another's there. Raises
    ProtocolError if the cloud thinks of none of them.
    """
    probabilities = reply.probabilities[0].astype(np.float64)
    slots = list(table.map.by_slot)
    total = float(probabilities[slots].sum())
    if total <= 0:
        raise ProtocolError("it names only classes that this device does not know yet")
    return _scores(probabilities / total, slots, table)


def _scores(probabilities: Probabilities, slots: Sequence[int], table: ClassTable) -> Scores:
    """Return the classes of some slots, of probabilities (slots,)."""
    best = sorted(slots, key=lambda slot: -probabilities[slot])
    return Scores(tuple((table.by_slot[slot].name, float(probabilities[slot])) for slot in best))
