"""pip of this machine, told that it chooses for the arm64 root: `python pip_for_arm64.py ...`.

pip's own options choose the wheels of another machine, but still take this one's requirements.
"""

import platform
import runpy

from arm64.debian import PYTHON_VERSION

platform.machine = lambda: "aarch64"
platform.python_version = lambda: PYTHON_VERSION
platform.python_version_tuple = lambda: tuple(PYTHON_VERSION.split("."))  # type: ignore[assignment,return-value]

if __name__ == "__main__":
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
