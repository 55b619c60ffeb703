"""The machine: memory, disks, limits, clock. PURE. Sizes are bytes; None is what could not be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NeedFacts:
    """What one program needs of memory. count: processes by the file. each: bytes of one: the proportional share (PSS)
    of those that run, or what its workers may grow to by --memory. measured: which of the two."""

    program: str
    count: int
    each: int
    measured: bool


@dataclass(frozen=True, slots=True)
class KillFacts:
    """A process of ours that the kernel killed for lack of memory. name: `default:3`. time: unix seconds. line: the
    kernel's. cgroup: whether a limit of its memory cgroup was the cause, and not the memory of the machine."""

    name: str
    program: str
    pid: int
    time: float
    line: str
    cgroup: bool = False


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A file system. path: one that is on it. holds: what of ours, in words. free, inodes_free: for others than root.
    inodes: 0 where the file system has no fixed number."""

    path: str
    holds: tuple[str, ...]
    size: int
    free: int
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """A log file. programs: whose; empty: Laravel's own. maxbytes: at which queuepool rotates it; None: it does not.
    logrotate: the file of logrotate that names its directory, else ""."""

    path: str
    size: int
    programs: tuple[str, ...] = ()
    maxbytes: int | None = None
    logrotate: str = ""


@dataclass(frozen=True, slots=True)
class FilesFacts:
    """Descriptors of the daemon. limit: its own, or, where it does not run, up to which it may raise it. used: open
    now, None where it does not run. needed: for all processes of the file."""

    limit: int
    used: int | None
    needed: int


@dataclass(frozen=True, slots=True)
class TasksFacts:
    """A limit of processes and threads. what: in words, "user www-data". limit: the number; source: where it is set.
    others: tasks that count and are not ours. planned: processes of the programs that it concerns."""

    what: str
    limit: int
    source: str
    others: int
    planned: int
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """jump: seconds by which the clock was set since the processes began (it is ahead of where it would be: positive).
    names: of processes that tell. synced: whether the kernel says that the clock follows others."""

    jump: float
    names: tuple[str, ...] = ()
    synced: bool | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """memory, available: of the machine. swap: its size, swap_free. swapping: bytes a second, in and out. limit: of the
    memory cgroup of the daemon, used: of that, without what can be given back; cgroup: its path. kills: None where the
    kernel's log cannot be read. run, run_failure: the run directory, and why it cannot be made or written."""

    memory: int
    available: int
    swap: int = 0
    swap_free: int = 0
    swapping: float = 0.0
    limit: int | None = None
    used: int | None = None
    cgroup: str = ""
    needs: tuple[NeedFacts, ...] = ()
    kills: tuple[KillFacts, ...] | None = None
    disks: tuple[DiskFacts, ...] = ()
    logs: tuple[LogFacts, ...] = ()
    files: FilesFacts | None = None
    tasks: tuple[TasksFacts, ...] = ()
    clock: ClockFacts | None = None
    run: str = ""
    run_failure: str = ""
