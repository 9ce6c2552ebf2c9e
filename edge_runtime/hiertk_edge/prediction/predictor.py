"""The predictor: the early exit answers at once, and the final exit where the early is not sure.

It takes turns with training at the learner, and gives its turn back before it asks the cloud, so
neither ever waits for the network.
"""

import threading
from collections import Counter
from collections.abc import Callable
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

from hiertk_edge.images import Float32Array, Pixels, normalize
from hiertk_edge.learner import Learner
from hiertk_edge.prediction.calibration import (
    NOT_CALIBRATED,
    Calibration,
    Probabilities,
    softmax,
)
from hiertk_edge.prediction.record import Answer, Scores
from hiertk_edge.turns import Turns

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
    """What the early exit says of one image. features: (1, C, H, W)."""

    scores: Scores
    features: Float32Array
    edge_step: int


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
    ) -> None:
        """Prepare. turns: the trainer's, too. cloud: None for a device that works alone."""
        self._learner = learner
        self._input = manifest.input
        self._names = manifest.classes.names
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
        if cloud is None or not cloud.below:
            return self._keep(early, "the cloud is not asked")
        if early.scores.confidence >= cloud.below:
            return self._keep(early, "sure")
        bits = self._bits if cloud.bits is None else cloud.bits()
        request = self._contract.request(quantize(early.features, bits))
        try:
            reply = self._contract.read_reply(cloud.ask(request, cloud.deadline_s), samples=1)
        except TransportError as error:
            return self._keep(early, str(error), "unanswered")
        except CloudRefusedError as error:
            return self._keep(early, f"the cloud refused: {error}", "refused")
        except ProtocolError as error:
            return self._keep(early, f"the cloud's reply is unusable: {error}", "refused")
        return self._replace(early, reply)

    def _ask_early_exit(self, image: Float32Array) -> _Early:
        with self._turns.turn():
            result = self._learner.evaluate(image, np.zeros(1, np.int64))
            edge_step = self._learner.edge_step
        if not np.isfinite(result.logits).all():
            raise ProtocolError("the early exit's logits are not finite: training diverged")
        probabilities = softmax(result.logits, self.calibration.temperature)[0]
        return _Early(self._scores(probabilities), result.features, edge_step)

    def _scores(self, probabilities: Probabilities) -> Scores:
        """Return the open slots' classes, of probabilities (slots,)."""
        of_open = probabilities[: len(self._names)]
        best = np.argsort(-of_open, kind="stable").tolist()
        return Scores(tuple((self._names[slot], float(of_open[slot])) for slot in best))

    def _keep(self, early: _Early, why: str, outcome: _Outcome = "by early exit") -> Answer:
        self._count(outcome)
        return Answer("early exit", why, early.scores, early.scores, early.edge_step)

    def _replace(self, early: _Early, reply: FinalExitReply) -> Answer:
        self._count("by cloud")
        return Answer(
            by="final exit",
            why="the early exit was not sure",
            scores=self._scores(reply.probabilities[0].astype(np.float64)),
            early=early.scores,
            edge_step=early.edge_step,
            cloud_step=reply.cloud_step,
        )

    def _count(self, outcome: _Outcome) -> None:
        with self._lock:
            self._outcomes[outcome] += 1
