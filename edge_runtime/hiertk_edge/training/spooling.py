"""From the learner's results to the spool: a disk that refuses does not stop the training."""

from hiertk_protocol.errors import StorageError
from hiertk_protocol.hiertk_pb2 import FeatureBatch
from hiertk_protocol.host.problems import Problems

from hiertk_edge.damaged_file import DamagedError
from hiertk_edge.learner import SlotArray, StepResult
from hiertk_edge.spool import Cursor, Spool
from hiertk_edge.training.encoding import BatchEncoder
from hiertk_edge.uplink import Uplink


class Spooling:
    """Encodes features as the link wants them now, and stores them with the place in the data."""

    def __init__(
        self, encoder: BatchEncoder, spool: Spool, uplink: Uplink, problems: Problems
    ) -> None:
        self._encoder = encoder
        self._spool = spool
        self._uplink = uplink
        self._problems = problems
        self._lost = 0

    def put(
        self,
        result: StepResult,
        labels: SlotArray,
        *,
        edge_step: int,
        purpose: FeatureBatch.Purpose,
        cursor: Cursor,
    ) -> None:
        """Store the features of some labelled images, and the cursor behind them.

        Raises ProtocolError if training diverged, ConfigError if one sample is too large,
        DamagedError if the spool is damaged.
        """
        messages = self._encoder.encode(
            result,
            labels,
            edge_step=edge_step,
            purpose=purpose,
            bits=self._uplink.bits,
            max_bytes=self._uplink.max_message_bytes,
        )
        self._store(messages, cursor)

    def move(self, cursor: Cursor) -> None:
        """Store only a cursor."""
        self._store([], cursor)

    def _store(self, messages: list[FeatureBatch], cursor: Cursor) -> None:
        try:
            self._spool.put(messages, cursor)
        except DamagedError:
            raise  # the next start sets it aside, and goes on
        except StorageError as error:
            self._lost += len(messages)
            self._problems.begin("spool", f"{error}: until then features are lost, not training")
            return
        self._problems.end("spool", f"the spool stores again; {self._lost} messages were lost")
