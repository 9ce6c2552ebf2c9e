"""Measuring both exits on a held-out batch: its device's round, and the confusion matrices."""

from hiertk_protocol.class_map import ClassMap
from hiertk_protocol.messages import Batch

from hiertk_cloud.training.confusion import ConfusionRounds
from hiertk_cloud.training.held_out import DeviceRounds, Round
from hiertk_cloud.training.learner import CloudLearner
from hiertk_cloud.training.progress import Progress
from hiertk_cloud.training.samples import KnownSamples, Reading


class Measuring:
    """Of one trainer. read: gives a batch's slots their meaning now."""

    def __init__(self, learner: CloudLearner, read: Reading) -> None:
        self._learner = learner
        self._read = read
        self.confusion = ConfusionRounds()

    def take(
        self,
        progress: Progress,
        batch: Batch,
        known: KnownSamples,
        classes: ClassMap,
        *,
        is_again: bool = False,
    ) -> Progress:
        """Return the progress with a held-out batch measured.

        classes: the map that `known` speaks of. is_again: the batch begins its device's newest
        round anew.
        """
        if not len(known.labels):
            return progress
        labels, device = known.labels, batch.key.device
        predictions = self._learner.predict(known.features)
        early_exit = self._read(batch, batch.early_exit[known.rows])
        part = Round(
            edge_step=batch.edge_step,
            samples=len(labels),
            final_exit_correct=int((predictions == labels).sum()),
            early_exit_correct=int((early_exit == labels).sum()),
        )
        if is_again:
            self.confusion.again(device)
        self.confusion.add(
            device, batch.edge_step, labels, predictions, early_exit=early_exit, classes=classes
        )
        now = progress.of(device)
        now = now.model_copy(update={"rounds": _with(now.rounds, part, is_again=is_again)})
        return progress.model_copy(update={"devices": {**progress.devices, device: now}})


def _with(rounds: DeviceRounds | None, part: Round, *, is_again: bool) -> DeviceRounds:
    if rounds is None:
        return DeviceRounds(newest=part)
    return rounds.again(part) if is_again else rounds.after(part)
