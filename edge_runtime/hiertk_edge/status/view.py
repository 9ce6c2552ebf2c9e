"""What a device tells of itself: to the cloud, to the command line, to `hiertk-edge status`."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from hiertk_protocol.hiertk_pb2 import DeviceStatus
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest

from hiertk_edge.care.caretaker import Caretaker
from hiertk_edge.care.sensors import resident_bytes
from hiertk_edge.classes import DeviceClasses
from hiertk_edge.classes.following import ClassFollowing
from hiertk_edge.config import EdgeConfig
from hiertk_edge.inputs import Inputs
from hiertk_edge.prediction.predictor import Predictor
from hiertk_edge.rehearsal import ClassCounts
from hiertk_edge.status.file import MAX_CLASSES, ClassStatus
from hiertk_edge.training.checkpointing import Checkpointing
from hiertk_edge.training.progress import Progress


@dataclass(frozen=True)
class DeviceView:
    """Everything that is told, put together from the parts that know it."""

    config: EdgeConfig
    manifest: Manifest
    classes: DeviceClasses
    following: ClassFollowing
    progress: Progress
    inputs: Inputs
    predictor: Predictor
    caretaker: Caretaker
    checkpointing: Checkpointing
    problems: Problems

    def status(self, state: DeviceStatus.State) -> DeviceStatus:
        """Return the status, but for what spool and uplink add."""
        status = self.progress.status(state)
        streams = [stream.counts for stream in self.inputs.streams]
        status.bad_images = sum(data.bad_images for data in self.inputs.data_sets)
        status.bad_images += sum(counts.bad for counts in streams)
        status.mislabelled_images = sum(counts.mislabelled for counts in streams)
        if self.inputs.memory is not None:
            counts = self.inputs.memory.counts.values()
            status.waiting_samples = sum(one.waiting for one in counts)
            status.rehearsal_samples = sum(one.reservoir + one.held_out for one in counts)
        predictions = self.predictor.counts
        status.predictions_total = predictions.total
        status.predictions_by_cloud = predictions.by_cloud
        status.class_map_version = self.following.confirmed
        status.temperature_c = self.caretaker.temperature_c
        return status

    def details(self, status: DeviceStatus) -> dict[str, Any]:
        """Return the whole status with what only this device knows, as status.json has it."""
        fields = {field.name: getattr(status, field.name) for field in status.DESCRIPTOR.fields}
        return fields | {
            "state": DeviceStatus.State.Name(status.state),
            "device": self.config.device,
            "deployment": self.manifest.deployment,
            "backend": self.manifest.engine.backend,
            "spool_max_bytes": int(self.config.spool.max_mib * (1 << 20)),
            "budget_bytes": int(self.config.uplink.mib_per_day * (1 << 20)),
            "classes": [one.model_dump() for one in self._classes()],
            "class_maps_ignored": self.classes.ignored,
            "memory_bytes": resident_bytes(),
            "checkpoint_step": self.checkpointing.saved_step,
            "checkpoint_uptime_s": self.checkpointing.saved_uptime_s,
            "problems": list(self.problems.lines),
        }

    def _classes(self) -> list[ClassStatus]:
        """Return what is known of each class, by slot."""
        memory = self.inputs.memory
        counts = {} if memory is None else memory.counts
        measured = self.progress.held_out_classes
        classes = []
        for slot, one in islice(self.classes.table.by_slot.items(), MAX_CLASSES):
            held, right = counts.get(slot, ClassCounts()), measured.get(slot)
            classes.append(
                ClassStatus(
                    name=one.name,
                    slot=slot,
                    is_provisional=one.is_provisional,
                    seen=None if memory is None else held.seen,
                    kept=held.reservoir + held.waiting,
                    held_out=held.held_out,
                    early_exit_accuracy=None if right is None else right.right / right.samples,
                )
            )
        return classes
