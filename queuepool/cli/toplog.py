"""The log that `top` shows: the last lines of a process, or of a program, and those that come. From the files where
they are on this machine, else as the daemon there tells them. Reading files is queuepool.logs's matter."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from queuepool.cli.logsources import Source, sources_of
from queuepool.cli.render import clean, worker_text
from queuepool.cli.topmodel import Data, Json, Log
from queuepool.errors import QueuepoolError

KEPT_LINES = 2000
FIRST_LINES = 500

Follow = Callable[[str], Iterator[bytes]]


class LogReader:
    """Reads from its making on. process: its name; "" for all of the program. here: whether logs are on this machine.
    follow: the log of a process (by its display) elsewhere, piece by piece, for ever; None where that cannot be had:
    then what the daemon keeps is shown."""

    def __init__(self, data: Data, program: str, process: str, *, here: bool, follow: Follow | None = None) -> None:
        from queuepool.logs.follow import Follower

        self._program, self._process = program, process
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._follower = Follower()
        self._sources: dict[str, Source] = {}
        self._pieces: SimpleQueue[tuple[Source, bytes] | str] = SimpleQueue()
        self._rest: dict[str, bytes] = {}
        self._closed = False
        self._note = ""
        self._kept_only = not here and follow is None
        everybody = [dict(each) for each in data.snapshot["processes"]] if data.snapshot else []
        chosen = [each for each in everybody if self._is_wanted(each)]
        if self._kept_only:
            self._note = "the log is on the daemon's machine: these are the last lines that the daemon keeps"
            return
        try:
            self._sources = {source.path: source for source in sources_of(chosen, everybody)}
            for source in self._sources.values():
                if here:
                    self._open(source)
                elif follow is not None:
                    shown = next(str(each["display"]) for each in chosen if each["log"] == source.path)
                    self._listen(source, follow, shown)
        except QueuepoolError as error:
            self._keep_to_daemon(error.message)

    def look(self, data: Data) -> Log:
        """The log as of now."""
        title = self._process or self._program
        if self._kept_only:
            processes = data.snapshot["processes"] if data.snapshot else ()
            kept = (str(line) for each in processes if self._is_wanted(each) for line in each["last_lines"])
            return Log(title, "", tuple(clean(line.expandtabs()) for line in kept), self._note)
        try:
            for path, come in self._follower.poll():
                self._take(self._sources[path], come)
        except OSError as error:
            self._note = f"cannot read {error.filename}: {error.strerror}"
        while not self._pieces.empty():
            piece = self._pieces.get()
            if isinstance(piece, str):
                self._note = piece
                continue
            source, come = piece
            whole, newline, rest = (self._rest.get(source.path, b"") + come).rpartition(b"\n")
            self._rest[source.path] = rest
            self._take(source, whole + newline)
        return Log(title, ", ".join(self._sources), tuple(self._lines), self._note)

    def close(self) -> None:
        """Let go of the files. What is read from elsewhere ends with its next piece."""
        self._follower.close()
        self._closed = True

    def _is_wanted(self, process: Json) -> bool:
        return process["program"] == self._program and self._process in ("", process["name"])

    def _keep_to_daemon(self, why: str) -> None:
        self._kept_only = True
        self._note = f"{why}: these are the last lines that the daemon keeps"

    def _open(self, source: Source) -> None:
        if source.path.startswith("/dev/") and not source.path.startswith("/dev/shm/"):  # noqa: S108
            self._keep_to_daemon(f"it prints to {source.path}")
            return
        try:
            self._take(source, self._follower.add(source.path, FIRST_LINES))
        except OSError as error:
            self._note = f"cannot read {source.path}: {error.strerror}"

    def _listen(self, source: Source, follow: Follow, shown: str) -> None:
        """Have a thread read a log of another machine. shown: as Supervisor writes the name."""

        def read() -> None:
            try:
                for piece in follow(shown if ":" in shown else f"{shown}:{shown}"):
                    self._pieces.put((source, piece))
                    if self._closed:
                        return
            except QueuepoolError as error:
                self._pieces.put(error.message)

        threading.Thread(target=read, daemon=True).start()

    def _take(self, source: Source, data: bytes) -> None:
        from queuepool.logs.lines import is_of

        several = len(self._sources) > 1
        for line in data.splitlines():
            if source.chosen:
                whose = [is_of(line, name) for name in source.chosen]
                if None in whose:
                    self._note = "the lines do not say whose they are: all are shown (`log_prefix: [slot]` lets them)"
                elif True not in whose:
                    continue
            text = shown_line(line)
            self._lines.append(f"{clean(source.title)} | {text}" if several else text)


def shown_line(line: bytes) -> str:
    """A line of a log for the screen: its colours stay, all else that could move the cursor is spelled out."""
    text = worker_text(line).expandtabs()
    return "".join(char if char.isprintable() or char == "\x1b" else f"\\x{ord(char):02x}" for char in text)
