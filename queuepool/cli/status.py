"""`status`: what runs, what does not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from queuepool.cli import render
from queuepool.cli.context import context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import names_argument
from queuepool.cli.watching import watch as keep_watching
from queuepool.errors import ExitCode, UsageError


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
        if context.json:
            raise UsageError("cannot watch as JSON", "`queuepool events -f --json` follows what happens")
        client = context.client()
        keep_watching(context, lambda: render.status(client.status(names), verbose=context.verbose))
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
