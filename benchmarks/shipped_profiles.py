"""Writes the profiles that are shipped for planning without one's own: this machine's.

python -m benchmarks.shipped_profiles [NAME ...]: a profile as edge and one as cloud for each input
size. Takes some minutes for each; let nothing else run on the machine.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from hiertk_protocol import console
from hiertk_protocol.errors import ConfigError, error_of_exit_code

FOLDER = Path(__file__).resolve().parent.parent / "toolkit" / "hiertk" / "planner" / "shipped"
NETWORKS = ("resnet18", "vgg16")
INPUT_SIZES = (32, 64)
ROLES = ("edge", "cloud")

app = typer.Typer(
    name="python -m benchmarks.shipped_profiles",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def measure(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...]", help=f"Default: {', '.join(NETWORKS)}."),
    ] = None,
    *,
    folder: Annotated[Path, typer.Option(help="Where the profiles go.")] = FOLDER,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each point, about.")] = 5.0,
) -> None:
    """Measure networks on this machine and write NAME-SIZE-ROLE.toml for each."""
    for name in names or NETWORKS:
        if name not in NETWORKS:
            raise ConfigError(f"no profile of {name} is shipped: only of {', '.join(NETWORKS)}")
    for name in names or NETWORKS:
        for size in INPUT_SIZES:
            for role in ROLES:
                out = folder / f"{name}-{size}-{role}.toml"
                print(f"{out.name}:", flush=True)
                _profile(name, size, role, out, seconds)


def _profile(name: str, size: int, role: str, out: Path, seconds: float) -> None:
    """Run `hiertk profile` as a user does, in a process of its own."""
    command = ["profile", "--model", name, "--input-size", str(size), "--role", role]
    options = ["--out", str(out), "--force", "--seconds", str(seconds)]
    done = subprocess.run([sys.executable, "-m", "hiertk", *command, *options], check=False)
    if done.returncode != 0:
        raise error_of_exit_code(done.returncode)(f"{out.name} could not be measured: see above")


if __name__ == "__main__":
    console.run(app)
