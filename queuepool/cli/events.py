"""`events`: the daemon's journal."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Any

import click

from queuepool.cli import render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import Count, json_option
from queuepool.errors import DaemonUnreachable


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option(
    "-n", "--lines", "count", metavar="N", type=Count(), default=20, show_default=True,
    help="How many of the past ones.",
)  # fmt: skip
@json_option
@click.pass_context
def events(ctx: click.Context, follow: bool, count: int) -> None:
    """What happened: the daemon's journal. With -v each event with all its facts, as in the daemon's log; with --json,
    an object per line."""
    context = context_of(ctx)
    client = context.client()
    try:
        past = deque(client.events(), maxlen=max(count, 1))
    except DaemonUnreachable as error:
        raise DaemonUnreachable(error.message, error.hint + _of_former(context)) from None
    for item in list(past)[len(past) - count if count < len(past) else 0 :]:
        _print(context, item)
    if follow:
        for item in client.events(past[-1]["seq"] if past else 0, follow=True):
            _print(context, item)


def _of_former(context: Context) -> str:
    """Where it stands what daemons did that are gone; "" where that is not known."""
    from queuepool.system.rundir import RunDirectory

    log = "" if context.host else RunDirectory(context.config_path()).log
    return f"; what former ones did stands in {log}" if log and os.access(log, os.R_OK) else ""


def _print(context: Context, item: dict[str, Any]) -> None:
    click.echo(json.dumps(item) if context.json else render.event(item, verbose=context.verbose))
