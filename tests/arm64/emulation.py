"""Running commands in an arm64 root under qemu-user.

Each command gets mount and process namespaces of its own. The kernel takes them down with it: no
mount and no process stays behind, whatever ends the command, or ends the test.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from arm64.raspberry_pi import CPUINFO, QEMU_CPU

WORK = "work"  # where the root shows the folder that it shares with this machine
VENV = "opt/hiertk"
_INTERPRETER = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
_PROGRAMS = ("chroot", "mmdebstrap", "arch-test", "mount", "setpriv", "unshare")
_INSTALL = "apt-get install arch-test binfmt-support mmdebstrap qemu-user-static"
_PATHS = f"/{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The kernel kills unshare when its parent ends, and with its child, process 1 of the namespace, all
# that runs there.
_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
)

# The last line is no plain command, so that the shell stays process 1 and does not become chroot:
# the kernel keeps fatal signals from process 1, and a crash of it would hang for ever.
_SCRIPT = f"""\
set -e
base=$1 folder=$2
shift 2
mount -t overlay overlay \
    -o "lowerdir=$base,upperdir=$folder/changes,workdir=$folder/overlay" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --bind "$folder/root/{CPUINFO}" "$folder/root/proc/cpuinfo"
mount --bind /dev "$folder/root/dev"
mount --bind "$folder/{WORK}" "$folder/root/{WORK}"
chroot "$folder/root" "$@" || exit $?
"""


def missing_part() -> str | None:
    """Return what this machine lacks to run arm64 programs, and how to get it; None if nothing."""
    if os.geteuid() != 0:
        return "the arm64 test mounts and changes roots: run it as root"
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            return f"the arm64 test needs {program}: {_INSTALL}"
    if not _INTERPRETER.exists():
        return (
            f"nothing runs arm64 programs here: {_INSTALL}, then update-binfmts --enable "
            f"{_INTERPRETER.name}"
        )
    return None


@dataclass(frozen=True)
class EmulatedMachine:
    """A machine whose disk is `base`, which stays as it is, and what it has changed since.

    folder: holds the changes, and the folder `shared`.
    """

    base: Path
    folder: Path

    @property
    def shared(self) -> Path:
        """What the machine sees as /work."""
        return self.folder / WORK

    def prepare(self) -> None:
        """Make the folders that a command needs."""
        for name in ("changes", "overlay", "root", WORK):
            (self.folder / name).mkdir(parents=True)

    def run(self, *command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; after `timeout_s` everything that it started is killed."""
        inside = ("sh", "-c", _SCRIPT, "emulation", str(self.base), str(self.folder), *command)
        return subprocess.run(
            [*_NAMESPACES, *inside],
            env={
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "OMP_NUM_THREADS": "1",
                "PATH": _PATHS,
                "QEMU_CPU": QEMU_CPU,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
