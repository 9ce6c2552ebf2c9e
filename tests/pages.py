"""What pages of documentation show: commands and links."""

import os
import re
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
TIMEOUT_S = 240


def shell_commands(page: Path) -> list[str]:
    """Return the lines of a page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def broken_links(page: Path) -> list[str]:
    """Return the page's links to files that are not there."""
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    return [target for target in targets if not (page.parent / target).exists()]


def environment() -> dict[str, str]:
    """Return an environment in which HierTK's commands are found."""
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as a reader would type it in a folder."""
    return subprocess.run(
        words,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
