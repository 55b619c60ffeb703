"""`status`: what runs, what does not, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from queuepool.cli import render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import names_argument
from queuepool.errors import ExitCode, UsageError

WATCH_SECONDS = 1.0


@click.command()
@names_argument(required=False)
@click.option("-w", "--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@json_option
@click.pass_context
def status(ctx: click.Context, names: tuple[str, ...], watch: bool) -> None:
    """What runs, what does not, and why. With NAME, also the last lines of what failed. Exit 3 when something that
    should run does not."""
    context = context_of(ctx)
    if watch:
        _watch(context, names)
    snapshot = context.client().status(names)
    if context.json:
        context.print_json(snapshot)
    else:
        click.echo("\n".join(render.status(snapshot, verbose=context.verbose, details=bool(names))))
    if not as_it_should_be(snapshot, named=bool(names)):
        ctx.exit(ExitCode.NOT_AS_WANTED)


def as_it_should_be(snapshot: Mapping[str, Any], *, named: bool = False) -> bool:
    """Whether all that should run does, and neither the file nor a program has a problem.

    named: the snapshot was asked for by names; then the problems of the daemon itself do not count.
    """
    return (
        not any(render.is_down(process) for process in snapshot["processes"])
        and not any(program["problems"] for program in snapshot["programs"])
        and (named or not snapshot["daemon"]["problems"])
    )


def _watch(context: Context, names: Sequence[str]) -> None:
    """Redraw until Ctrl-C. A daemon that goes away is shown as that; it may come back."""
    import shutil
    import time

    from queuepool.errors import DaemonUnreachable

    if context.json:
        raise UsageError("cannot watch as JSON", "`queuepool events -f --json` follows what happens")
    if not sys.stdout.isatty():
        raise UsageError("cannot watch: standard output is not a terminal", "`queuepool status` prints it once")
    client = context.client()
    while True:
        try:
            lines = list(render.status(client.status(names), verbose=context.verbose))
        except DaemonUnreachable as error:
            lines = [error.message, error.hint]
        columns, rows = shutil.get_terminal_size()
        if len(lines) > rows - 2:
            hidden = len(lines) - rows + 3
            lines = [*lines[: rows - 3], f"... {hidden} more lines"]
        head = f"every {WATCH_SECONDS:g} s, Ctrl-C ends".rjust(columns - 1)
        shown = [head, *(lines if context.color else map(click.unstyle, lines))]
        # Home, no wrapping, each line cleared to its end, then all below: no flicker, unlike clearing the screen first.
        frame = "".join(f"{line}\x1b[K\n" for line in shown)
        click.echo(f"\x1b[H\x1b[?7l{frame}\x1b[J\x1b[?7h", nl=False, color=True)
        time.sleep(WATCH_SECONDS)
