"""`logs` and `tail` of a daemon on another machine: what it lets clients of Supervisor read. Those of this machine,
which are read from the files themselves, are logs.py's."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from queuepool.control.remote import RemoteClient
from queuepool.errors import QueuepoolError, UsageError

if TYPE_CHECKING:
    from queuepool.cli.logsources import Source

MOST_BYTES = 256 * 1024
"""How far back the last lines of one log are looked for."""

Show = Callable[["Source", bytes], None]


def last_lines(client: RemoteClient, sources: Mapping[str, Source], count: int, show: Show) -> None:
    """Print the last lines of each log. sources: process, by Supervisor's name, -> its log."""
    for name, source in sources.items():
        lines = last_bytes(client, name, "stdout", MOST_BYTES).splitlines(keepends=True)
        show(source, b"".join(lines[-count:] if count else []))


def last_bytes(client: RemoteClient, name: str, channel: str, size: int) -> bytes:
    """The end of one log."""
    with _said(name):
        supervisor = client.supervisor()
        tail = supervisor.tailProcessStdoutLog if channel == "stdout" else supervisor.tailProcessStderrLog
        found: Any = tail(name, 0, size)
    return str(found[0]).encode("utf-8", "surrogateescape")


def follow(client: RemoteClient, sources: Mapping[str, Source], show: Show, is_read: Callable[[], bool]) -> None:
    """Print what comes in each log, until nobody reads it or the daemon ends."""
    news: queue.Queue[tuple[Source, bytes] | Exception | None] = queue.Queue(1000)
    for name, source in sources.items():
        threading.Thread(target=_read, args=(client, name, source, news), daemon=True).start()
    left = len(sources)
    while left and is_read():
        try:
            item = news.get(timeout=0.5)
        except queue.Empty:
            continue
        if isinstance(item, Exception):
            raise item
        if item is None:
            left -= 1
        else:
            show(*item)


def _read(client: RemoteClient, name: str, source: Source, news: queue.Queue[Any]) -> None:
    """Whole lines, so that several logs can be shown at once."""
    rest = b""
    try:
        for data in client.follow_log(name):
            rest += data
            end = rest.rfind(b"\n") + 1
            if end:
                news.put((source, rest[:end]))
                rest = rest[end:]
        if rest:
            news.put((source, rest))
        news.put(None)
    except QueuepoolError as error:
        news.put(error)


@contextmanager
def _said(name: str) -> Iterator[None]:
    """Errors of a call, in words."""
    from xmlrpc.client import Fault, ProtocolError

    try:
        yield
    except Fault as fault:
        what = fault.faultString
        if what.startswith(("NO_FILE", "BAD_NAME", "FAILED")):
            raise QueuepoolError(f"cannot read the log of {name}: there is none, or not yet ({what})") from None
        raise QueuepoolError(f"cannot read the log of {name}: {what}") from None
    except ProtocolError as error:
        raise QueuepoolError(f"cannot read the log of {name}: HTTP {error.errcode} {error.errmsg}") from None


def by_process(processes: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> dict[str, Source]:
    """A process of each log, by Supervisor's name."""
    found = {}
    for source in sources:
        process = next(process for process in processes if process["log"] == source.path)
        display = str(process["display"])
        found[display if ":" in display else f"{display}:{display}"] = source
    return found


def refuse_since() -> None:
    """Raise the UsageError for `--since`."""
    raise UsageError("cannot look back by time in the logs of another machine", "give --lines, or run it there")
