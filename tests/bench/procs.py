"""What /proc says about processes: who descends from whom, what they used, what memory they hold."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    return _read(f"/proc/{pid}/stat").rpartition(b") ")[2][:1] not in (b"", b"Z", b"X")


def family(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (stat := _read(f"/proc/{entry}/stat")):
            parent = int(stat.rpartition(b") ")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return [pid for pid in found if alive(pid)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time used so far by all threads of these processes together."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                total += int((_read(f"/proc/{pid}/task/{thread}/schedstat") or b"0").split()[0])
    return total / 1e9


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: memory, with what is shared divided among those that share it."""
    total = 0
    for pid in pids:
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def wakeups(pids: Iterable[int]) -> int:
    """Voluntary context switches so far: how often they slept and were woken."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                for line in _read(f"/proc/{pid}/task/{thread}/status").splitlines():
                    if line.startswith(b"voluntary_ctxt_switches:"):
                        total += int(line.split()[1])
    return total


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send it a signal, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def runs(pid: int, program: Path) -> bool:
    """Whether this process runs that program: a pid may have been given to another since."""
    try:
        return os.readlink(f"/proc/{pid}/exe") == str(program)
    except OSError:
        return False
