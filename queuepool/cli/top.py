"""`top`: everything that runs, on one screen that follows it. This is the thin shell: a loop between the terminal
(terminal.py), the news (topfeed.py), what keys do (topkeys.py) and what is shown (topview.py)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import click

from queuepool import __version__
from queuepool.cli import cells, topview
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import Seconds
from queuepool.cli.selectors import names_argument
from queuepool.cli.topfeed import Feed
from queuepool.cli.topkeys import Ask, Quit, Redraw, ShowLog, press
from queuepool.cli.toplog import LogReader
from queuepool.cli.topmodel import Data, Look, Size, State
from queuepool.cli.toprows import SORTS
from queuepool.errors import DaemonUnreachable, ExitCode

if TYPE_CHECKING:
    from queuepool.control.remote import RemoteClient

DRAW_SECONDS = 0.1
"""Between two drawings, however much happens; a key is shown at once."""
CLOCK_SECONDS = 1.0
LOG_SECONDS = 0.2


@click.command()
@names_argument(required=False)
@click.option("--interval", type=Seconds(), default=1.0, metavar="SECONDS", help="How often to ask; 1 if left out.")
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="name", show_default=True, help="What processes are ordered by."
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--once", is_flag=True, help="Print it once, as a table; exit as `status` does.")
@click.pass_context
def top(ctx: click.Context, names: tuple[str, ...], interval: float, sort: str, reverse: bool, once: bool) -> None:
    """Everything on one screen: processes, queues, what happens, and keys to act. Where there is no terminal for it, a
    table is printed every --interval seconds."""
    context = context_of(ctx)
    interval = max(0.1, interval)
    state = State(sort=sort, reverse=reverse, named=bool(names))
    if once or not _is_screen():
        from queuepool.cli.topplain import print_again_and_again

        ctx.exit(print_again_and_again(context, names, state, interval, once=once))
    if names:  # a selector that selects nothing is told before the screen is taken
        with contextlib.suppress(DaemonUnreachable):
            context.client().status(names)
    _end_by(_run(context, names, state, interval))


def _is_screen() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _run(context: Context, names: tuple[str, ...], state: State, interval: float) -> int | None:
    """Show and obey until the person quits; the signal that ended it, None after `q`."""
    from queuepool.cli.terminal import Terminal

    data, log, drawn = Data(now=time.time(), interval=interval), None, 0.0
    look = Look(_blocks(), __version__)
    with Terminal(context.color) as terminal:
        feed = Feed(context.client, names, interval, terminal.wake)
        here = not context.host
        follow = None if here else cast("RemoteClient", context.client()).follow_log
        feed.start()
        while terminal.ending is None:
            data = replace(feed.take(data), now=time.time(), log=log.look(data) if log else None)
            columns, lines = terminal.size()
            state, shown = topview.screen(state, data, Size(columns, lines), look)
            terminal.show(shown)
            drawn = time.monotonic()
            pressed = terminal.keys(LOG_SECONDS if log else CLOCK_SECONDS)
            while not pressed and terminal.ending is None and (left := drawn + DRAW_SECONDS - time.monotonic()) > 0:
                pressed = terminal.keys(left)
            for key in pressed:
                state, deed = press(state, data, key, max(1, lines - 8))
                if isinstance(deed, Quit):
                    return None
                if isinstance(deed, Redraw):
                    terminal.redraw()
                elif isinstance(deed, Ask):
                    feed.ask(deed)
                elif isinstance(deed, ShowLog):
                    if log is not None:
                        log.close()
                    log = LogReader(data, deed.program, deed.process, here=here, follow=follow)
            if log is not None and state.view not in ("log", "details"):
                log.close()
                log = None
    return terminal.ending


def _blocks() -> str:
    """Bars that standard output can say."""
    try:
        cells.BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return cells.PLAIN_BLOCKS
    return cells.BLOCKS


def _end_by(number: int | None) -> None:
    """End as a process does that was ended by this signal, now that the terminal is as it was."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number is not None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        sys.exit(int(ExitCode.FAILED))
