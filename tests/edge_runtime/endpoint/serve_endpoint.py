"""An endpoint as a process: prints its address and token, and serves until its input ends."""

import sys
import tempfile
from pathlib import Path

from edge_runtime.endpoint.endpoint_parts import serving


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        print(served.endpoint.address, served.authorization["Authorization"], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
