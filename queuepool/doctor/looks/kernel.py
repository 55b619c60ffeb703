"""What the kernel says in /proc, /sys and its log: memory, control groups, kills, tasks. Linux; elsewhere there is
nothing to be read, and nothing is told."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from queuepool.doctor.looks.places import Places, read

MOST_LOG = 16 << 20
TIME_ERROR = 5
"""What adjtimex(2) returns while the clock is not synchronized."""
_KILL = re.compile(r"Killed process (\d+) \(")
_UNLIMITED = 1 << 60


def meminfo(places: Places) -> dict[str, int]:
    """Name -> bytes (proc_meminfo(5))."""
    text = read(places.kernel("/proc/meminfo"), 1 << 16) or ""
    return {name: int(value) << 10 for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def swapped_pages(places: Places) -> int | None:
    """Pages that were swapped in and out since boot (proc_vmstat(5))."""
    found = re.findall(r"^pswp(?:in|out) (\d+)", read(places.kernel("/proc/vmstat"), 1 << 16) or "", re.M)
    return sum(map(int, found)) if found else None


def pss(pid: int) -> int | None:
    """The proportional share of memory of a process: what it shares with others counts in parts (proc_pid_smaps(5))."""
    found = re.search(r"^Pss:\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup", 1 << 14) or "", re.M)
    return int(found[1]) << 10 if found else None


@dataclass(frozen=True, slots=True)
class Group:
    """A control group. limit: None for none. current: how much of it is used."""

    path: str
    limit: int | None
    current: int | None


def tightest(pid: int, places: Places, what: str) -> Group | None:
    """The control group with the lowest limit among those of a process and above. what: "memory" or "pids". Both
    versions of control groups (cgroups(7))."""
    found = [group for path in _groups(pid, places, what) if (group := _group(path, what)) and group.limit is not None]
    return min(found, key=lambda group: group.limit or 0, default=None)


def _groups(pid: int, places: Places, what: str) -> Iterator[str]:
    for line in (read(places.kernel(f"/proc/{pid}/cgroup"), 1 << 16) or "").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            base = "/sys/fs/cgroup"
        elif what in controllers.split(","):
            base = f"/sys/fs/cgroup/{what}"
        else:
            continue
        while True:
            yield places.kernel(f"{base}{path.rstrip('/')}")
            if path in ("", "/"):
                break
            path = os.path.dirname(path)


def _group(path: str, what: str) -> Group | None:
    new = {"memory": ("memory.max", "memory.current"), "pids": ("pids.max", "pids.current")}
    old = {"memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"), "pids": new["pids"]}
    for limit_file, current_file in (new[what], old[what]):
        limit = _number(f"{path}/{limit_file}")
        if limit is not None:
            current = _number(f"{path}/{current_file}")
            if what == "memory" and current is not None:
                current = max(0, current - _reclaimable(path))
            return Group(path, limit if limit < _UNLIMITED else None, current)
    return None


def _reclaimable(path: str) -> int:
    """Cached files that the kernel drops before it kills."""
    found = re.search(r"^(?:total_)?inactive_file (\d+)", read(f"{path}/memory.stat", 1 << 16) or "", re.M)
    return int(found[1]) if found else 0


def _number(path: str) -> int | None:
    """A limit, or a count; one that is "max" as a very large number."""
    text = (read(path, 64) or "").strip()
    return int(text) if re.fullmatch(r"\d{1,20}", text) else _UNLIMITED if text == "max" else None


@dataclass(frozen=True, slots=True)
class Kill:
    """A line of the kernel about a process that it killed for lack of memory. time: unix seconds."""

    pid: int
    time: float
    line: str
    cgroup: bool


def kills(places: Places) -> list[Kill] | None:
    """What the kernel's log (Documentation/ABI/testing/dev-kmsg) says of such; None where it may not be read."""
    if not sys.platform.startswith("linux"):
        return None
    now = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    records = _records(places.kernel("/dev/kmsg"))
    if records is None:
        return None
    found = []
    for record in records:
        head, _, line = record.partition(";")
        fields = head.split(",")
        kill = _KILL.search(line)
        if kill and len(fields) >= 3 and fields[0].isdigit() and int(fields[0]) >> 3 == 0 and fields[2].isdigit():
            found.append(Kill(int(kill[1]), now + int(fields[2]) / 1e6, line.strip()[:250], "cgroup" in line))
    return found


def _records(path: str) -> list[str] | None:
    """What is in the log now; each read of the device gives one record."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    pieces: list[bytes] = []
    try:
        for _ in range(200_000):
            try:
                piece = os.read(fd, 8192)
            except BrokenPipeError:  # it was overwritten meanwhile; the next read goes on
                continue
            except OSError:
                break
            if not piece:
                break
            pieces.append(piece)
    finally:
        os.close(fd)
    return b"".join(pieces)[-MOST_LOG:].decode("utf-8", "replace").split("\n")


def tasks_of(uid: int, pids: list[int]) -> int:
    """Processes and threads of a user, as RLIMIT_NPROC counts them."""
    count = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += int((read(f"/proc/{pid}/stat", 4096) or "").rpartition(")")[2].split()[17])
    return count


def clock_synced() -> bool | None:
    """Whether the kernel says that the clock follows others (NTP, PTP); None where it cannot be asked."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError, AttributeError):
        timex = ctypes.create_string_buffer(512)  # struct timex with modes 0: asks only
        state = ctypes.CDLL(None).adjtimex(timex)
        return None if state < 0 else bool(state != TIME_ERROR)
    return None
