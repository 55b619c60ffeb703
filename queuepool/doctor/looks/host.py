"""Looks at the machine: memory, disks, limits, clock, each part on its own."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from glob import escape, glob
from typing import Any, TypeVar

from queuepool.doctor.facts.host import (
    ClockFacts,
    DiskFacts,
    FilesFacts,
    HostFacts,
    KillFacts,
    LogFacts,
    NeedFacts,
    TasksFacts,
)
from queuepool.doctor.looks import journal, kernel
from queuepool.doctor.looks.bounded import bounded
from queuepool.doctor.looks.places import Places, read
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import PoolSpec
from queuepool.errors import QueuepoolError, SpawnError
from queuepool.system import procstat
from queuepool.system.children import identity
from queuepool.system.rundir import RunDirectory

PART_SECONDS = 3.0
STATUS_SECONDS = 6.0
SWAP_SECONDS = 0.4
"""How long swapping is watched."""
SAMPLE = 8
"""Processes of a program whose memory is measured: the kernel walks their page tables for it."""
DEFAULT_MEMORY = 128
"""Megabytes: queue:work's --memory when it is not given, Laravel 6 to 13."""
KILL_MATCH_SECONDS = 120.0
"""The kernel's clock and the daemon's log may differ by so much about one death."""

T = TypeVar("T")
Processes = Sequence[Mapping[str, Any]]


async def look(scene: Scene) -> HostFacts:
    """The machine as it is for the daemon and its workers."""
    places, directory = Places(scene.environ), RunDirectory(scene.path, scene.environ)
    processes = await _processes(scene)
    daemon = directory.pid()
    parts: list[Awaitable[Any]] = [
        _part(_needs, scene, processes, otherwise=()),
        _part(_kills, directory, places, otherwise=None),
        _part(_logs, scene, places, otherwise=()),
        _part(_files, scene, directory, otherwise=None),
        _part(_tasks, scene, processes, daemon, places, otherwise=()),
        _part(_clock, processes, otherwise=None),
        _swapping(places),
        _disks(scene, directory),
    ]
    needs, kills, logs, files, tasks, clock, swapping, disks = await asyncio.gather(*parts)
    group = kernel.tightest(daemon, places, "memory") if daemon else None
    memory, available, swap, swap_free = _memory(places)
    return HostFacts(
        memory=memory,
        available=available,
        swap=swap,
        swap_free=swap_free,
        swapping=swapping,
        limit=group.limit if group else None,
        used=group.current if group else None,
        cgroup=group.path if group else "",
        needs=needs,
        kills=kills,
        disks=disks,
        logs=logs,
        files=files,
        tasks=tasks,
        clock=clock,
        run=directory.path,
        run_failure=_run_failure(directory),
    )


async def _part(act: Callable[..., T], *args: object, otherwise: T) -> T:
    """One part, which may fail or hang by itself."""
    try:
        return await bounded(PART_SECONDS, act, *args)
    except (OSError, ValueError, TimeoutError):
        return otherwise


async def _processes(scene: Scene) -> Processes:
    """What the daemon says of its processes; nothing where none answers."""
    try:
        found: Processes = (await bounded(STATUS_SECONDS, scene.client.status))["processes"]
    except (QueuepoolError, TimeoutError):
        return ()
    return found


def _memory(places: Places) -> tuple[int, int, int, int]:
    if sys.platform.startswith("linux"):
        told = kernel.meminfo(places)
        names = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
        total, available, swap, swap_free = (told.get(name, 0) for name in names)
        return total, available, swap, swap_free
    import psutil

    memory, swapped = psutil.virtual_memory(), psutil.swap_memory()
    return memory.total, memory.available, swapped.total, swapped.free


async def _swapping(places: Places) -> float:
    before = kernel.swapped_pages(places)
    if not before:
        return 0.0  # there is none, or nothing was ever swapped
    await asyncio.sleep(SWAP_SECONDS)
    return max(0, (kernel.swapped_pages(places) or before) - before) * procstat.PAGE / SWAP_SECONDS


def _needs(scene: Scene, processes: Processes) -> tuple[NeedFacts, ...]:
    found = []
    for pool in scene.pools.values():
        pids = [each["pid"] for each in processes if each["program"] == pool.name and each["state"] == "RUNNING"]
        sizes = [size for pid in pids[:SAMPLE] if (size := kernel.pss(pid))]
        if sizes:
            found.append(NeedFacts(pool.name, pool.numprocs, sum(sizes) // len(sizes), True))
        elif pool.kind in ("worker", "listen"):
            found.append(NeedFacts(pool.name, pool.numprocs, _allowed(pool), False))
    return tuple(found)


def _allowed(pool: PoolSpec) -> int:
    given = [word.partition("=")[2] for word in pool.process(0).launch.argv if word.startswith("--memory=")]
    return (int(given[-1]) if given and given[-1].isdigit() else DEFAULT_MEMORY) << 20


def _kills(directory: RunDirectory, places: Places) -> tuple[KillFacts, ...] | None:
    """Kills of the kernel that hit ours: those of a pid that the daemon started and saw die of SIGKILL just then."""
    killed = kernel.kills(places)
    if not killed:
        return None if killed is None else ()
    pids: dict[str, int] = {}
    deaths: dict[int, list[tuple[str, float]]] = {}
    for said in journal.tail(directory.log, frozenset({"started", "adopted", "exited", "stopped"})):
        name = said.fields.get("process", "")
        if (pid := said.number("pid")) is not None:
            pids[name] = pid  # an end tells its own, too; those in the log of an older daemon do not
        if said.number("code") in (-9, 137) and name in pids:
            deaths.setdefault(pids[name], []).append((name, said.time))
    return tuple(
        KillFacts(name, name.rpartition(":")[0], kill.pid, kill.time, kill.line, kill.cgroup)
        for kill in killed
        for name, when in deaths.get(kill.pid, ())
        if abs(when - kill.time) < KILL_MATCH_SECONDS
    )


async def _disks(scene: Scene, directory: RunDirectory) -> tuple[DiskFacts, ...]:
    """The file systems that we write to. One that does not answer hides only itself."""
    paths: dict[str, list[str]] = {}
    paths.setdefault(directory.state, []).append("the daemon's state")
    paths.setdefault(directory.path, []).append("the run directory")
    for pool in scene.pools.values():
        spec = pool.process(0)
        for path in (spec.stdout.path, spec.stderr.path if spec.stderr else None):
            if path and not path.startswith("/dev/"):
                paths.setdefault(os.path.dirname(path), []).append("logs")
        if pool.app:
            paths.setdefault(os.path.join(pool.app, "storage"), []).append("storage")
    seen = await asyncio.gather(*(_part(_disk, path, otherwise=None) for path in paths))
    found: dict[int, DiskFacts] = {}
    for what, one in zip(paths.values(), seen, strict=True):
        if one is not None:
            device, disk = one
            held = found[device].holds if device in found else ()
            path = found[device].path if device in found else disk.path
            holds = tuple(dict.fromkeys((*held, *what)))
            found[device] = DiskFacts(path, holds, disk.size, disk.free, disk.inodes, disk.inodes_free)
    return tuple(found.values())


def _disk(path: str) -> tuple[int, DiskFacts]:
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    told = os.statvfs(path)
    size, free = told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize
    return os.stat(path).st_dev, DiskFacts(path, (), size, free, told.f_files, told.f_favail)


def _logs(scene: Scene, places: Places) -> tuple[LogFacts, ...]:
    rotated = {path: read(path, 1 << 16) or "" for path in places.glob("/etc/logrotate.conf", "/etc/logrotate.d/*")}
    users: dict[str, list[str]] = {}
    limits: dict[str, int] = {}
    for pool in scene.pools.values():
        spec = pool.process(0)
        for policy in (spec.stdout, spec.stderr):
            if policy and policy.path and os.path.isfile(policy.path):
                users.setdefault(policy.path, []).append(pool.name)
                limits[policy.path] = policy.maxbytes
    for app in dict.fromkeys(pool.app for pool in scene.pools.values() if pool.app):
        for path in sorted(glob(os.path.join(escape(app), "storage/logs/*.log")))[:200]:
            users.setdefault(path, [])
    return tuple(
        LogFacts(
            path, os.stat(path).st_size, tuple(dict.fromkeys(of)), limits.get(path),
            next((name for name, text in rotated.items() if os.path.dirname(path) in text), ""),
        )
        for path, of in users.items()
    )  # fmt: skip


def _files(scene: Scene, directory: RunDirectory) -> FilesFacts:
    """A process costs the daemon its pidfd and our end of its FIFO, two FIFOs where stderr goes apart."""
    needed = sum(pool.numprocs * (3 if pool.process(0).stderr else 2) for pool in scene.loaded.pools.values())
    pid = directory.pid()
    if pid is None or not hasattr(resource, "prlimit"):
        return FilesFacts(_limited(resource.getrlimit(resource.RLIMIT_NOFILE)[1]), None, needed)
    with suppress(OSError):
        return FilesFacts(
            _limited(resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]), len(os.listdir(f"/proc/{pid}/fd")), needed
        )
    return FilesFacts(_limited(resource.getrlimit(resource.RLIMIT_NOFILE)[1]), None, needed)


def _limited(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else sys.maxsize


def _tasks(scene: Scene, processes: Processes, daemon: int | None, places: Places) -> tuple[TasksFacts, ...]:
    pids = procstat.pids()
    ours = [each for each in processes if each["pid"]]
    planned = sum(pool.numprocs for pool in scene.loaded.pools.values())
    found = list(_tasks_of_users(scene, ours, pids))
    most = read(places.kernel("/proc/sys/kernel/pid_max"), 32) or ""
    if most.strip().isdigit():
        others = len(pids) - len(ours)
        found.append(TasksFacts("this machine", int(most), "/proc/sys/kernel/pid_max", others, planned))
    group = kernel.tightest(daemon, places, "pids") if daemon else None
    if group is not None and group.limit is not None and group.current is not None:
        others = max(0, group.current - len(ours))
        found.append(TasksFacts("the daemon's control group", group.limit, f"{group.path}/pids.max", others, planned))
    return tuple(found)


def _tasks_of_users(scene: Scene, ours: Processes, pids: list[int]) -> Iterable[TasksFacts]:
    users: dict[int, list[PoolSpec]] = {}
    names: dict[int, str] = {}
    for pool in scene.loaded.pools.values():
        launch = pool.process(0).launch
        with suppress(SpawnError):
            who = identity(launch.user, launch.group, launch.groups)
            uid = os.geteuid() if who.uid is None else who.uid
            users.setdefault(uid, []).append(pool)
            names[uid] = who.name
    for uid, pools in users.items():
        if uid == 0:
            continue  # RLIMIT_NPROC is not for root
        running = [each["pid"] for each in ours if each["program"] in {pool.name for pool in pools}]
        limits = [(soft, f"rlimits: of {pool.name}") for pool in pools
                  for name, soft, _ in pool.process(0).launch.rlimits if name.lower() == "nproc"]  # fmt: skip
        limits.append(_inherited(running))
        limit, source = min((one for one in limits if one[0] > 0), default=(0, ""))
        if 0 < limit < sys.maxsize:
            others = max(0, kernel.tasks_of(uid, pids) - len(running))
            planned = sum(pool.numprocs for pool in pools)
            yield TasksFacts(f"user {names[uid]}", limit, source, others, planned, tuple(pool.name for pool in pools))


def _inherited(running: Sequence[int]) -> tuple[int, str]:
    """The limit of a worker that runs, else our own, which a daemon that is started from here would hand on."""
    if running and hasattr(resource, "prlimit"):
        with suppress(OSError):
            return _limited(resource.prlimit(running[0], resource.RLIMIT_NPROC)[0]), f"/proc/{running[0]}/limits"
    return _limited(resource.getrlimit(resource.RLIMIT_NPROC)[0]), "ulimit -u"


def _clock(processes: Processes) -> ClockFacts | None:
    """A worker's start as the daemon noted it then, beside what the kernel's boot clock makes of it now. What was
    adopted is left out: where the record was lost, its start was noted anew."""
    moved = {}
    for each in processes:
        if each["pid"] and each["started_at"] and not each["adopted"]:
            began = procstat.started(each["pid"])
            if began is not None:
                moved[each["name"]] = began - each["started_at"]
    if not moved:
        return None
    jump = max(moved.values(), key=abs)
    names = tuple(name for name, seconds in moved.items() if abs(seconds) > abs(jump) / 2)
    return ClockFacts(jump, names, kernel.clock_synced())


def _run_failure(directory: RunDirectory) -> str:
    """Why a daemon of this user could not make or use its run directory; "" when it can, or has one."""
    for wanted in (directory.path, os.path.dirname(directory.state)):
        path = wanted
        while not os.path.lexists(path) and path != "/":
            path = os.path.dirname(path)
        if not os.path.isdir(path):
            return f"{path} is not a directory"
        if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return f"{path} cannot be written: {_why_not(path)}"
    return ""


def _why_not(path: str) -> str:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only"
    return f"permission denied (mode {os.stat(path).st_mode & 0o7777:04o}, uid {os.stat(path).st_uid})"
