"""A machine of its own that boots: systemd as process 1 in a container of systemd-nspawn."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mqtt_client import wait_until

WORK = Path("/shared")  # where the machine sees the folder that it shares with this one
PATIENCE_S = 60.0
_PROGRAMS = ("mmdebstrap", "nsenter", "setpriv", "systemd-nspawn")
_STREAMS = ("Output", "Error")
_INSTALL = "apt-get install mmdebstrap systemd-container"


def missing_part() -> str | None:
    """Return what this machine lacks to boot another one, and how to get it; None if nothing."""
    if os.geteuid() != 0:
        return "the boot test starts a container: run it as root"
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            return f"the boot test needs {program}: {_INSTALL}"
    return None


class Machine:
    """A root on disk, which may be changed; commands run in it, booted or not.

    mounts: what it is shown of this machine, read-only: from here -> to there.
    """

    def __init__(self, root: Path, shared: Path, mounts: dict[Path, Path]) -> None:
        self.root = root
        self.shared = shared
        self._mounts = mounts
        self._leader = 0

    def prepare(self, *command: str) -> str:
        """Run a command in the root while it is not booted."""
        return _output([*self._nspawn(), "--pipe", *command])

    @contextmanager
    def booted(self, console: Path) -> Iterator[None]:
        """Boot it, and power it off at the end. console: takes what it prints."""
        with console.open("wb") as output:
            nspawn = subprocess.Popen(
                [*self._nspawn(), "--boot"],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(lambda: self._find_leader(nspawn.pid), PATIENCE_S)
            wait_until(self._is_running, PATIENCE_S)
            yield
        finally:
            nspawn.terminate()
            try:
                nspawn.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                nspawn.kill()
                nspawn.wait()

    def run(self, *command: str) -> str:
        """Run a command on the booted machine and return what it prints."""
        return _output(self._enter(*command))

    def start(self, name: str, *command: str) -> None:
        """Start a command as a unit of the booted machine; what it prints goes to shared/NAME."""
        output, error = (f"--property=Standard{kind}=append:{WORK}/{name}" for kind in _STREAMS)
        # A unit, so that systemd ends it when the machine is powered off.
        self.run(
            "systemd-run", "--quiet", "--remain-after-exit", f"--unit={name}", output, error,
            "--setenv=OMP_NUM_THREADS=1", *command,
        )  # fmt: skip

    def wait_for(self, name: str, timeout_s: float) -> str:
        """Wait until a started command has ended; return what systemd says of it: success."""
        wait_until(lambda: self.shown(name, "SubState") in {"exited", "failed"}, timeout_s)
        return self.shown(name, "Result")

    def shown(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def _nspawn(self) -> list[str]:
        binds = [f"--bind-ro={here}:{there}" for here, there in self._mounts.items()]
        return [
            # Nothing stays behind, whatever ends the test.
            *("setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet"),
            *("--register=no", "--keep-unit", "--private-network", "--directory", str(self.root)),
            *(f"--bind={self.shared}:{WORK}", *binds),
        ]

    def _enter(self, *command: str) -> list[str]:
        assert self._leader, "not booted"
        path = "PATH=/opt/hiertk/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        inside = ("env", "-i", path, "LANG=C.UTF-8", "OMP_NUM_THREADS=1", *command)
        return ["nsenter", "--target", str(self._leader), "--all", "--wd=/", "--", *inside]

    def _find_leader(self, parent: int) -> bool:
        for process in _descendants(parent):
            status = Path(f"/proc/{process}/status").read_text()
            (inside,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
            if inside.split()[-1] == "1" and len(inside.split()) > 2:
                self._leader = process
                return True
        return False

    def _is_running(self) -> bool:
        done = subprocess.run(
            self._enter("systemctl", "is-system-running"), capture_output=True, check=False
        )
        return done.stdout.strip() in {b"running", b"degraded"}


_ENVIRONMENT = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"}


def _descendants(process: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return
    for child in children:
        yield int(child)
        yield from _descendants(int(child))


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command, env=_ENVIRONMENT, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
