"""The early exit follows the class table: its rows move to the slots that their classes have."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hiertk_edge.classes.table import ClassInSlot, ClassTable
from hiertk_edge.learner import Learner

if TYPE_CHECKING:
    from hiertk_protocol.new_class import ExitRow


def move_rows(learner: Learner, known: Mapping[int, ClassInSlot], table: ClassTable) -> None:
    """Bring the open slots up to date; the caller holds the turn.

    known: what the open slots stand for; one that stands for nothing is closed. Slots may swap. Of
    two classes that were merged, the row of the one whose slot stays, else of the lower slot,
    stays.
    """
    moves = {
        slot: table.slot_now(slot, known[slot]) if slot in known else None
        for slot in sorted(learner.open_slots)
    }
    leaving = [slot for slot, target in moves.items() if slot != target]
    staying = moves.keys() - set(leaving)
    arriving: dict[int, ExitRow] = {}
    for slot, row in zip(leaving, learner.exit_rows(leaving) if leaving else (), strict=True):
        target = moves[slot]
        if target is not None and target not in staying:
            arriving.setdefault(target, row)
    for slot in leaving:
        if slot not in arriving:
            learner.close_slot(slot)
    for slot, row in arriving.items():
        learner.open_slot(slot, row)
