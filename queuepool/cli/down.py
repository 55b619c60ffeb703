"""`down`: everything finishes and ends, then the daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from queuepool.cli.context import Context, context_of
from queuepool.cli.progress import Progress
from queuepool.control.messages import Shutdown
from queuepool.errors import ExitCode, NotAsWanted

if TYPE_CHECKING:
    from queuepool.system.rundir import RunDirectory

END_SECONDS = 60.0
"""From the daemon's answer that all processes are gone to the end of the daemon itself; it takes milliseconds."""


@click.command()
@click.option("--kill", is_flag=True, help="Do not let anything finish: SIGKILL now. Jobs in hand are cut off.")
@click.pass_context
def down(ctx: click.Context, kill: bool) -> None:
    """Let everything finish, stop it, then end the daemon. Ctrl-C only ends the waiting: the daemon goes on."""
    from queuepool.system.rundir import RunDirectory

    context = context_of(ctx)
    if context.host:
        with Progress(context.client()) as progress:
            progress.ask(Shutdown(hurry=kill))
        click.echo("down")
        return
    path = context.config_path()
    directory = RunDirectory(path)
    pid = directory.pid()
    if pid is None and context.client().alone:
        _take_back(ctx, context, hurry=kill)
        return
    if pid is None:
        from queuepool.cli import absence

        raise absence.none_runs(directory)
    try:
        with Progress(context.client()) as progress:
            progress.ask(Shutdown(hurry=kill))
        _wait_for_end(directory, pid)
    except KeyboardInterrupt:
        click.echo(
            f"\nthe daemon (pid {pid}) goes on by itself: `queuepool status` shows what still works, "
            "`queuepool down` waits again, `queuepool down --kill` ends it at once",
            err=True,
        )
        ctx.exit(ExitCode.INTERRUPTED)
    click.echo("down")


def _take_back(ctx: click.Context, context: Context, *, hurry: bool) -> None:
    """Without a daemon: stop everything in supervisord, and take it out of it."""
    try:
        with Progress(context.client()) as progress:
            progress.ask(Shutdown(hurry=hurry))
    except KeyboardInterrupt:
        click.echo("\nwhat was told to stop does so; `queuepool down` goes on with the rest", err=True)
        ctx.exit(ExitCode.INTERRUPTED)
    click.echo("down: supervisord has none of these programs any more")


def _wait_for_end(directory: RunDirectory, pid: int) -> None:
    """Wait until the lock is free. Raises NotAsWanted when the daemon does not end."""
    deadline = time.monotonic() + END_SECONDS
    while directory.pid() == pid:
        if time.monotonic() > deadline:
            raise NotAsWanted(
                f"everything is stopped, but the daemon (pid {pid}) does not end", f"end it with `kill -9 {pid}`"
            )
        time.sleep(0.01)
