"""The same screen again every second, until Ctrl-C: for `status --watch` and `queues --watch`."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

import click

from queuepool.cli.context import Context
from queuepool.errors import DaemonUnreachable, UsageError

WATCH_SECONDS = 1.0


def watch(context: Context, lines: Callable[[], Iterable[str]]) -> NoReturn:
    """Redraw until Ctrl-C. A daemon that goes away is shown as that; it may come back."""
    if not sys.stdout.isatty():
        raise UsageError("cannot watch: standard output is not a terminal", "leave --watch out: it prints once")
    while True:
        try:
            now = list(lines())
        except DaemonUnreachable as error:
            now = [error.message, error.hint]
        columns, rows = shutil.get_terminal_size()
        if len(now) > rows - 2:
            hidden = len(now) - rows + 3
            now = [*now[: rows - 3], f"... {hidden} more lines"]
        head = f"every {WATCH_SECONDS:g} s, Ctrl-C ends".rjust(columns - 1)
        shown = [head, *(now if context.color else map(click.unstyle, now))]
        # Home, no wrapping, each line cleared to its end, then all below: no flicker, unlike clearing the screen first.
        frame = "".join(f"{line}\x1b[K\n" for line in shown)
        click.echo(f"\x1b[H\x1b[?7l{frame}\x1b[J\x1b[?7h", nl=False, color=True)
        time.sleep(WATCH_SECONDS)
