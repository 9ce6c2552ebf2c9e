"""The most memory that this process has taken."""

from pathlib import Path

from hiertk_protocol.errors import ConfigError

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int:
    """Return this process's peak resident memory since it runs this program, libraries included.

    Not ru_maxrss, which counts the memory of the process that started this one. Raises ConfigError
    where the system does not tell.
    """
    try:
        lines = _STATUS.read_text().splitlines()
        (kilobytes,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_STATUS} tells no peak memory: profile on a Linux device") from error
    return 1024 * int(kilobytes)
