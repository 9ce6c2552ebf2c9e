"""A device is killed at random points, and its files are damaged: it always goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edge_configs import NO_BROKER
from edge_parts import CLASSES, DEVICE, make_manifest, write_bundle, write_images
from hiertk_edge.spool import Spool
from hiertk_protocol.hiertk_pb2 import FeatureBatch

MANIFEST = make_manifest()
SCRIPT = Path(__file__).with_name("run_numpy_device.py")
CHECKPOINT_EVERY = 4
IMAGES_PER_CLASS = 160
BATCHES = 3 * IMAGES_PER_CLASS // 4


class Field:
    """A device in a process of its own, with a data set and a watched folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.inbox = folder / "inbox"
        self._images = write_images(folder / "shown", 60, seed=5)
        self._shown = 0
        data = write_images(folder / "data", IMAGES_PER_CLASS)
        self.inbox.mkdir()
        self._command = [
            *(sys.executable, str(SCRIPT), str(write_bundle(folder / "bundle")), NO_BROKER),
            *(f"folder:{data}", str(self.state), f"watch:{self.inbox}", str(CHECKPOINT_EVERY)),
        ]

    def show_one(self) -> None:
        """Put the next image of each class into the watched folder."""
        for name in CLASSES:
            images = sorted((self._images / name).iterdir())
            (self.inbox / name).mkdir(exist_ok=True)
            if images:
                shutil.move(images[0], self.inbox / name / images[0].name)
                self._shown += 1

    def run(self, kill_after_s: float | None) -> list[int]:
        """Run it until it is killed, or is done with everything; return its edge steps."""
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True) as device:
            assert device.stdout is not None
            steps = [int(device.stdout.readline())]  # it has come up
            if kill_after_s is None:
                steps += [int(device.stdout.readline()) for _ in range(3)]
                while (line := device.stdout.readline().strip()) != "settled":
                    steps.append(int(line))
            else:
                time.sleep(kill_after_s)
            os.kill(device.pid, signal.SIGKILL)
            rest, _ = device.communicate()
            lines = rest.splitlines()
            whole = lines if rest.endswith("\n") else lines[:-1]
            return steps + [int(line) for line in whole if line != "settled"]

    def spooled(self) -> list[FeatureBatch]:
        spool = Spool(self.state / "spool.sqlite", bundle_id=MANIFEST.bundle_id, device=DEVICE)
        messages, seq = [], 0
        while (stored := spool.next_after(seq)) is not None:
            seq = stored.seq
            messages.append(FeatureBatch.FromString(stored.message))
        spool.close()
        return messages


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_kill_at_any_point_loses_at_most_the_steps_since_the_last_checkpoint(
    tmp_path: Path, kills: int
) -> None:
    source = random.Random(kills)
    field = Field(tmp_path)
    last = 0
    for _ in range(kills):
        field.show_one()
        steps = field.run(kill_after_s=source.uniform(0, 0.4))
        # The step at hand may have ended, and its checkpoint may be due, when the kill comes.
        assert steps[0] >= last - CHECKPOINT_EVERY - 1
        last = steps[-1]
    steps = field.run(kill_after_s=None)
    assert steps[0] >= last - CHECKPOINT_EVERY - 1
    messages = field.spooled()
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    labelled = [slot for message in messages for slot in message.labels]
    assert len(labelled) >= 4 * BATCHES, "the whole data set is there"


@pytest.mark.parametrize("cuts", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_files_that_a_power_cut_has_cut_or_garbled_do_not_keep_it_from_starting(
    tmp_path: Path, cuts: int
) -> None:
    source = random.Random(cuts)
    field = Field(tmp_path)
    for _ in range(cuts):
        field.show_one()
        assert field.run(kill_after_s=source.uniform(0, 0.3))
        damage(source, field.state)
    assert field.run(kill_after_s=None)


def damage(source: random.Random, state: Path) -> None:
    """Cut off the end of a random file, or overwrite a piece of it, as torn pages do."""
    files = [path for path in sorted(state.rglob("*")) if path.is_file() and path.name != "lock"]
    path = source.choice(files)
    data = bytearray(path.read_bytes())
    if source.random() < 0.5 and data:
        del data[source.randrange(len(data)) :]
    elif data:
        start = source.randrange(len(data))
        piece = source.randbytes(source.randint(1, 512))
        data[start : start + len(piece)] = piece
    path.write_bytes(data)
