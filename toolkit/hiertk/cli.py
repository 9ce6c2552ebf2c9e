"""The toolkit's command line."""

import typer
from hiertk_protocol import console

from hiertk.commands.bundles import inspect, verify
from hiertk.commands.data import data
from hiertk.commands.demo import demo
from hiertk.commands.export import export
from hiertk.commands.grow import grow
from hiertk.commands.models import models
from hiertk.commands.plan import plan
from hiertk.commands.profile import profile
from hiertk.commands.signing import key, sign
from hiertk.commands.simulate import simulate
from hiertk.commands.study import study

app = typer.Typer(
    name="hiertk",
    help="Put hierarchical training with early exits on devices: find where to cut a network, "
    "export its edge part for on-device training, try the whole system.",
    epilog="Exit codes: 0 done, 2 wrong command line, 3 settings or data, 4 network or cut, "
    "5 export, 6 not equal to PyTorch, 7 bundle, 9 broker, 10 disk, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (
    *(models, profile, plan, export, grow, inspect, verify),
    *(key, sign, data, demo, simulate),
):
    app.command()(command)
app.add_typer(study)


def main() -> None:
    """Run the command line."""
    console.run(app)
