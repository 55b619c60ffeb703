"""The same screen again every second, until Ctrl-C: for `status --watch` and `queues --watch`. `top` is the one with
keys."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

import click

from queuepool.cli.cells import clip
from queuepool.cli.context import Context
from queuepool.cli.terminal import changes, size_of
from queuepool.errors import DaemonUnreachable, UsageError

WATCH_SECONDS = 1.0


def watch(context: Context, lines: Callable[[], Iterable[str]]) -> NoReturn:
    """Redraw until Ctrl-C. A daemon that goes away is shown as that; it may come back."""
    if not sys.stdout.isatty():
        raise UsageError("cannot watch: standard output is not a terminal", "leave --watch out: it prints once")
    before: list[str] = []
    drawn_at = (0, 0)
    while True:
        try:
            now = list(lines())
        except DaemonUnreachable as error:
            now = [error.message, error.hint]
        columns, rows = size = size_of(sys.stdout.fileno())
        if len(now) > rows - 2:
            hidden = len(now) - rows + 3
            now = [*now[: max(0, rows - 3)], f"... {hidden} more lines"]
        head = f"every {WATCH_SECONDS:g} s, Ctrl-C ends".rjust(columns - 1)
        shown = [
            clip(line.expandtabs(), columns) for line in (head, *(now if context.color else map(click.unstyle, now)))
        ]
        clear = "" if size == drawn_at else "\x1b[2J"
        below = f"\x1b[{len(shown) + 1};1H"  # where the shell goes on
        click.echo(clear + changes([] if clear else before, shown, columns) + below, nl=False, color=True)
        before, drawn_at = shown, size
        time.sleep(WATCH_SECONDS)
