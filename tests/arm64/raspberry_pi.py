"""What the emulated machine says of its processor: a Raspberry Pi 4's four Cortex-A72.

qemu-user shows the host's /proc and /sys. PyTorch crashes on them, and XNNPACK refuses to start:
both choose their kernels by what they read there.
"""

from pathlib import Path

QEMU_CPU = "cortex-a72"
CPUINFO = "opt/cpuinfo"  # to be mounted over /proc/cpuinfo
_CORES = 4
_MIDR = "0x00000000410fd083"
_CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


def describe_processor(root: Path) -> None:
    """Write the files that tell of the processor into an arm64 root without /sys."""
    (root / CPUINFO).parent.mkdir()
    (root / CPUINFO).write_text("".join(_CORE.format(number=core) for core in range(_CORES)))
    processors = root / "sys" / "devices" / "system" / "cpu"
    processors.mkdir(parents=True)
    for name in ("possible", "present"):
        (processors / name).write_text(f"0-{_CORES - 1}\n")
    for core in range(_CORES):
        identification = processors / f"cpu{core}" / "regs" / "identification"
        identification.mkdir(parents=True)
        (identification / "midr_el1").write_text(f"{_MIDR}\n")
