"""The one tree of errors, and the exit code of each kind.

HiertkError                 1  a process that the command started was killed, or failed unforeseen
├── ConfigError             3  an option, a file of settings, a label or a data set is wrong
├── ModelError              4  the network, its separation point or its weights do not fit
├── ExportError             5  the on-device artifacts could not be made
│   └── ParityError         6  they were made, but do not equal the PyTorch reference
├── BundleError             7  a bundle is damaged, of another version, or for another engine
├── ProtocolError           8  a message breaks the contract
├── TransportError          9  the broker cannot be reached or refuses
└── StorageError           10  a disk, spool, log or checkpoint failed

0 is success, 2 a wrong command line, 130 an interruption. The text of each error is one line:
what was wrong, where, and what to do.
"""


class HiertkError(Exception):
    """Whatever HierTK reports to its user in one line."""

    exit_code = 1


class ConfigError(HiertkError):
    """An option, a settings file, a label or a data set is wrong."""

    exit_code = 3


class ModelError(HiertkError):
    """The network, its separation point or its weights do not fit."""

    exit_code = 4


class ExportError(HiertkError):
    """The on-device artifacts could not be made."""

    exit_code = 5


class ParityError(ExportError):
    """The exported step does not equal the PyTorch reference."""

    exit_code = 6


class BundleError(HiertkError):
    """A bundle is damaged, of another version, or for another engine."""

    exit_code = 7


class ProtocolError(HiertkError):
    """A message breaks the contract."""

    exit_code = 8


class TransportError(HiertkError):
    """The broker cannot be reached or refuses."""

    exit_code = 9


class StorageError(HiertkError):
    """A disk, spool, log or checkpoint failed."""

    exit_code = 10


def error_of_exit_code(code: int) -> type[HiertkError]:
    """Return the kind of error that a process reported by its exit code, else HiertkError."""
    kinds = [HiertkError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind for kind in kinds if kind.exit_code == code), HiertkError)
