"""Random faults under load: kills (-9), cut links, full disks; then everything is counted.

python tests/faults/campaign.py [--seed N] [--faults N] [--kills N]: the same seed draws the same
faults. It needs root, for a small disk that can be filled, and Mosquitto.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from books import consumed, held, stored
from faults.field import BATCH_SIZE, DEVICES, IMAGES, Field
from faults.ledger import Account, account, spool_of, told_safe
from hiertk_protocol.messages import parse_model_status
from hiertk_protocol.topics import Topics
from mqtt_client import PlainClient

WEIGHTS = {"kill device": 9, "kill service": 5, "kill broker": 4, "cut link": 3, "fill disk": 2}
_PATIENCE_S = 180.0
_BATCHES_OF_AN_EPOCH = IMAGES // BATCH_SIZE


class Campaign:
    """Faults one after another, with some work between them."""

    def __init__(self, field: Field, seed: int, tell: Callable[[str], None]) -> None:
        self._field = field
        self._random = random.Random(seed)
        self._tell = tell
        self.done: Counter[str] = Counter()

    def run(self, kills: int) -> None:
        """Let faults happen until so many processes were killed."""
        field = self._field
        field.start_service()
        for name in DEVICES:
            field.start_device(name)
        wait_until(lambda: len(stored(field.state / "log.sqlite")) > 0, "a batch is stored")
        while sum(count for kind, count in self.done.items() if kind.startswith("kill")) < kills:
            self._one_fault()
        self._finish()

    def _one_fault(self) -> None:
        time.sleep(self._random.uniform(0.1, 1.5))
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        before = self._safe()
        {
            "kill device": self._kill_device,
            "kill service": self._kill_service,
            "kill broker": self._kill_broker,
            "cut link": self._cut_link,
            "fill disk": self._fill_disk,
        }[kind]()
        self.done[kind] += 1
        in_log = set(stored(self._field.state / "log.sqlite"))
        lost = before - in_log
        assert not lost, f"{len(lost)} batches that devices were told are safe are gone: {kind}"
        self._tell(
            f"{self.done.total():4d} {kind}: {len(in_log)} stored, "
            f"{sum(held(spool_of(self._field, name)) for name in DEVICES)} in spools"
        )

    def _safe(self) -> set[tuple[str, int, int]]:
        return set().union(*(told_safe(self._field, name) for name in DEVICES))

    def _pause(self) -> None:
        time.sleep(self._random.choice([0.0, 0.2, 1.0, 3.0]))

    def _kill_device(self) -> None:
        name = self._random.choice(DEVICES)
        self._field.kill(name)
        self._pause()
        self._field.start_device(name)

    def _kill_service(self) -> None:
        self._field.kill("service")
        self._pause()
        self._field.start_service()

    def _kill_broker(self) -> None:
        self._field.broker.kill()
        self._pause()
        self._field.broker.start()

    def _cut_link(self) -> None:
        link = self._field.links[self._random.choice(DEVICES)]
        link.cut()
        self._pause()
        link.restore()

    def _fill_disk(self) -> None:
        self._field.disk.fill()
        time.sleep(self._random.uniform(0.5, 3.0))
        if self._random.random() < 0.3:  # and the service dies meanwhile
            self._field.kill("service")
            self._field.disk.empty()
            self._field.start_service()
            self.done["kill service"] += 1
        self._field.disk.empty()

    def _finish(self) -> None:
        """Let every device end its pass and send what it holds, and the service consume it."""
        field = self._field
        for name in DEVICES:
            code = field.end(name)
            # It may not have come so far as to take the signal, and then is killed by it.
            assert code in (0, -signal.SIGTERM), f"{name} ended with {code}"
            field.start_device(
                name, epochs=consumed(spool_of(field, name)) // _BATCHES_OF_AN_EPOCH + 1
            )
        for name in DEVICES:
            wait_until(lambda: not field.is_running(name), f"{name} has sent everything")  # noqa: B023
            assert field.exit_code(name) == 0, f"{name} ended with {field.exit_code(name)}"
        assert field.is_running("service"), "the service ended by itself"
        topics = Topics(field.bundle.manifest.deployment)
        with PlainClient(field.broker.url, topics.model) as client:
            wait_until(
                lambda: _has_consumed(client, len(stored(field.state / "log.sqlite"))),
                "everything is consumed",
            )
        code = field.end("service")
        assert code == 0, f"the service ended with {code}"


def _has_consumed(client: PlainClient, batches: int) -> bool:
    status = parse_model_status(bytes(client.receive().payload))
    return status.consumed_total == batches


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


def report(seed: int, done: Counter[str], seconds: float, found: Account) -> str:
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(done.items()))
    verdict = "; ".join(found.wrong) or "nothing lost, nothing twice"
    return (
        f"seed {seed}: {done.total()} faults in {seconds:.0f} s ({faults}); {found.put} batches "
        f"put, {found.stored} stored, {found.turns} given a turn, {found.trained} trained on: "
        f"{verdict}"
    )


def run_campaign(folder: Path, seed: int, kills: int, tell: Callable[[str], None]) -> Account:
    """Run it in a folder, tell each fault and at last the summary, and return the account."""
    started = time.monotonic()
    with Field(folder) as field:
        campaign = Campaign(field, seed, tell)
        try:
            campaign.run(kills)
        except BaseException:
            for line in field.last_words():
                tell(line)
            raise
        found = account(field)
    tell(report(seed, campaign.done, time.monotonic() - started, found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hiertk-faults-") as folder:
        found = run_campaign(
            Path(folder), options.seed, options.kills, lambda line: print(line, flush=True)
        )
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
