"""`scale`: more or fewer processes of one program while it runs."""

from __future__ import annotations

from typing import Any

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import Count, no_wait_option
from queuepool.cli.progress import Progress
from queuepool.cli.selectors import program_argument
from queuepool.control.messages import Scale
from queuepool.errors import UsageError


class Wanted(Count):
    """How many processes there are to be. What looks like another way to say it is not taken for that number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises UsageError for `+2`, and for a number before its program."""
        text, name = str(value), str(ctx.params.get("name", "NAME")) if ctx else "NAME"
        if text.startswith("+"):
            raise UsageError(
                f"cannot scale {name} by {text}: N is how many are to run in all",
                f"`queuepool status {name}` shows how many run now",
            )
        if name.isdecimal() and not text.isdecimal():
            raise UsageError(f"cannot scale {name}: the program comes first", f"`queuepool scale {text} {name}`")
        return super().convert(value, param, ctx)


@click.command()
@program_argument()
@click.argument("count", metavar="N", type=Wanted(), required=False)
@click.option("--reset", is_flag=True, help="Run what the file says again.")
@no_wait_option
@click.pass_context
def scale(ctx: click.Context, name: str, count: int | None, reset: bool, wait: bool) -> None:
    """Run more or fewer processes of one program, touching no other. The missing are started; the surplus finishes its
    job and ends. It holds across a restart of the daemon, until `--reset` or another `scale`."""
    program, assigned, number = name.partition("=")
    if assigned and number.isdecimal() and count is None:
        raise UsageError(
            f"cannot scale {name}: the number follows the program after a blank",
            f"`queuepool scale {program} {number}`",
        )
    if (count is None) != reset:
        raise UsageError(
            f"cannot scale {name}: give either a number of processes or --reset",
            f"`queuepool scale {name} 4`, or `queuepool scale {name} --reset`",
        )
    with Progress(context_of(ctx).client(), (name,)) as progress:
        reply = progress.ask(Scale(name, count, reset=reset, wait=wait))
        click.echo(reply["message"])
        progress.results(reply.get("failed", ()))
