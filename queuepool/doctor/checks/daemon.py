"""The daemon: whether it answers, what it runs, and how it comes up at boot. PURE."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import some
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.running import RunningFacts, UnitFacts
from queuepool.doctor.finding import Note, RemoveStale, SetMode, Severity

CHECKS = Checks("daemon", needs=("running",))
SUBJECT = "the daemon"


@CHECKS.add("killed", Severity.ERROR, "No workers run without their daemon")
def killed(facts: Facts) -> Iterator[Note]:
    """The daemon was killed (by SIGKILL, or by the kernel for lack of memory), and its workers run on: queuepool is
    made so that no job is lost then. But nobody restarts those that end, a deploy does not reach them, and a worker
    that has printed as much as its pipe holds (64 kB) waits until somebody reads it. The next daemon finds them by its
    record and adopts them: same pids, nothing is restarted."""
    running = facts.running
    if running and running.survivors and running.daemon is None and running.pid is None:
        lines = [f"{each.name} runs as pid {each.pid}, and its daemon is gone" for each in running.survivors]
        yield Note(
            SUBJECT,
            f"is gone, and {len(lines)} of its processes {'runs' if len(lines) == 1 else 'run'} on without it",
            (running.unreachable, *some(lines, 4)) if running.unreachable else some(lines, 4),
            _start(facts, running),
        )


@CHECKS.add("hangs", Severity.ERROR, "A daemon that runs answers")
def hangs(facts: Facts) -> Iterator[Note]:
    """A process holds the daemon's lock, but nothing answers on its socket: it hangs, is stopped (SIGSTOP, a debugger),
    or the machine is so busy that it does not get its turn. Its workers go on until their pipes are full (64 kB each).
    A daemon that hangs may be killed without harm: the next one adopts its workers. Under systemd the watchdog does
    that within 30 s."""
    running = facts.running
    if running is None or running.daemon is not None or not running.pid or (running.place and running.place.denied):
        return
    yield Note(
        SUBJECT,
        "runs, and does not answer",
        (f"pid {running.pid} holds the lock", *([running.unreachable] if running.unreachable else [])),
        f"kill -CONT {running.pid}; if that does not help: kill -KILL {running.pid}; {_start(facts, running)}",
    )


@CHECKS.add("lost", Severity.ERROR, "The daemon's run directory is still there")
def lost(facts: Facts) -> Iterator[Note]:
    """The daemon runs, but its socket and lock were removed under it: by `rm`, or by a program that cleans /tmp or /run
    (systemd-tmpfiles removes what is old in /tmp, also the directory that a daemon of an ordinary user falls back to).
    No command reaches it any more, and `queuepool up` would start a second one beside it. Told to end by SIGTERM it
    drains its workers."""
    running = facts.running
    if running and running.place and running.place.lost:
        pid, place = running.place.lost, running.place
        yield Note(
            SUBJECT,
            f"runs as pid {pid}, but its run directory was removed under it",
            (f"{place.directory}: {_there(place.directory_mode)}", f"{place.socket}: {_there(place.socket_mode)}"),
            f"kill -TERM {pid}   (it finishes the running jobs), then {_start(facts, running)}",
        )


@CHECKS.add("socket", Severity.WARNING, "The daemon's socket and run directory are for its own user alone")
def socket(facts: Facts) -> Iterator[Note]:
    """Whoever may write to the control socket may run commands as the daemon's user, which mostly is root: by a changed
    file and `queuepool update`. So the run directory has the mode 0700 and the socket 0600, and both belong to the user
    of the daemon. A daemon makes the directory private again when it starts. When the doctor runs as another user than
    the daemon, it says so: what runs can then not be looked at."""
    place = facts.running.place if facts.running else None
    if place is None:
        return
    if place.denied or place.foreign:
        owner = f"belongs to uid {place.directory_uid}, and" if place.directory_uid is not None else "is not ours;"
        yield Note(
            SUBJECT,
            "cannot be asked by this user, so what runs was not looked at",
            (
                f"{place.socket}: permission denied (it {owner} we are uid {facts.uid})"
                if place.denied
                else f"a daemon of this file runs as {place.foreign}; we are uid {facts.uid}",
            ),
            f"sudo -u {place.foreign or 'root'} queuepool -c {shlex.quote(facts.file.path)} doctor",
        )
        return
    for path, mode, wanted in (
        (place.directory, place.directory_mode, 0o700),
        (place.socket, place.socket_mode, 0o600),
    ):
        if mode is not None and mode & 0o077:
            yield Note(
                SUBJECT,
                f"can be reached by others than its own user: {path} has the mode {mode:04o}",
                (f"{path}: mode {mode:04o}, it should be {wanted:04o}",),
                f"chmod {wanted:04o} {shlex.quote(path)}",
                severity=Severity.ERROR if mode & 0o002 else None,
                fix=SetMode(path, wanted),
            )
    if place.directory_uid is not None and facts.uid == 0 and place.directory_uid != 0:
        yield Note(
            SUBJECT,
            f"would use a directory that belongs to another user: {place.directory}",
            (f"{place.directory} belongs to uid {place.directory_uid}; we are root",),
            f"rm -r {shlex.quote(place.directory)}   (when no daemon of that user runs)",
        )


@CHECKS.add("stale_socket", Severity.WARNING, "No daemon ended without a word", unless=("daemon.killed", "daemon.lost"))
def stale_socket(facts: Facts) -> Iterator[Note]:
    """The socket of a daemon is there, but nobody holds its lock: the daemon was killed, or the machine lost power, and
    nothing started it again. It does no harm by itself, since the next daemon takes its place. It tells that what
    should run does not."""
    running = facts.running
    if running is None or running.daemon is not None or running.pid or running.place is None:
        return
    if running.place.socket_mode is not None and not running.place.denied:
        yield Note(
            SUBJECT,
            "died without ending, and nothing runs now",
            (f"{running.place.socket} is there, and no process holds the lock beside it",),
            _start(facts, running),
            fix=RemoveStale(running.place.socket),
        )


@CHECKS.add("version", Severity.WARNING, "The daemon runs the queuepool that is installed")
def version(facts: Facts) -> Iterator[Note]:
    """`pip install -U` replaces files, not the process: the daemon goes on with the code it was started with.
    `queuepool upgrade` replaces it in place, with the same pid, and touches no worker."""
    running = facts.running
    if running and running.daemon and running.version and running.daemon.version != running.version:
        yield Note(
            SUBJECT,
            f"runs queuepool {running.daemon.version}, while {running.version} is installed",
            (f"pid {running.daemon.pid} says {running.daemon.version}; this command is {running.version}",),
            "queuepool upgrade",
        )


@CHECKS.add("unapplied", Severity.WARNING, "The daemon works by the file as it is now")
def unapplied(facts: Facts) -> Iterator[Note]:
    """The file was changed after the daemon had read it. What it says now comes into force by `queuepool update`, which
    touches only what changed; at the latest the next start of the daemon would bring it in force, at a time that nobody
    chose."""
    if facts.running and facts.running.changes:
        yield Note(
            f"file {facts.file.path}",
            "was changed, and the daemon does not know it yet",
            some(facts.running.changes),
            "queuepool update   (`queuepool reread` shows it)",
        )


@CHECKS.add(
    "problems", Severity.WARNING, "The daemon has nothing to complain about",
    unless=("redis.*", "queues.unreadable", "application.*", "file.*"),
)  # fmt: skip
def problems(facts: Facts) -> Iterator[Note]:
    """What the daemon itself says at the foot of `queuepool status`: queues that it cannot read, options that the
    installed Laravel does not know, a record or an override that was damaged. Problems of the file and of logs are
    told by other checks."""
    view = facts.running.daemon if facts.running else None
    known = {*facts.file.problems, *facts.file.broken}
    said = [one for one in view.problems if one not in known and not one.startswith("cannot write ")] if view else []
    if said:
        yield Note(SUBJECT, "complains", some(said), "queuepool events   (shows since when)")


@CHECKS.add("unit", Severity.WARNING, "systemd starts the daemon at boot")
def unit(facts: Facts) -> Iterator[Note]:
    """systemd is the init of this machine, and nothing would start this daemon at the next boot: it was started by
    hand, or its unit is disabled or has failed. `queuepool startup` writes the unit, enables and starts it. For a
    daemon with a terminal (a developer's `queuepool up`), in a container, and where neither a daemon nor a unit is
    there, nothing is said."""
    running = facts.running
    boot = running.boot if running else None
    if running is None or boot is None or not boot.systemd or boot.container:
        return
    for one in boot.units:
        yield from _unit(one, facts)
    if not boot.units and boot.detached and not boot.unit:
        yield Note(
            SUBJECT,
            "runs, but nothing starts it at boot",
            (
                f"pid {running.pid} was started by hand",
                f"no enabled systemd unit is for {facts.file.path}",
            ),
            _startup(facts),
        )


def _unit(one: UnitFacts, facts: Facts) -> Iterator[Note]:
    systemctl = "systemctl --user" if one.scope == "user" else "systemctl"
    journal = f"journalctl {'--user ' if one.scope == 'user' else ''}-u {one.name} -n 50"
    if one.state == "failed":
        yield Note(
            f"unit {one.name}",
            "has failed, and systemd does not start it again",
            (f"{systemctl} show {one.name}: ActiveState=failed, Result={one.result or 'unknown'}",),
            f"{journal}; then {systemctl} restart {one.name}",
            severity=Severity.ERROR,
        )
    elif not one.enabled:
        yield Note(
            f"unit {one.name}",
            "is there, but disabled: nothing starts the daemon at boot",
            (f"{one.path} is linked in no .wants directory",),
            f"{systemctl} enable --now {one.name}",
        )


def _start(facts: Facts, running: RunningFacts) -> str:
    """How this daemon is started."""
    for one in running.boot.units if running.boot else ():
        return f"systemctl {'--user ' if one.scope == 'user' else ''}restart {one.name}"
    return f"queuepool -c {shlex.quote(facts.file.path)} up -d"


def _startup(facts: Facts) -> str:
    sudo, user = ("sudo ", "") if facts.uid == 0 else ("", " --user")
    return f"queuepool down && {sudo}queuepool -c {shlex.quote(facts.file.path)} startup{user}"


def _there(mode: int | None) -> str:
    return "it is not there" if mode is None else f"mode {mode:04o}"
