"""`start`, `stop`, `restart`, `signal`, `pause` and `continue`: each asks the daemon and prints what became true."""

from __future__ import annotations

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import no_wait_option
from queuepool.cli.progress import Progress
from queuepool.cli.selectors import names_argument
from queuepool.control.messages import Continue, Pause, Restart, Signal, Start, Stop


@click.command()
@names_argument(required=True)
@no_wait_option
@click.pass_context
def start(ctx: click.Context, names: tuple[str, ...], wait: bool) -> None:
    """Start processes. Returns when they run; a process that was stopped by hand is no longer held."""
    _ask(ctx, Start(names, wait=wait))


@click.command()
@names_argument(required=True)
@click.option("--kill", is_flag=True, help="Do not let them finish: SIGKILL now. A job in hand is cut off.")
@no_wait_option
@click.pass_context
def stop(ctx: click.Context, names: tuple[str, ...], kill: bool, wait: bool) -> None:
    """Let processes finish their job, then keep them stopped. They stay so, also across a restart of the daemon,
    until `start`."""
    _ask(ctx, Stop(names, wait=wait, kill=kill))


@click.command()
@names_argument(required=True)
@click.option("--stale", is_flag=True, help="Only those that run an older release or older settings.")
@no_wait_option
@click.pass_context
def restart(ctx: click.Context, names: tuple[str, ...], stale: bool, wait: bool) -> None:
    """Replace processes, new ones first. In batches, so that the pool never falls to nothing; each old process
    finishes its job."""
    _ask(ctx, Restart(names, wait=wait, stale=stale))


@click.command()
@click.argument("signal", metavar="SIGNAL")
@names_argument(required=True)
@click.pass_context
def signal(ctx: click.Context, signal: str, names: tuple[str, ...]) -> None:
    """Send a signal to processes. SIGNAL is a name, with or without SIG, or a number."""
    _ask(ctx, Signal(names, signal))


@click.command()
@names_argument(required=True)
@click.pass_context
def pause(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Let workers finish their job and take no further one. They go on running; `continue` lets them work again."""
    _ask(ctx, Pause(names))


@click.command("continue")
@names_argument(required=True)
@click.pass_context
def continue_(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Let paused workers take jobs again."""
    _ask(ctx, Continue(names))


def _ask(ctx: click.Context, request: Start | Stop | Restart | Signal | Pause | Continue) -> None:
    with Progress(context_of(ctx).client(), request.names) as progress:
        results = progress.ask(request)["results"]
        progress.results(results)
        if not results:
            stale = isinstance(request, Restart) and request.stale
            click.echo(f"{' '.join(request.names)}: {'nothing is stale' if stale else 'no process is there now'}")
