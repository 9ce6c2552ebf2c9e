"""The group of ranks that torchrun has started, and what they tell each other.

Numbers and texts only: torch's own exchange of objects unpickles what comes from the network.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from hiertk_protocol.errors import ConfigError, HiertkError, TransportError
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

# Longer than any step, checkpoint or evaluation; a rank that is gone is noticed at once.
_TIMEOUT = timedelta(minutes=5)
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True)
class Group:
    """This process's place among the ranks. All methods wait for the same call of every rank."""

    rank: int
    size: int

    def owns(self, device: str) -> bool:
        """Return whether a device's batches are this rank's; the same in every process."""
        digest = hashlib.sha256(device.encode()).digest()
        return int.from_bytes(digest, "big") % self.size == self.rank

    def gather_numbers(self, numbers: Sequence[float]) -> list[list[float]]:
        """Return every rank's numbers, in the order of ranks; all give the same count."""
        own = torch.tensor(numbers, dtype=torch.float64)
        all_of_them = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(all_of_them, own)
        return [one.tolist() for one in all_of_them]

    def gather_texts(self, text: str) -> list[str]:
        """Return every rank's text, in the order of ranks. Raises TransportError."""
        data = text.encode()
        lengths = [int(length) for (length,) in self.gather_numbers([len(data)])]
        if max(lengths) > _MAX_TEXT_BYTES:
            raise TransportError(f"a rank sends a text of {max(lengths)} bytes: is it one of ours?")
        own = torch.zeros(max(1, *lengths), dtype=torch.uint8)
        own[: len(data)] = torch.tensor(list(data), dtype=torch.uint8)
        padded = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(padded, own)
        pairs = zip(padded, lengths, strict=True)
        return [one[:length].numpy().tobytes().decode() for one, length in pairs]

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of rank 0."""
        for tensor in tensors:
            dist.broadcast(tensor, src=0)

    def refuse_together(self, failure: str) -> None:
        """Go on if no rank gives a failure. Raises ConfigError, in every rank the same."""
        for rank, text in enumerate(self.gather_texts(failure)):
            if text:
                raise ConfigError(f"rank {rank}: {text}")

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Let a block succeed in every rank. Raises ConfigError if it raises in any."""
        failure = ""
        try:
            yield
        except HiertkError as error:
            failure = str(error)
        self.refuse_together(failure)


@contextmanager
def open_group() -> Iterator[Group]:
    """Join the other ranks, and leave them at the end. Raises ConfigError without torchrun."""
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise ConfigError(
            f"{missing[0]} is not set: start the ranks with torchrun --nproc-per-node N "
            "-m hiertk_cloud.serve, or one process with hiertk-cloud serve"
        )
    with reporting():
        store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
        # torchrun may keep its store over a restart, with the addresses of the ranks that are gone.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"attempt-{attempt}", store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield Group(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


@contextmanager
def reporting() -> Iterator[None]:
    """Turn what gloo raises when a rank is gone into a TransportError."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        if not isinstance(error, dist.DistError) and "gloo" not in first:
            raise
        reason = first.split("] ", 1)[-1]  # without the place in gloo's own source
        raise TransportError(
            f"another rank is gone, or cannot be reached ({reason[:120]}): torchrun starts all anew"
        ) from error
