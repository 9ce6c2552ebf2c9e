"""What a device trains on: data sets, streams, and the rehearsal memory that streams fill."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from hiertk_protocol.bundle import Bundle
from hiertk_protocol.host.problems import Problems
from hiertk_protocol.manifest import Manifest

from hiertk_edge.classes import DeviceClasses
from hiertk_edge.classes.labels import DeviceLabels
from hiertk_edge.config import EdgeConfig
from hiertk_edge.images import normalize
from hiertk_edge.rehearsal import RehearsalMemory
from hiertk_edge.rehearsal.exported import read_exported
from hiertk_edge.sources import DataSet, ListedImages, Stream, open_data_set, open_stream
from hiertk_edge.sources.camera import Camera
from hiertk_edge.sources.pixel_cache import remove_others
from hiertk_edge.state import StateFolder
from hiertk_edge.training.held_out import LabelledImages

_MIB = 1 << 20


@dataclass(frozen=True)
class Inputs:
    """The open sources of one device.

    memory: None where no image can come after the data set's.
    """

    manifest: Manifest
    data: DataSet | None
    held_out: DataSet | None
    streams: tuple[Stream, ...]
    memory: RehearsalMemory | None

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """The data sets that there are."""
        return tuple(one for one in (self.data, self.held_out) if one is not None)

    @property
    def has_held_out(self) -> bool:
        """Whether there may be images to measure on."""
        return self.held_out is not None or self.memory is not None

    @property
    def camera(self) -> Camera | None:
        """The first camera among the streams."""
        return next((one for one in self.streams if isinstance(one, Camera)), None)

    def held_out_images(self, batch_size: int) -> Iterator[LabelledImages]:
        """Yield the data set's held-out images; without one, those that the memory holds out."""
        if self.held_out is not None:
            for batch in map(self.held_out.in_slots, self.held_out.batches_in_order(batch_size)):
                yield batch.images, batch.labels
        elif self.memory is not None:
            for pixels, slots in self.memory.held_out(batch_size):
                yield normalize(pixels, self.manifest.input), slots

    def class_counts(self) -> dict[int, int]:
        """Return how many labelled images the memory holds, by class slot."""
        counts = {} if self.memory is None else self.memory.counts
        return {slot: one.held for slot, one in counts.items()}

    def start(self) -> None:
        """Let the streams run."""
        if self.memory is not None:
            for stream in self.streams:
                stream.start(self.memory)

    def stop(self) -> None:
        """End the streams."""
        for stream in self.streams:
            stream.stop()


def open_inputs(
    config: EdgeConfig,
    bundle: Bundle,
    state: StateFolder,
    *,
    classes: DeviceClasses,
    problems: Problems,
    stack: ExitStack,
) -> Inputs:
    """Open all sources, and the memory until `stack` ends. Raises ConfigError or StorageError."""
    manifest = bundle.manifest
    names, info = manifest.classes.names, manifest.input
    labels = DeviceLabels(classes, accepts_new=config.classes.new == "accept")

    def data_set(text: str | None) -> DataSet | None:
        if text is None:
            return None
        return open_data_set(text, names, info, cache=state.path, labels=labels)

    data, held_out = data_set(config.data), data_set(config.held_out)
    listed = [one for one in (data, held_out) if isinstance(one, ListedImages)]
    caches = [one.cache for one in listed if one.cache is not None]
    remove_others(state.path, [cache.path for cache in caches])
    for cache in caches:
        stack.callback(cache.close)
    memory = None
    if config.goes_on:
        memory = stack.enter_context(closing(_open_memory(config, bundle, state, classes)))
    return Inputs(
        manifest=manifest,
        data=data,
        held_out=held_out,
        streams=tuple(
            open_stream(text, names, info, state=state.path, problems=problems, labels=labels)
            for text in config.streams
        ),
        memory=memory,
    )


def _open_memory(
    config: EdgeConfig, bundle: Bundle, state: StateFolder, classes: DeviceClasses
) -> RehearsalMemory:
    return RehearsalMemory(
        state.rehearsal,
        manifest=bundle.manifest,
        classes=classes,
        exported=partial(read_exported, bundle),
        max_bytes=int(config.rehearsal.max_mib * _MIB),
        max_waiting=config.rehearsal.max_waiting,
        held_out_share=config.rehearsal.held_out_share,
        seed=config.training.seed,
    )
