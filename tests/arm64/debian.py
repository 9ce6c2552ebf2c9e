"""The arm64 root: Debian's Python and the wheels that hiertk[edge] requires there, in the cache.

This machine fetches and unpacks the files. Under the emulator pip takes five to eight minutes for
the small ones alone, and PyPI's torch for arm64 brings 3 GB of CUDA libraries (a Raspberry Pi takes
PyTorch's CPU build instead). hiertk itself is not in the root: the test installs it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from arm64.emulation import VENV, WORK
from arm64.raspberry_pi import describe_processor

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON_VERSION = "3.11.2"
_SUITE = "bookworm"
_PACKAGES = ("python3-venv", "libgomp1", "libstdc++6")
_SITE_PACKAGES = f"{VENV}/lib/python3.11/site-packages"
_RECIPE = ("debian.py", "pip_for_arm64.py", "raspberry_pi.py")
_CONSTRAINTS = ROOT / "constraints.txt"
_NEWEST_GLIBC = 36  # bookworm's 2.36
# Published as source only, while pip takes nothing but wheels for another machine.
_SOURCES = ("antlr4-python3-runtime",)

Tell = Callable[[str], None]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("hiertk-*.whl")
    return wheel


def cached_root(wheel: Path, tell: Tell) -> Path:
    """Return a root with all that the wheel's extra `edge` requires; not to be changed.

    It is made once for the same requirements and way of making it. Older ones are removed: each
    takes 6 GB.
    """
    folder = _cache() / "arm64"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _digest(wheel)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            tell(f"the arm64 root is in the cache: {target}")
            return target
        for older in folder.iterdir():  # half made ones among them
            shutil.rmtree(older)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            Path(temporary).chmod(0o755)  # else mmdebstrap's download may not write there
            root = Path(temporary) / "root"
            _make_root(root, wheel, tell)
            root.rename(target)
    return target


def _cache() -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HIERTK_CACHE") or user / "hiertk")


def _digest(wheel: Path) -> str:
    digest = hashlib.sha256(_CONSTRAINTS.read_bytes())
    for module in _RECIPE:
        digest.update(Path(__file__).with_name(module).read_bytes())
    digest.update("\n".join(_requirements(wheel)).encode())
    return digest.hexdigest()[:16]


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    return [line for line in lines if line.startswith("Requires-Dist:")]


def _make_root(root: Path, wheel: Path, tell: Tell) -> None:
    tell("extracting Debian's packages")
    _run(
        "mmdebstrap", "--quiet", "--mode=root", "--architectures=arm64", "--variant=extract",
        f"--include={','.join(_PACKAGES)}", _SUITE, str(root), *_mirror(),
    )  # fmt: skip
    for folder in ("proc", "root", WORK):
        (root / folder).mkdir(exist_ok=True)
    describe_processor(root)
    _run("chroot", str(root), "/usr/bin/python3", "-m", "venv", "--without-pip", f"/{VENV}")
    wheels = root.parent / "wheels"
    tell("fetching wheels for arm64, 3 GB")
    _fetch(wheels, wheel)
    tell("unpacking them")
    _pip(
        "install", "--no-deps", "--no-index", "--no-compile", "--ignore-requires-python",
        *_platforms(), "--target", str(root / _SITE_PACKAGES), *map(str, wheels.glob("*.whl")),
        TMPDIR=str(root.parent),  # of the same disk, else pip copies 6 GB
    )  # fmt: skip


def _fetch(wheels: Path, wheel: Path) -> None:
    versions = ("--constraint", str(_CONSTRAINTS))
    _pip("wheel", "--no-deps", *versions, "--wheel-dir", str(wheels), *_SOURCES)
    _run(
        sys.executable, str(Path(__file__).with_name("pip_for_arm64.py")),
        "download", "--quiet", "--no-cache-dir", *versions, *_platforms(),
        "--only-binary=:all:", "--find-links", str(wheels), "--dest", str(wheels),
        f"{wheel}[edge]", "pip",
        PYTHONPATH=str(ROOT / "tests"),
        TMPDIR=str(wheels),
    )  # fmt: skip
    (wheels / wheel.name).unlink()  # pip copies what it is given


def _platforms() -> list[str]:
    names = [f"manylinux_2_{minor}_aarch64" for minor in range(17, _NEWEST_GLIBC + 1)]
    chosen = [word for name in (*names, "manylinux2014_aarch64") for word in ("--platform", name)]
    return [*chosen, "--implementation", "cp", "--python-version", PYTHON_VERSION]


def _mirror() -> list[str]:
    """Return where this machine's apt finds the same Debian; nothing where it is another one."""
    listed = _run("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)")
    wanted = f"{_SUITE} main "
    return [line.removeprefix(wanted) for line in listed.splitlines() if line.startswith(wanted)][
        :1
    ]


def _pip(*arguments: str, **environment: str) -> None:
    _run(sys.executable, "-m", "pip", "--quiet", *arguments, **environment)


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
