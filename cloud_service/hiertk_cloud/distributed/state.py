"""A rank's folder inside the state folder: its log, and of how many ranks it is one.

The number of ranks is fixed for a state folder. A device's sequence numbers are known to its
rank's log only: another rank would train again on what a device sends again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hiertk_protocol.errors import ConfigError, StorageError
from hiertk_protocol.files import atomic_file
from hiertk_protocol.storage import locked_folder
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hiertk_cloud.distributed.group import Group

_MAX_BYTES = 4096


class RankRecord(BaseModel):
    """rank.json: whose folder this is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(ge=0)
    ranks: int = Field(ge=1)


@dataclass(frozen=True)
class RankFolder:
    """Where one rank keeps what must survive it; the checkpoint is rank 0's to write."""

    state: Path
    rank: int

    @property
    def path(self) -> Path:
        return self.state / f"rank-{self.rank}"

    @property
    def log(self) -> Path:
        return self.path / "log.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.state / "group-checkpoint.safetensors"


@contextmanager
def lock_rank(state: Path, group: Group) -> Iterator[RankFolder]:
    """Make a rank's folder and hold it for this process.

    Raises ConfigError if it is in use, or of another number of ranks; StorageError.
    """
    folder = RankFolder(state, group.rank)
    if (state / "log.sqlite").exists():
        raise ConfigError(
            f"{state} holds the state of a service of one process: choose another state folder, "
            "or start hiertk-cloud serve"
        )
    with locked_folder(folder.path):
        _claim(folder.path / "rank.json", RankRecord(rank=group.rank, ranks=group.size))
        yield folder


def _claim(path: Path, record: RankRecord) -> None:
    if not path.exists():
        with atomic_file(path) as temporary:
            temporary.write_text(record.model_dump_json() + "\n", encoding="utf-8")
        return
    found = _read(path)
    if found != record:
        raise ConfigError(
            f"{path.parent} belongs to rank {found.rank} of {found.ranks}, this is rank "
            f"{record.rank} of {record.ranks}: start {found.ranks} ranks, or choose another state "
            "folder"
        )


def _read(path: Path) -> RankRecord:
    try:
        with path.open("rb") as file:
            return RankRecord.model_validate_json(file.read(_MAX_BYTES))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise StorageError(f"{path} is damaged: {error.errors()[0]['msg']}") from error
