"""Feeds damaged inputs to every target, in a process whose memory is bounded.

python -m fuzz.fuzz_process SEED INPUTS FOLDER [TARGET ...]: prints one JSON line per target. An
input that raises anything but an error of the tree is written to FOLDER/found/TARGET-NUMBER, to be
moved to the corpus.
"""

import faulthandler
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from fuzz.targets import Target, make_targets
from hiertk_protocol.errors import HiertkError

MEMORY_BYTES = 256 << 20  # on top of what is loaded at the start
_MOST_FINDINGS = 5
_LARGEST_SEED = 4096  # the large ones of the corpus are tried once, as they are


@dataclass
class Report:
    """What came of one target. slowest_s: of the processor's time."""

    target: str
    inputs: int = 0
    taken: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    findings: tuple[str, ...] = ()


def main(seed: str, inputs: str, folder: str, *names: str) -> None:
    """Run the targets, all or some."""
    faulthandler.enable()
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as work:
        targets = make_targets(Path(work))
        chosen = [targets[name] for name in names or targets]
        shares = sum(target.share for target in chosen)
        _bound_memory()
        for target in chosen:
            count = 1 + int(inputs) * target.share // shares
            report = run(target, Random(f"{seed} {target.name}"), count, Path(folder) / "found")
            print(json.dumps(asdict(report)), flush=True)


def run(target: Target, random: Random, count: int, findings: Path) -> Report:
    """Give a target its seeds, its corpus and `count` damaged copies of both."""
    report = Report(target.name)
    started = time.monotonic()
    for data in _inputs(target, random, count):
        report.inputs += 1
        before = time.process_time()
        try:
            target.take(data)
            report.taken += 1
        except HiertkError as error:
            if "\n" in str(error):
                _note(report, data, "an error of more than one line", findings)
        except Exception:  # noqa: BLE001  (that is what is looked for)
            _note(report, data, traceback.format_exc(limit=-3), findings)
        report.slowest_s = max(report.slowest_s, time.process_time() - before)
    report.seconds = time.monotonic() - started
    return report


def _inputs(target: Target, random: Random, count: int) -> Iterator[bytes]:
    known = [*target.seeds, *(path.read_bytes() for path in target.corpus)]
    yield from known
    known = [data for data in known if len(data) <= _LARGEST_SEED] or known
    for _ in range(count):
        # Mostly whole ones: a damaged one is mostly refused at once.
        seed = random.choice(target.seeds) if random.random() < 0.9 else random.choice(known)
        yield target.mutate(seed, random)


def _note(report: Report, data: bytes, what: str, findings: Path) -> None:
    if len(report.findings) < _MOST_FINDINGS:
        findings.mkdir(exist_ok=True)
        path = findings / f"{report.target}-{report.inputs}"
        path.write_bytes(data)
        report.findings += (f"{path}: {what}",)


def _memory_disk() -> str | None:
    """Return a folder in memory, where there is one: thousands of files are synced to the disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(*sys.argv[1:])
