"""Shows a deploy while it goes on: bars at a terminal, lines elsewhere with one each minute in which nothing happens,
or JSON. How lines look is deploylines.py's; what CI systems want beside them is ci.py's."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from queuepool.cli import deploylines, render
from queuepool.cli.ci import Ci

HEARTBEAT_SECONDS = 60.0
"""A CI job that prints nothing for ten minutes is ended by some; it also shows that the deploy is not stuck."""


class Show:
    """Told of every event, and about each second in between. output: text or ndjson; quiet: print no progress."""

    def __init__(self, *, output: str, quiet: bool, ci: Ci) -> None:
        self._ndjson = output == "ndjson"
        self._quiet = quiet
        self._ci = ci
        self._live = not (quiet or self._ndjson) and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._bars: dict[str, tuple[int, int, int]] = {}
        self._drawn = 0
        self._back = False
        self._waiting = ""
        self._last = time.monotonic()
        self._began = time.monotonic()
        self._group = False
        self.began = False
        """Whether the deploy was heard of."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show what happened."""
        self.began |= event["event"] != "locked"
        if self._ndjson:
            click.echo(json.dumps(event))
            self._last = time.monotonic()
            return
        if event["event"] == "waiting":
            self._waiting = event["message"]
        if self._quiet or event["event"] == "ended" or (event["event"] == "waiting" and not self._live):
            return
        if event["event"] == "phase":
            self._part(event)
        if self._live and event["event"] == "pool":
            self._bars[event["program"]] = (event["done"], event["total"], event["draining"])
            self._draw()
        elif event["event"] != "waiting":
            self._print(event)

    def idle(self) -> None:
        """Nothing came for about a second."""
        if self._live:
            self._draw()
        elif not self._quiet and not self._ndjson and time.monotonic() - self._last >= HEARTBEAT_SECONDS:
            seconds = round(time.monotonic() - self._began)
            self._print(
                {"event": "alive", "time": time.time(), "message": f"after {seconds} s {self._waiting}".rstrip()}
            )

    def close(self) -> None:
        """The end of the progress."""
        self._clear()
        if self._group:
            self._ci.end(time.time())
            self._group = False

    def _part(self, event: Mapping[str, Any]) -> None:
        self._back = event["phase"] == "back"
        if self._back:
            self._bars.clear()
        if self._ci.github or self._ci.gitlab:
            self.close()
            self._ci.begin(event["message"], event["time"])
            self._group = True

    def _print(self, event: Mapping[str, Any]) -> None:
        self._last = time.monotonic()
        self._clear()
        for line in deploylines.event(event):
            click.echo(line)
        if self._live:
            self._draw()

    def _draw(self) -> None:
        self._clear()
        width = max((len(name) for name in self._bars), default=0)
        lines = [deploylines.bar(name, *numbers, width, back=self._back) for name, numbers in self._bars.items()]
        rows = os.get_terminal_size(sys.stdout.fileno()).lines or 24
        lines = lines[: max(1, rows - 3)]
        if self._waiting:
            lines.append(click.style(f"  {render.clean(self._waiting)}"[:78], dim=True))
        sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()
        self._drawn = len(lines)

    def _clear(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{self._drawn}F\x1b[J")
            sys.stdout.flush()
            self._drawn = 0
