"""What the system says of a pid: birth, memory, processor time, whether it wants the processor. Linux reads /proc
itself, since psutil costs 17 ms of import and 40 microseconds a value; elsewhere psutil is asked."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

LINUX = sys.platform == "linux"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


_READ = {"x86_64": "0", "aarch64": "63", "riscv64": "63", "armv7l": "3", "i686": "3"}
"""Machine -> number of read(2)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """rss: bytes resident. cpu: seconds of processor time so far."""

    rss: int
    cpu: float


def boot_id() -> str:
    """Names this boot of the machine: with `birth`, it tells a process from a later one with the same pid."""
    return _boot_id()


@cache
def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def birth(pid: int) -> str | None:
    """When the process was made, in a form that only equals itself; None when there is no such process (a zombie
    counts as none)."""
    if LINUX:
        fields = _stat(pid)
        return None if fields is None or fields[0] in (b"Z", b"X") else fields[19].decode()
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def parent(pid: int) -> int | None:
    """The parent of a process, also of a zombie; None when there is no such process."""
    if LINUX:
        fields = _stat(pid)
        return None if fields is None else int(fields[1])
    import psutil

    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None


def usage(pid: int) -> Usage | None:
    """Memory and processor time of a process; None when it is gone."""
    if LINUX:
        fields = _stat(pid)
        if fields is None:
            return None
        return Usage(int(fields[21]) * PAGE, (int(fields[11]) + int(fields[12])) / TICKS)
    import psutil

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Usage(process.memory_info().rss, times.user + times.system)
    except psutil.Error:
        return None


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and all that is in its session. birth: of the process, see `birth`. rss: bytes, what several of them
    share counted for each. cpu: seconds, also of children that have ended and were waited for."""

    birth: str
    rss: int
    cpu: float


def trees(leaders: Collection[int]) -> dict[int, Tree]:
    """The trees of processes that began a session each; of those that still live. Reads all of /proc: some 10 ms for
    500 processes. Elsewhere than on Linux the leaders alone are looked at."""
    if not LINUX:
        seen = {pid: (birth(pid), usage(pid)) for pid in leaders}
        return {pid: Tree(born, used.rss, used.cpu) for pid, (born, used) in seen.items() if born and used}
    wanted = frozenset(leaders)
    births: dict[int, str] = {}
    pages: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for pid in pids() if wanted else ():
        fields = _stat(pid)
        if fields is None or (leader := int(fields[3])) not in wanted:
            continue
        if pid == leader:
            births[pid] = fields[19].decode()
        pages[leader] = pages.get(leader, 0) + int(fields[21])
        ticks[leader] = ticks.get(leader, 0) + sum(map(int, fields[11:15]))
    return {pid: Tree(born, pages[pid] * PAGE, ticks[pid] / TICKS) for pid, born in births.items()}


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def ran(pid: int) -> int | None:
    """Nanoseconds that a process has run so far; None when it is gone or the system does not tell."""
    text = _read(pid, "schedstat") if LINUX else None
    return int(text.split()[0]) if text else None


def hungry(pid: int) -> bool:
    """Whether a process wants the processor now: it runs, is kept from running, or reads from a disk. Asking costs
    four times as much as `ran`."""
    fields = _stat(pid) if LINUX else None
    return fields is not None and fields[0] in (b"R", b"D")


def handles(pid: int, number: int) -> bool | None:
    """Whether a process has a handler for a signal (proc_pid_status(5), SigCgt); None when it is gone, or the system
    does not tell."""
    if not LINUX:
        return None
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            caught = next(line for line in file if line.startswith(b"SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    except (OSError, StopIteration, ValueError):
        return None


def session(pid: int) -> int | None:
    """The session of a process, also of a zombie; None when there is no such process."""
    if LINUX:
        fields = _stat(pid)
        return None if fields is None else int(fields[3])
    try:
        return os.getsid(pid)
    except OSError:
        return None


def exit_of_zombie(pid: int) -> int | None:
    """Exit status (minus the signal) of a process that has ended and was not reaped yet, whoever its parent is; None
    when it is no zombie. Linux shows it to the process's own user and to root (proc_pid_stat(5), field 52)."""
    fields = _stat(pid) if LINUX else None
    if fields is None or fields[0] != b"Z" or len(fields) < 50:
        return None
    return os.waitstatus_to_exitcode(int(fields[49]))


def session_members(leader: int) -> list[int]:
    """Pids of the processes of the session that `leader` began, without zombies. Reads all of /proc."""
    found = []
    for pid in pids():
        if not LINUX:
            with contextlib.suppress(OSError):
                if os.getsid(pid) == leader and birth(pid) is not None:
                    found.append(pid)
            continue
        fields = _stat(pid)
        if fields and int(fields[3]) == leader and fields[0] not in (b"Z", b"X"):
            found.append(pid)
    return found


def strays(leader: int, parent: int, known: Collection[int]) -> list[int]:
    """Children of `parent`, without zombies and without the `known`, that are in the session that `leader` began but
    not in its process group. Linux only."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
            children = [int(pid) for pid in file.read().split()]
    except OSError:
        return []
    found = []
    for pid in children:
        fields = None if pid in known else _stat(pid)
        if fields and int(fields[3]) == leader != int(fields[2]) and fields[0] not in (b"Z", b"X"):
            found.append(pid)
    return found


def group_members(leaders: Collection[int]) -> dict[int, str]:
    """Pids of the processes in the process groups that these began, with their births; no zombies. Reads all of /proc;
    nothing elsewhere than on Linux."""
    found = {}
    for pid in pids() if LINUX and leaders else ():
        fields = _stat(pid)
        if fields and int(fields[2]) in leaders and fields[0] not in (b"Z", b"X"):
            found[pid] = fields[19].decode()
    return found


def started(pid: int) -> float | None:
    """When a process began, in unix seconds by the clock as it is now: a process that noted the time when it began
    noted another one if the clock was set since. None when it is gone."""
    if LINUX:
        fields = _stat(pid)
        if fields is None:
            return None
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICKS)
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def directory(pid: int) -> str | None:
    """The working directory of a process, with " (deleted)" after it where it is gone; None where it cannot be told:
    Linux shows it to the process's own user and to root."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def waits_for_input(pid: int) -> bool:
    """Whether a process sleeps in read(2) of its standard input. False where the kernel does not say it: to a daemon
    that is not root it may not (proc(5), /proc/PID/syscall)."""
    number = _READ.get(os.uname().machine)
    try:
        with open(f"/proc/{pid}/syscall") as file:
            words = file.read().split()
    except OSError:
        return False
    return number is not None and words[:2] == [number, "0x0"]


def orphans(members: Collection[int], leader: int, word: str) -> list[int]:
    """Those of the session of `leader` (see session_members) whose parent is not in it, so has died, and whose command
    line has `word` as an argument: what a job left running in the background is no business of ours."""
    found = []
    for pid in members:
        parent = _parent(pid)
        if pid != leader and parent is not None and parent not in members and word in arguments(pid):
            found.append(pid)
    return found


def having(words: Collection[str]) -> list[int]:
    """Pids of the processes that have one of these words as an argument. Reads all of /proc."""
    wanted = frozenset(words)
    return [pid for pid in pids() if not wanted.isdisjoint(arguments(pid))]


def arguments(pid: int) -> list[str]:
    """The command line of a process, its first 64 kB; empty for a zombie and where there is none."""
    if LINUX:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read(65_536).decode("utf-8", "replace").split("\0")
        except OSError:
            return []
    import psutil

    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def _parent(pid: int) -> int | None:
    if LINUX:
        fields = _stat(pid)
        return None if fields is None else int(fields[1])
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def holders(directory: str) -> dict[int, tuple[str, int]]:
    """Processes whose standard output is a file of `directory`: pid -> (that file, session). Linux only."""
    found: dict[int, tuple[str, int]] = {}
    if not LINUX:
        return found
    prefix = os.path.join(os.path.realpath(directory), "")
    for pid in pids():
        try:
            target = os.readlink(f"/proc/{pid}/fd/1")
            if target.startswith(prefix):
                found[pid] = (target, os.getsid(pid))
        except OSError:
            continue
    return found


def pids() -> list[int]:
    """Every process there is, zombies too."""
    if LINUX:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return list(psutil.pids())


def _stat(pid: int) -> list[bytes] | None:
    """Fields of /proc/PID/stat from the third on (state is 0, ppid 1, session 3, utime 11, starttime 19, rss 21)."""
    text = _read(pid, "stat")
    return None if text is None else text[text.rfind(b")") + 2 :].split()


def _read(pid: int, name: str) -> bytes | None:
    """A file of /proc/PID that is one line; None where there is no such process, or file."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 4096)
    except OSError:
        return None
    finally:
        os.close(fd)
