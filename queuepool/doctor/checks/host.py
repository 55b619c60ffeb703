"""The machine's memory, disks, limits and clock. PURE."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import percent, size, some
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.host import DiskFacts, HostFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.domain.amounts import count

CHECKS = Checks("host", needs=("host", "running"))
SUBJECT = "this machine"

MB, GB = 1 << 20, 1 << 30
HUGE_LOG = GB
"""A log of this size is no help to anybody."""
SWAPPING = 4 * MB
"""Bytes a second in and out from which swapping is felt."""
OWN_DESCRIPTORS = 64
"""Of the daemon itself: 17 when idle, one for each log file, each command that asks, each Redis."""
RECENT_SECONDS = 3600.0
OLD_SECONDS = 86_400.0
JUMP_SECONDS = 10.0


@CHECKS.add("memory", Severity.WARNING, "There is memory for all workers of the file", unless=("host.memory_now",))
def memory(facts: Facts) -> Iterator[Note]:
    """All workers together need more than the machine, or the daemon's memory cgroup, has. For a program that runs,
    what its workers use now (PSS, so that what they share counts once) is multiplied by `numprocs`; for one that does
    not, its --memory limit (128 MB when nothing is given), up to which each worker may grow. When memory is used up the
    kernel kills whichever process it finds worst, in the middle of its job."""
    host = facts.host
    if host is None or not host.needs:
        return
    total, whose = _limit(host)
    needed = sum(max(0, need.count) * max(0, need.each) for need in host.needs)
    if total > 0 and needed * 100 > total * 95:
        lines = [
            f"{need.program}: {need.count} x {size(need.each)}"
            f" ({'measured' if need.measured else 'its --memory limit'}) = {size(need.count * need.each)}"
            for need in sorted(host.needs, key=lambda need: -need.count * need.each)
        ]
        worst = max(host.needs, key=lambda need: need.count * need.each)
        fits = worst.count * total * 4 // (needed * 5)
        yield Note(
            SUBJECT,
            f"has too little memory for all workers: they may need {size(needed)}, and {whose} has {size(total)}",
            (*some(lines), f"{whose}: {size(total)}"),
            f"lower `numprocs:` of {worst.program} to {max(1, fits)}, or its `memory:`; or more memory",
            tuple(need.program for need in host.needs),
        )


@CHECKS.add("memory_now", Severity.WARNING, "Some memory is free")
def memory_now(facts: Facts) -> Iterator[Note]:
    """Hardly any memory is left now, what the kernel could drop from its caches already counted as free (MemAvailable).
    The next big job makes it kill a process. `ps aux --sort=-rss` shows which process uses how much; a worker that
    grows and grows is ended in good order at its `memory:`, or at `memory_limit:`, which looks during jobs too."""
    host = facts.host
    if host is None:
        return
    if host.limit and host.used is not None and host.used * 100 > host.limit * 95:
        yield Note(
            SUBJECT,
            f"the daemon's control group has used up its memory: {percent(host.used, host.limit)}",
            (f"{host.cgroup}: {size(host.used)} of {size(host.limit)}, without caches",),
            "ps aux --sort=-rss | head   (shows who uses it), then lower `numprocs:`, or raise MemoryMax= of the unit",
        )
    elif host.memory > 0 and host.available < min(host.memory // 20, GB):
        swap = f"swap: {size(host.swap_free)} of {size(host.swap)} free" if host.swap > 0 else "there is no swap"
        yield Note(
            SUBJECT,
            f"has hardly any memory left: {size(host.available)} of {size(host.memory)}",
            (f"/proc/meminfo: MemAvailable is {percent(host.available, host.memory)} of MemTotal", swap),
            "ps aux --sort=-rss | head   (shows who uses it), then lower `numprocs:`, or restart what has grown",
            severity=Severity.ERROR if host.available < host.memory // 100 else None,
        )


@CHECKS.add("swap", Severity.INFO, "Workers are not swapped", unless=("host.memory_now",))
def swap(facts: Facts) -> Iterator[Note]:
    """Memory is being moved to disk and back: each touch of a page that is not there takes milliseconds, jobs take many
    times as long as usual, and their timeouts come near. Swap that is merely in use is no harm."""
    host = facts.host
    if host and math.isfinite(host.swapping) and host.swapping > SWAPPING:
        yield Note(
            SUBJECT,
            f"swaps {size(host.swapping)} a second",
            (f"/proc/vmstat: pswpin and pswpout; {size(host.swap_free)} of {size(host.swap)} of swap are free",),
            "ps aux --sort=-rss | head   (shows who uses memory), then lower `numprocs:`",
        )


@CHECKS.add("oom", Severity.WARNING, "The kernel killed no worker for lack of memory")
def oom(facts: Facts) -> Iterator[Note]:
    """The kernel's log says that it killed a process of ours because memory was used up: that of the machine, or of the
    control group that it runs in (MemoryMax= of a unit, a container's limit). Each such kill cut off a job. Only pids
    that the daemon started, and saw die of SIGKILL just then, count; kills of others on this machine do not. Those of
    the last day are told."""
    host = facts.host
    recent = [kill for kill in (host.kills or () if host else ()) if facts.now - kill.time < OLD_SECONDS]
    if not recent:
        return
    programs = tuple(dict.fromkeys(kill.program for kill in recent))
    last = max(kill.time for kill in recent)
    group = all(kill.cgroup for kill in recent)
    yield Note(
        f"program {programs[0]}" if len(programs) == 1 else SUBJECT,
        f"{len(recent)} times within a day the kernel killed a worker for lack of memory"
        if len(recent) > 1
        else "the kernel killed a worker for lack of memory",
        some([f"{kill.name} (pid {kill.pid}) {_ago(facts.now - kill.time)}: {kill.line}" for kill in recent], 4),
        ("raise the limit of the control group (MemoryMax= of the unit, the container's memory), or " if group else "")
        + f"lower `numprocs:` of {', '.join(programs)}, or set `memory_limit:` below what one may use",
        programs,
        Severity.ERROR if facts.now - last < RECENT_SECONDS else None,
    )


@CHECKS.add("disk", Severity.WARNING, "There is room on every file system that is written to")
def disk(facts: Facts) -> Iterator[Note]:
    """A file system that holds logs, storage/, the daemon's state or its run directory is nearly full. When it is, jobs
    that write fail, lines of logs are dropped, a database queue on it stops, and the record of what runs cannot be
    kept. Told below 5 % (but not where 10 GB are free) or 500 MB (on large ones); root's reserve does not count as
    free."""
    for one in facts.host.disks if facts.host else ():
        if one.size > 0 and one.free < _too_little(one):
            yield Note(
                f"file system of {one.path}",
                "is full" if one.free < MB else f"is nearly full: {size(one.free)} of {size(one.size)} are free",
                (f"statvfs {one.path}: {size(one.free)} free, {percent(one.free, one.size)}",
                 f"it holds {', '.join(one.holds) or 'nothing that is known'}"),
                f"du -xh {shlex.quote(one.path)} | sort -h | tail   (shows what is large)",
                severity=Severity.ERROR if one.free < one.size // 200 else None,
            )  # fmt: skip


def _too_little(one: DiskFacts) -> int:
    return min(max(one.size // 20, min(500 * MB, one.size // 10)), 10 * GB)


@CHECKS.add("inodes", Severity.WARNING, "There are inodes left on every file system that is written to")
def inodes(facts: Facts) -> Iterator[Note]:
    """A file system has room, but no inodes: no file can be made ("No space left on device", though `df` shows space).
    Sessions, cache entries and failed uploads in millions of small files are the usual ones."""
    for one in facts.host.disks if facts.host else ():
        if one.inodes > 0 and 0 <= one.inodes_free < one.inodes // 50:
            yield Note(
                f"file system of {one.path}",
                "has no inodes left" if one.inodes_free == 0 else f"has only {one.inodes_free} inodes left",
                (f"statvfs {one.path}: {one.inodes_free} of {one.inodes} inodes free",
                 f"it holds {', '.join(one.holds) or 'nothing that is known'}"),
                f"du -x --inodes {shlex.quote(one.path)} | sort -n | tail   (shows where the files are)",
                severity=Severity.ERROR if one.inodes_free < 16 else None,
            )  # fmt: skip


@CHECKS.add("log_size", Severity.WARNING, "No log grows without end")
def log_size(facts: Facts) -> Iterator[Note]:
    """A log file has more than 1 GB and nothing rotates it. queuepool rotates the logs of programs at
    `stdout_logfile_maxbytes` (50 MB when nothing is given; 0 is never). Laravel's own storage/logs/laravel.log is
    rotated by nobody with the channel `single`; the channel `daily` makes a file a day and removes old ones
    (config/logging.php)."""
    for log in facts.host.logs if facts.host else ():
        if log.size < HUGE_LOG or log.maxbytes or log.logrotate:
            continue
        mine = log.maxbytes is not None
        yield Note(
            f"log {log.path}",
            f"has {size(log.size)}, and nothing rotates it",
            (
                f"{log.path}: {size(log.size)}",
                "stdout_logfile_maxbytes is 0" if mine else "no file of /etc/logrotate.d names its directory",
            ),
            f"set `stdout_logfile_maxbytes: 50MB` for {', '.join(log.programs) or 'its program'}"
            if mine
            else f"LOG_CHANNEL=daily in .env; now: truncate -s 0 {shlex.quote(log.path)}",
            log.programs,
        )


@CHECKS.add("nofile", Severity.WARNING, "The daemon may open enough files for all processes")
def nofile(facts: Facts) -> Iterator[Note]:
    """Each process costs the daemon two descriptors (its pidfd and a pipe), three where its stderr goes to a file of
    its own; 64 are for the daemon itself, and a rolling restart needs those of the replacements too. When the limit is
    reached nothing can be started. The daemon raises its soft limit by itself, up to the hard one, which only root (or
    systemd, LimitNOFILE=) may raise."""
    files = facts.host.files if facts.host else None
    if files is None:
        return
    needed = files.needed + OWN_DESCRIPTORS
    short = files.limit < needed
    if short or (files.used is not None and files.used * 10 > files.limit * 9):
        used = f", {files.used} are open" if files.used is not None else ""
        yield Note(
            "the daemon",
            f"may open {files.limit} files, and all processes need {needed}"
            if short
            else f"has nearly all of its {files.limit} files open",
            (f"RLIMIT_NOFILE is {files.limit}{used}; {files.needed} for the processes, {OWN_DESCRIPTORS} for itself",),
            f"LimitNOFILE={max(65_536, 2 * needed)} in its unit (`systemctl edit`); by hand: ulimit -Hn "
            f"{max(65_536, 2 * needed)} before `queuepool up`",
            severity=Severity.ERROR if files.used is not None and files.used >= files.limit - 4 else None,
        )


@CHECKS.add("nproc", Severity.WARNING, "All processes of the file may be started")
def nproc(facts: Facts) -> Iterator[Note]:
    """A limit of processes and threads is below what the file asks for beside what runs already: the user's
    (RLIMIT_NPROC, which counts all that the user runs on this machine), the machine's (pid_max), or that of the
    daemon's control group (TasksMax= of a unit, --pids-limit of a container). A start beyond it fails with EAGAIN,
    "Resource temporarily unavailable", and so does each process that a job wants to start."""
    for one in facts.host.tasks if facts.host else ():
        if one.limit > 0 and one.others + one.planned > one.limit:
            yield Note(
                SUBJECT if one.what == SUBJECT else f"{SUBJECT}, {one.what}",
                f"may run {count(one.limit, 'process', 'processes')}, and {one.others + one.planned} are asked for",
                (f"{one.source}: {one.limit}", f"{one.others} run beside ours, the file asks for {one.planned}"),
                f"raise it ({one.source}), or lower `numprocs:`",
                one.programs,
            )


@CHECKS.add("clock", Severity.WARNING, "The clock was not set while processes ran")
def clock(facts: Facts) -> Iterator[Note]:
    """The clock of the machine was set by more than a few seconds since a process began: the start that was noted then
    is not the one that the boot clock gives now. Delayed jobs and retry_after are times of that clock: a jump forwards
    makes reserved jobs run a second time, one backwards keeps delayed ones waiting."""
    seen = facts.host.clock if facts.host else None
    if seen is None or not math.isfinite(seen.jump) or abs(seen.jump) < JUMP_SECONDS:
        return
    way = "forwards" if seen.jump > 0 else "backwards"
    hint = ("the kernel says that the clock is not synchronized",) if seen.synced is False else ()
    yield Note(
        SUBJECT,
        f"the clock was set {way} by {abs(seen.jump):.0f} s while workers ran",
        (f"{', '.join(seen.names[:6])}: noted another time when it began than the boot clock gives", *hint),
        "timedatectl set-ntp true   (or chrony, which slews it slowly); then queuepool restart all",
    )  # fmt: skip


@CHECKS.add("tmp", Severity.ERROR, "The daemon can write its run directory")
def tmp(facts: Facts) -> Iterator[Note]:
    """The daemon keeps its socket, its lock, the pipes of its workers and the record of what runs in the run directory,
    and overrides and its log in the state directory. Without them it does not start; one that runs cannot start
    anything more."""
    host = facts.host
    place = facts.running.place if facts.running else None
    if host and host.run_failure and not (place and place.denied):
        yield Note(
            "the daemon",
            f"cannot write its run or state directory: {host.run_failure}",
            (f"run directory: {host.run}", host.run_failure),
            "set QUEUEPOOL_RUNTIME_DIR (and QUEUEPOOL_STATE_DIR) to directories that it may write",
        )


def _limit(host: HostFacts) -> tuple[int, str]:
    if host.limit is not None and 0 < host.limit < host.memory:
        return host.limit, f"its control group {host.cgroup}"
    return host.memory, "the machine"


def _ago(seconds: float) -> str:
    return f"{count(round(seconds / 60), 'minute')} ago" if math.isfinite(seconds) else "some time ago"
