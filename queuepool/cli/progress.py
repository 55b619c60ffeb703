"""Shows a long operation while it goes on: a line per process as it becomes true, and at a terminal one more line that
says what is still being waited for. How the lines look is render.py's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from queuepool.cli import render
from queuepool.errors import QueuepoolError

if TYPE_CHECKING:
    from queuepool.control.client import Client
    from queuepool.control.messages import Request


RESULTS = frozenset({"started", "stopped", "restarted", "signalled", "paused", "continued", "unchanged", "failed"})
"""The states of a progress that say what became of a process for good (control/messages.py, Start)."""

UNSETTLED = frozenset({"STARTING", "STOPPING", "BACKOFF", "FATAL"})


class Progress:
    """Asks for an operation and shows how it goes. Use it as a context, so that its live line is gone in the end.

    names: the selectors that the operation is about, for the live line.
    """

    def __init__(self, client: Client, names: Sequence[str] = ()) -> None:
        self._client = client
        self._names = names
        self._printed: set[str] = set()
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def ask(self, request: Request) -> dict[str, Any]:
        """The reply to `request`. What became of each process is printed as soon as the daemon says so."""
        try:
            return self._client.ask(request, self._became, self._show_waiting if self._live else None)
        finally:
            self.clear()

    def results(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Print every result that was not printed yet. Raises QueuepoolError when one of them failed."""
        items = list(items)
        for item in items:
            self._print(item)
        if failed := [item["display"] for item in items if item["result"] == "failed"]:
            more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise QueuepoolError(f"failed: {', '.join(failed[:3])}{more}", f"`queuepool status {failed[0]}` shows why")

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def _became(self, what: Mapping[str, Any]) -> None:
        if what["state"] in RESULTS:
            self._print({"display": what["display"], "result": what["state"], "message": what["message"]})

    def _print(self, item: Mapping[str, Any]) -> None:
        if item["display"] not in self._printed:
            self._printed.add(item["display"])
            self.clear()
            click.echo(render.result(item))

    def _show_waiting(self) -> None:
        try:
            processes = self._client.status(self._names)["processes"]
        except QueuepoolError:
            return  # a removed program, or a daemon about to end; the answer itself will say
        unsettled = [process for process in processes if process["state"] in UNSETTLED or process["retiring"]]
        self.clear()
        if unsettled:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(render.waiting_for(unsettled)[: width - 1])
            sys.stderr.flush()
            self._shown = True
