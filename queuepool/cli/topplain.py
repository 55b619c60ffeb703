"""`top` where there is no screen for it: the tables as plain lines, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from queuepool import __version__
from queuepool.cli import queue_table, topview
from queuepool.cli.context import Context
from queuepool.cli.status import as_it_should_be
from queuepool.cli.terminal import size_of
from queuepool.cli.topmodel import Data, Look, State, saw
from queuepool.cli.toprows import rows
from queuepool.cli.toptables import process_table
from queuepool.control.messages import Queues
from queuepool.errors import DaemonUnreachable, ExitCode, QueuepoolError

if TYPE_CHECKING:
    from queuepool.control.client import Client

COLUMNS = 160
"""Of lines that no terminal limits."""


def print_again_and_again(
    context: Context, names: Sequence[str], state: State, interval: float, *, once: bool
) -> ExitCode:
    """Print the tables; the exit code, as that of `status`. Without `once` it goes on until Ctrl-C, and a daemon that
    is not there is waited for. Raises DaemonUnreachable with `once`."""
    client = context.client()
    while True:
        began = time.monotonic()
        try:
            data = _ask(client, names)
            columns = size_of(sys.stdout.fileno())[0] if sys.stdout.isatty() else COLUMNS
            shown, code = list(lines(state, data, columns)), ExitCode.DONE
            if data.snapshot is not None and not as_it_should_be(data.snapshot, named=bool(names)):
                code = ExitCode.NOT_AS_WANTED
        except DaemonUnreachable as error:
            if once:
                raise
            shown, code = [f"{_now()}  {error.message}; {error.hint}"], error.exit_code
        click.echo("\n".join(shown))
        sys.stdout.flush()
        if once:
            return code
        click.echo()
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def lines(state: State, data: Data, columns: int) -> Iterator[str]:
    """The line of the daemon, what is wrong, the queues, the processes in the order that was asked for."""
    yield f"{topview.head(data, columns, Look(version=__version__)).rstrip()}"
    yield from topview.daemon_alerts(data)
    names = {program["name"] for program in data.snapshot["programs"]} if data.snapshot else set()
    if data.queues is not None:
        chosen = [row for row in data.queues["queues"] if names & set(row["programs"])]
        if chosen:
            yield from queue_table.queues({**data.queues, "queues": chosen, "problems": ()})
    found = rows(state, data)
    for line in process_table(state, data, found, columns):
        yield line.rstrip()


def _ask(client: Client, names: Sequence[str]) -> Data:
    snapshot, now = client.status(tuple(names)), time.time()
    queues, why = None, ""
    try:
        queues = client.ask(Queues())
    except DaemonUnreachable:
        raise
    except QueuepoolError as error:
        why = error.message
    return saw(Data(now=now), snapshot, queues, now, why)


def _now() -> str:
    return time.strftime("%H:%M:%S")
