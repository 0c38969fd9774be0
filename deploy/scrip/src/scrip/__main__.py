"""The command `scrip`. Each group of commands has a module of its own, which is imported when it is
needed.
"""

import importlib
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from scrip import lane_commands, platform_commands, staff_commands
from scrip.checkout import checkout
from scrip.errors import PlatformError
from scrip.prove import command as prove_command

app = typer.Typer(
    name="scrip",
    help="Scrip, the coupon platform: run it on this machine, look into it, work with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command()(platform_commands.up)
app.command()(platform_commands.down)
app.command()(platform_commands.status)
app.command()(platform_commands.logs)
staff_commands.add_to(app)
app.add_typer(lane_commands.lane, name="lane")
app.command()(prove_command.prove)


@app.callback(invoke_without_command=True)
def root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if show_version:
        typer.echo(f"scrip {version('scrip')}")
        raise typer.Exit


@app.command(context_settings=PASSED_ON, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Play a real grocery chain's year of coupons on a platform of its own."""
    raise typer.Exit(program_of_checkout("scrip.demo", context.args))


@app.command(context_settings=PASSED_ON, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure how fast this machine runs the platform, against its limits."""
    raise typer.Exit(program_of_checkout("benchmarks.command", context.args))


def program_of_checkout(module: str, arguments: list[str]) -> int:
    """Run `main(arguments)` of a module that only a checkout has; returns its exit code."""
    sys.path.insert(0, str(checkout()))
    try:
        program = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise PlatformError(f"There is no {module} in {checkout()}.") from error
    return int(program.main(arguments))


def main() -> None:
    """Run the command line; an expected error is one sentence on stderr and exit code 1."""
    try:
        app(prog_name="scrip")
    except PlatformError as error:
        typer.echo(f"scrip: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
