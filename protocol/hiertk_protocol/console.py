"""What the three command lines share: one line per error, a documented exit code, --debug."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from hiertk_protocol.errors import HiertkError

INTERRUPTED = 130


def run(app: Callable[[], object]) -> None:
    """Run a command line and leave with the exit code of its outcome."""
    try:
        app()
    except HiertkError as error:
        if "--debug" in sys.argv or os.environ.get("HIERTK_DEBUG"):
            traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def terminate_like_interrupt() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that every `finally` runs."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
