"""The child process of EmbeddedBroker: `python -m hiertk.embedded_broker SETTINGS.toml`."""

import logging
import os
import sys
import threading

from iotcore import IotCoreBroker


def main() -> None:
    """Run rumqttd until the process is ended, or its owner is."""
    # rumqttd reports every packet as an error record (spans), which would fill the log.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_the_owner, daemon=True).start()
    IotCoreBroker(config_path=sys.argv[1]).run_forever()


def _end_with_the_owner() -> None:
    # Returns when the owner's end of the pipe closes. Unbuffered: a buffered reader's lock would
    # abort the interpreter when it ends for another reason.
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


if __name__ == "__main__":
    main()
