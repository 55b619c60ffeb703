"""The record of what runs, written before a process may matter and read by the daemon that comes after a SIGKILL or an
exec. A file of JSON lines that is only appended to; making sense of processes is adoption.py's.

A full disk must not stop workers from being kept alive. What cannot be appended leaves the file behind what is true:
then its first line says so, which needs no room, and it is written anew as soon as it can be."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from queuepool.domain.names import ProcessName
from queuepool.system import procstat
from queuepool.system.rundir import replace_file

AGAIN_SECONDS = 2.0
"""After this time it is tried again to write a record that is behind."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One life of a slot. life: unique number, growing. pipe, err: paths of its FIFOs. pid 0: about to be spawned.
    birth: procstat.birth of the leader. started: unix seconds. paused: told to take no jobs. retiring: told to stop.
    kill_at: unix seconds at which a retiring one is to be killed. starts: of the slot so far. stop_seconds, log: of
    its settings, for a program that is no longer in the file when its process is found again. listener: of an event
    listener, as engines/listening.py keeps it."""

    name: str
    life: int
    pipe: str
    err: str | None
    fingerprint: str
    serial: int
    pid: int = 0
    birth: str = ""
    started: float = 0.0
    release: str | None = None
    starts: int = 0
    paused: bool = False
    retiring: bool = False
    kill_at: float = 0.0
    stop_seconds: float = 60.0
    log: str | None = None
    listener: str = ""

    @property
    def process(self) -> ProcessName:
        """The slot it is a life of."""
        return ProcessName.parse(self.name)


@dataclass(slots=True)
class Record:
    """The file at `path`. boot: of the machine when written. complain: told in words when it cannot be written, once;
    recovered: told those words, and the path, when it can be again. later(seconds, call): have that called.
    entries: the lives not known to be gone, by number. behind: there are others, or they have other pids, as the pipes
    tell."""

    path: str
    boot: str
    complain: Callable[[str], object] = lambda text: None
    recovered: Callable[[str, str], object] = lambda text, path: None
    later: Callable[[float, Callable[[], None]], object] = lambda seconds, call: None
    entries: dict[int, Entry] = field(default_factory=dict)
    damage: str = ""
    behind: bool = False
    _said: str = ""
    _fd: int = -1
    _lines: int = 0

    def load(self) -> None:
        """Read what a former daemon left. A torn last line is dropped; a record of another boot is empty, since
        nothing of it can live. Damage in the middle is told in `damage` and skipped."""
        entries: dict[int, Entry] = {}
        same_boot = False
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            self.damage = f"cannot read {self.path}: {error.strerror}"
            return
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                value = json.loads(line)
                if "boot" in value:
                    same_boot = value["boot"] == self.boot
                    self.behind = bool(value.get("behind"))
                elif value.get("gone"):
                    entries.pop(value["life"], None)
                elif "set" in value:
                    entries[value["life"]] = replace(entries[value["life"]], **value["set"])
                else:
                    entry = Entry(**value)
                    _ = entry.process
                    entries[entry.life] = entry
            except (ValueError, TypeError, KeyError, AttributeError):
                if number < len(lines):
                    self.damage = f"{self.path}:{number}: not a record; skipped"
        self.entries = entries if same_boot else {}

    def living(self) -> list[Entry]:
        """The lives whose leader lives; its pid may be another process's by now."""
        return [entry for entry in self.entries.values() if entry.pid and procstat.birth(entry.pid) == entry.birth]

    def put(self, entry: Entry) -> None:
        """Remember `entry`, in place of an earlier one of the same life."""
        self.entries[entry.life] = entry
        self._append(_plain(entry))

    def change(self, life: int, **values: object) -> None:
        """Remember other values of a life; does nothing when it is not known."""
        if entry := self.entries.get(life):
            self.entries[life] = replace(entry, **values)  # type: ignore[arg-type]
            self._append({"life": life, "set": values})

    def drop(self, life: int) -> None:
        """Forget a life."""
        if self.entries.pop(life, None) is not None:
            self._append({"life": life, "gone": True})

    def rewrite(self) -> None:
        """Write the file anew with nothing but what lives; by atomic replace. When that fails it is tried again."""
        try:
            lines = [self._head(behind=False), *(_line(_plain(entry)) for entry in self.entries.values())]
            replace_file(self.path, b"".join(lines))
            self.close()
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            self._fall_behind(error)
            return
        self._lines = len(self.entries)
        self.behind = False
        if self._said:
            said, self._said = self._said, ""
            self.recovered(said, self.path)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, value: dict[str, object]) -> None:
        if self._said:
            return  # all of it is written when it is tried again
        if self._fd < 0 or self._lines > 1000 + 8 * len(self.entries):
            self.rewrite()
            return
        line = _line(value)
        try:
            if (written := os.write(self._fd, line)) < len(line):
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)  # half a line would spoil the next one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fall_behind(error)
            return
        self._lines += 1

    def _fall_behind(self, error: OSError) -> None:
        self.behind = True
        with contextlib.suppress(OSError), open(self.path, "r+b") as file:
            if file.readline() == self._head(behind=False):
                file.seek(0)
                file.write(self._head(behind=True))
        self.later(AGAIN_SECONDS, self.rewrite)
        if not self._said:  # set first: what is told is an event, and whoever hears of it may change something here
            self._said = (
                f"cannot save {self.path}: {error.strerror}; make room there (`df {os.path.dirname(self.path)}`): "
                "until then, workers started from now on may be replaced if the daemon crashes"
            )
            self.complain(self._said)

    def _head(self, *, behind: bool) -> bytes:
        """The first line; it is as long whether it says that the others are behind or not."""
        return _line({"boot": self.boot, "behind": int(behind)})


_FIELDS = tuple(Entry.__dataclass_fields__)


def _plain(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in _FIELDS}


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _line(value: dict[str, object]) -> bytes:
    return _encode(value).encode() + b"\n"
