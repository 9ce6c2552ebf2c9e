"""What belongs to the service on a machine, and where it is put."""

from pathlib import Path

from hiertk_protocol.host.installation import UNITS, WANTED, Installation, Parts, quoted, shipped

UNIT = "hiertk-cloud.service"
CONFIGURATION = Path("etc/hiertk/cloud.toml")
CREDENTIALS = Path("etc/hiertk/credentials")
_PACKAGE = "hiertk_cloud"
_SHIPPED_PROGRAM = "/opt/hiertk/bin/hiertk-cloud"


def installation(root: Path, program: Path, *, is_dry: bool = False) -> Installation:
    """Return what is put in place below a root.

    program: absolute path of hiertk-cloud as the unit will see it.
    """
    unit = shipped(_PACKAGE, UNIT).replace(_SHIPPED_PROGRAM, quoted(program))
    parts = Parts(
        units={UNITS / UNIT: unit},
        settings={CONFIGURATION: shipped(_PACKAGE, CONFIGURATION.name)},
        secrets=(CREDENTIALS,),
        running=UNIT,
        enabled=(WANTED / UNIT,),
    )
    return Installation(root, parts, is_dry=is_dry)
