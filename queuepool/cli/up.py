"""`up`: the daemon, in the foreground or detached; and, when it is already up, what `update` does. This file and
detach.py, which leaves the terminal, alone import the daemon."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import click

from queuepool.cli import render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import Seconds
from queuepool.cli.progress import Progress
from queuepool.domain.amounts import count
from queuepool.errors import DaemonUnreachable, ExitCode, Locked, NotAsWanted

WAIT_SECONDS = 60.0

UPGRADE = "QUEUEPOOL_UPGRADE"
"""Set by a daemon that replaces its own code by exec (daemon.py): this process is a daemon already, with its lock."""

SYSTEMD = "NOTIFY_SOCKET"
"""Set by systemd for a service that says when it is ready (sd_notify(3))."""


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when the daemon answers, and leave it running.")
@click.option(
    "--wait", "wait", metavar="[SECONDS]", is_flag=False, flag_value=WAIT_SECONDS, type=Seconds(), default=None,
    help="Detach, then wait until everything runs, 60 s unless given. Exit 3 when it does not.",
)  # fmt: skip
@click.pass_context
def up(ctx: click.Context, detach: bool, wait: float | None) -> None:
    """Run the daemon and the pools; apply the file when it is already up. In the foreground it shows the workers'
    lines; Ctrl-C lets every job finish, a second one does not. With `engine: supervisord` it applies the file and
    returns, and only `-d` runs a daemon."""
    from queuepool.system.rundir import RunDirectory

    context = context_of(ctx)
    path = context.config_path()
    if passed := os.environ.get(UPGRADE):
        ctx.exit(_run(context, path, foreground=not json.loads(passed)["detached"]))
    pid = RunDirectory(path).pid()
    if pid is not None:
        if SYSTEMD in os.environ:
            raise Locked(f"a daemon already runs for {path} (pid {pid})", "`queuepool down` ends it")
        _apply(context, path, pid)
    elif not detach and SYSTEMD not in os.environ and context.client().alone:
        _hand_over(context, path)
    elif detach or wait is not None:
        from queuepool.cli.detach import start

        pid = start(path, lambda line: _note(context, line))
        click.echo(f"up: the daemon has pid {pid}")
    else:
        ctx.exit(_run(context, path, foreground=True))
    if wait is not None:
        _wait(context, wait)


def _run(context: Context, path: str, *, foreground: bool) -> int:
    """Be the daemon. Its standard output gets the workers' lines, under systemd only the daemon's own: the workers'
    are in their log files, and need not be in the system's journal as well."""
    from queuepool import daemon

    reading = daemon.begin_to_read(path)
    from queuepool.cli.approval import Approval
    from queuepool.cli.echo import Echo

    if not foreground:
        return daemon.run(path, reading, foreground=False)
    aside = (lambda line: _note(context, line)) if sys.stderr.isatty() else None
    echo = Echo(sys.stdout.fileno(), color=context.color, workers=SYSTEMD not in os.environ, aside=aside)
    try:
        approve = Approval(lambda line: _note(context, line))
        return daemon.run(path, reading, foreground=True, echo=echo, approve=approve)
    finally:
        echo.close()


def _note(context: Context, line: str) -> None:
    """A line for the person who starts it; nobody may read it, and the daemon starts all the same."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True, color=context.color_errors)


def _apply(context: Context, path: str, pid: int) -> None:
    from queuepool.cli.update import apply
    from queuepool.control.messages import Update

    click.echo(f"already up: the daemon has pid {pid}; applying {path}")
    try:
        apply(context, Update())
    except DaemonUnreachable as error:
        raise Locked(
            f"a daemon (pid {pid}) holds the lock of {path}, but {error.message}",
            f"look at it with `ps -fp {pid}`; its workers go on when it is killed, and the next `queuepool up` "
            "finds them",
        ) from None


def _hand_over(context: Context, path: str) -> None:
    """Apply the file without a daemon: supervisord keeps the processes alive."""
    from queuepool.cli.update import apply
    from queuepool.control.messages import Update

    apply(context, Update())
    click.echo(f"up: supervisord runs the programs of {path}; no daemon is needed (`queuepool up -d` starts one)")


def _wait(context: Context, seconds: float) -> None:
    """Wait until everything runs. Raises NotAsWanted, after a list of what does not run."""
    from queuepool.control.messages import Await

    try:
        with Progress(context.client()) as progress:
            reply = progress.ask(Await(seconds=seconds))
    except KeyboardInterrupt:
        click.echo("\nthe daemon goes on; `queuepool status` shows it", err=True)
        click.get_current_context().exit(ExitCode.INTERRUPTED)
    if not reply["ready"]:
        raise _not_ready(reply["waiting"], seconds)
    if problems := reply.get("problems"):
        what = count(len(problems), "problem", "problems")
        raise NotAsWanted(f"not all of the file is in force: {what}", "`queuepool config check` tells them")
    click.echo("everything runs")


def _not_ready(waiting: list[dict[str, Any]], seconds: float) -> NotAsWanted:
    click.echo("\n".join(render.waiting(waiting)))
    names = ", ".join(item["display"] for item in waiting[:3])
    more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
    first = waiting[0]["display"] if waiting else "all"
    return NotAsWanted(
        f"not everything runs after {seconds:g} s: {names}{more}", f"`queuepool status {first}` shows its last lines"
    )
