"""The root that is booted: Debian with systemd and Mosquitto, in the cache; and Python in it.

HierTK is installed into it from a wheel. All that it requires is this very Python's, shown to the
machine read-only: to install PyTorch once more would take minutes and gigabytes.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

# Private there: a change of that file makes the emulated root, 6 GB, be made again.
from arm64.debian import _cache, _mirror

_SUITE = "bookworm"
_PACKAGES = ("systemd", "systemd-sysv", "python3", "mosquitto", "libgomp1")
VENV = Path("/opt/hiertk")
_PYTHON = Path("/opt/python")
_REQUIRED = Path("/opt/packages")
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"

Tell = Callable[[str], None]


def cached_root(tell: Tell) -> Path:
    """Return a root that boots; not to be changed. It is made once, in a minute."""
    folder = _cache() / "boot"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            tell(f"the root is in the cache: {target}")
            return target
        for older in folder.iterdir():  # half made ones among them
            shutil.rmtree(older)
        tell("installing Debian with systemd and Mosquitto")
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            Path(temporary).chmod(0o755)  # else mmdebstrap's download may not write there
            root = Path(temporary) / "root"
            subprocess.run(
                ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
                 f"--include={','.join(_PACKAGES)}", _SUITE, str(root), *_mirror()],
                check=True,
            )  # fmt: skip
            (root / "etc/systemd/system/multi-user.target.wants/mosquitto.service").unlink()
            (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
            root.rename(target)
    return target


def python_mounts() -> dict[Path, Path]:
    """Return what the machine must be shown of this one: from here -> to there."""
    mounts = {Path(sysconfig.get_path("purelib")): _REQUIRED}
    if not _is_debians():
        mounts[Path(sys.base_prefix)] = _PYTHON
    return mounts


def missing_python(root: Path) -> str | None:
    """Return why this Python cannot be had in the root; None if it can."""
    if _is_debians() and not (root / "usr/bin" / _VERSION).exists():
        return f"{_SUITE} has no {_VERSION}: run the test with a Python outside of /usr"
    return None


def make_venv(root: Path) -> None:
    """Make a virtual environment of that Python, with all that HierTK requires."""
    home = Path("/usr/bin") if _is_debians() else _PYTHON / "bin"
    venv = root / VENV.relative_to("/")
    site_packages = venv / "lib" / _VERSION / "site-packages"
    site_packages.mkdir(parents=True)
    (site_packages / "required.pth").write_text(f"{_REQUIRED}\n")
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(home / _VERSION)
    (venv / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (root / "etc/ld.so.conf.d/python.conf").write_text(f"{_PYTHON}/lib\n")


def _is_debians() -> bool:
    return Path(sys.base_prefix) == Path("/usr")
