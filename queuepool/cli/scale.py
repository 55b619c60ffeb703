"""`scale`: more or fewer processes of one program while it runs."""

from __future__ import annotations

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import Count, no_wait_option
from queuepool.cli.progress import Progress
from queuepool.cli.selectors import program_argument
from queuepool.control.messages import Scale
from queuepool.errors import UsageError


@click.command()
@program_argument()
@click.argument("count", metavar="N", type=Count(), required=False)
@click.option("--reset", is_flag=True, help="Run what the file says again.")
@no_wait_option
@click.pass_context
def scale(ctx: click.Context, name: str, count: int | None, reset: bool, wait: bool) -> None:
    """Run more or fewer processes of one program, touching no other. The missing are started; the surplus finishes its
    job and ends. It holds across a restart of the daemon, until `--reset` or another `scale`."""
    if (count is None) != reset:
        raise UsageError(
            f"cannot scale {name}: give either a number of processes or --reset",
            f"`queuepool scale {name} 4`, or `queuepool scale {name} --reset`",
        )
    with Progress(context_of(ctx).client(), (name,)) as progress:
        reply = progress.ask(Scale(name, count, reset=reset, wait=wait))
        click.echo(reply["message"])
        progress.results(reply.get("failed", ()))
