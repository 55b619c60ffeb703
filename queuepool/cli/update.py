"""`reread`, `update`, `reopen` and `upgrade`: what concerns the file, the logs and the code of the running daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from queuepool.cli import absence, render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import json_option, no_wait_option
from queuepool.cli.progress import Progress
from queuepool.cli.selectors import names_argument
from queuepool.control.messages import Reopen, Reread, Update, Upgrade
from queuepool.domain.amounts import count
from queuepool.errors import DaemonUnreachable, NotAsWanted
from queuepool.system.rundir import RunDirectory

if TYPE_CHECKING:
    from queuepool.control.client import Client

WOULD = {"added": "available", "changed": "changed", "removed": "disappeared"}
DID = {"added": "added", "changed": "updated", "removed": "removed"}
ANEW_SECONDS = 30.0
"""How long the new code may take until it answers; it took 0.4 s with 500 processes."""
NOTHING = "No config updates to processes"


@click.command()
@json_option
@click.pass_context
def reread(ctx: click.Context) -> None:
    """Show what changed in the file; change nothing. `update` applies it."""
    context = context_of(ctx)
    reply = context.client().ask(Reread())
    if context.json:
        context.print_json(reply)
        return
    lines = list(render.changes(reply, WOULD))
    click.echo("\n".join(lines or [NOTHING]))


@click.command()
@names_argument(required=False)
@no_wait_option
@click.pass_context
def update(ctx: click.Context, names: tuple[str, ...], wait: bool) -> None:
    """Apply what changed in the file, and only that. Processes that did not change are not touched; NAME limits it to
    these programs. Exit 3 when a part of the file could not be applied."""
    apply(context_of(ctx), Update(names, wait=wait))


def apply(context: Context, request: Update) -> None:
    """Have the daemon apply its file, and print what that did. `up` does the same when a daemon already runs."""
    with Progress(context.client(), request.names) as progress:
        reply = progress.ask(request)
        lines = list(render.changes(reply, DID))
        click.echo("\n".join(lines or [NOTHING]))
        progress.results([item for item in reply["results"] if item["result"] != "unchanged"])
    if reply["problems"]:
        what = count(len(reply["problems"]), "problem is", "problems are")
        raise NotAsWanted(f"not all of the file is in force: {what} told above", "mend it, then `queuepool update`")


@click.command()
@click.pass_context
def reopen(ctx: click.Context) -> None:
    """Close and open all log files again, for logrotate. The same as SIGUSR2 to the daemon."""
    click.echo(f"{count(context_of(ctx).client().ask(Reopen())['reopened'], 'log file')} reopened")


@click.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Replace the daemon's own code; no worker is touched. Run it after the new version was installed; the daemon keeps
    its pid."""
    context = context_of(ctx)
    client = context.client()
    directory = None if context.host else RunDirectory(context.config_path())
    reply = client.ask(Upgrade())
    was_to = f"daemon {reply['pid']} was to run version {reply['version']}"
    if not _answers_anew(client, directory):
        if directory is not None and directory.pid() is None:
            raise DaemonUnreachable(f"{was_to}, and ended before it did", absence.hint(directory))
        raise DaemonUnreachable(
            f"{was_to}, and has not answered for {ANEW_SECONDS:g} s",
            "`queuepool up` starts one where it ended; the workers go on",
        )
    click.echo(f"daemon {reply['pid']} now runs version {reply['version']}")


def _answers_anew(client: Client, directory: RunDirectory | None) -> bool:
    """Wait for the new code, so that the next command meets it: until the exec the old one answers, and then nobody.
    directory: where the daemon holds its lock for as long as it lives, also across the exec; None: on another machine.
    """
    end = time.monotonic() + ANEW_SECONDS
    while time.monotonic() < end:
        try:
            if client.status()["daemon"]["state"] != "UPGRADING":
                return True
        except DaemonUnreachable:
            if directory is not None and directory.pid() is None:
                return False
        time.sleep(0.02)
    return False
