"""`version` and `pid`: facts for scripts."""

from __future__ import annotations

import click

from queuepool import __version__
from queuepool.cli.context import context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import names_argument
from queuepool.errors import ExitCode, NoConfig, QueuepoolError


@click.command()
@json_option
@click.pass_context
def version(ctx: click.Context) -> None:
    """The version of this command and of the daemon. The daemon's is shown when it is another one."""
    context = context_of(ctx)
    try:
        daemon = context.client(timeout=2.0).status(["all"])["daemon"]["version"]
    except (QueuepoolError, NoConfig):
        daemon = None  # no daemon, or no file: the command's own version is known all the same
    if context.json:
        context.print_json({"version": __version__, "daemon": daemon})
        return
    click.echo(__version__)
    if daemon not in (None, __version__):
        click.echo(f"the daemon still runs {daemon}; `queuepool upgrade` replaces it", err=True)


@click.command()
@names_argument(required=False)
@json_option
@click.pass_context
def pid(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Process ids of the daemon or of processes. One per line; exit 3 when one of the named processes has none."""
    context = context_of(ctx)
    if not names:
        _daemon_pid(ctx)
        return
    processes = context.client().status(names)["processes"]
    if context.json:
        context.print_json({process["name"]: process["pid"] for process in processes})
    else:
        click.echo("\n".join(str(process["pid"] or 0) for process in processes))
    if not all(process["pid"] for process in processes):
        ctx.exit(ExitCode.NOT_AS_WANTED)


def _daemon_pid(ctx: click.Context) -> None:
    """The pid comes from the lock, so that it is known of a daemon that does not answer as well."""
    from queuepool.system.rundir import RunDirectory

    context = context_of(ctx)
    found: int | None
    if context.host:
        found = context.client().status()["daemon"]["pid"]
    else:
        directory = RunDirectory(context.config_path())
        found = directory.pid()
        if found is None:
            from queuepool.cli import absence

            raise absence.none_runs(directory)
    if context.json:
        context.print_json({"daemon": found})
    else:
        click.echo(found)
