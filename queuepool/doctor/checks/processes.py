"""Processes that run, but not as they should. PURE. Those that do not stay alive are checks/ends.py's."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks import ends
from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import by_program, count, some
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.running import RunningFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.domain.observed import ProcessView

CHECKS = Checks("processes", needs=("running", "applications"))
CHECKS += ends.CHECKS

CRASHES = 3
"""So many crashes within ten minutes are no accident."""
RECYCLES = 20
"""So many clean ends of one worker within ten minutes: it works for less than half a minute each time."""
MISSING_SECONDS = 60.0
"""A process that is to start may take this long."""
KILL_MARGIN = 10.0
"""Seconds after SIGKILL in which everything but a process that the kernel holds is gone."""


@CHECKS.add("crashing", Severity.WARNING, "Processes that run do not crash again and again")
def crashing(facts: Facts) -> Iterator[Note]:
    """A process is RUNNING whenever one looks, and yet it has crashed several times within ten minutes: it comes up,
    dies in some job, and is started again. Each time the job of that moment is cut off; queuepool gives it back at
    once, so a job that kills its worker comes again until its tries are used up. The evidence tells how it ended, from
    the daemon's log. Clean ends of a worker (--max-jobs, --max-time, queue:restart) do not count; ends by its --memory
    limit count when they come so often that it works for less than half a minute each time."""
    running = facts.running or RunningFacts()
    up = {view.name for view in running.processes if view.state == "RUNNING" and not view.retiring}
    for program, found in by_program(each for each in running.crashes if each.name in up):
        crashed = [each for each in found if each.count >= (RECYCLES if each.recycled else CRASHES)]
        if crashed:
            evidence = tuple(
                f"{each.name}: {each.count} times within {max(each.seconds, 1):.0f} s, the last: {each.reason}"
                for each in crashed
            )
            memory = all(each.recycled for each in crashed)
            yield Note(
                f"program {program}",
                "is recycled all the time" if memory else "crashes again and again, and is started again",
                some(evidence),
                f"raise `memory:` of {program}" if memory else f"queuepool events   (and `queuepool logs {program}`)",
                (program,),
            )


@CHECKS.add("release", Severity.ERROR, "The directory in which each process runs is still there")
def release(facts: Facts) -> Iterator[Note]:
    """A worker keeps the directory of its release for life. When a deploy tool removes that release while an old worker
    still runs, each class that the worker has not loaded yet is gone: its next job of another kind fails, and may be
    lost, because the failed jobs cannot be written either. Linux shows such a directory as "(deleted)" in
    /proc/PID/cwd. Restarted workers run in the release that `current` points to; let the deploy tool keep as many
    releases as workers may still use, or run `queuepool deploy`, which waits for them."""
    for program, found in by_program(facts.running.gone if facts.running else ()):
        yield Note(
            f"program {program}",
            f"{count(found, 'runs', 'run')} in a directory that was removed",
            some([f"{each.name} (pid {each.pid}): {each.path} (deleted)" for each in found]),
            f"queuepool restart {program}",
            (program,),
        )


@CHECKS.add(
    "stale", Severity.WARNING, "All processes run the current release and settings", unless=("processes.release",)
)
def stale(facts: Facts) -> Iterator[Note]:
    """A PHP worker is a long-lived process: after `current` points to another release, or the file's settings were
    changed and applied without a restart, it goes on with what it was started with. Old code then meets new jobs and
    the new database. During a deploy this is as it should be, and nothing is said."""
    running = facts.running
    if running is None or running.deploying:
        return
    for program, found in by_program(view for view in running.processes if view.stale and not view.retiring):
        newest = {app.release for app in facts.applications if program in app.programs}
        old = {view.release for view in found if view.release} - newest
        now = f", while {', '.join(sorted(newest))} is current" if newest and old else ""
        yield Note(
            f"program {program}",
            f"{count(found, 'runs', 'run')} older code or settings than those in force",
            some([f"{view.name} (pid {view.pid}) runs {view.release or 'older settings'}{now}" for view in found]),
            "queuepool restart --stale all",
            (program,),
        )


@CHECKS.add("paused", Severity.WARNING, "No process was told to take no jobs")
def paused(facts: Facts) -> Iterator[Note]:
    """A paused worker (`queuepool pause`, SIGUSR2, `artisan horizon:pause`) finishes its job and takes no other until
    it is told to continue. It stays RUNNING, uses no processor, and its queues grow. What pauses it is remembered by
    the worker alone, so a restart ends it too."""
    views = facts.running.processes if facts.running else ()
    for program, found in by_program(view for view in views if view.paused and view.wanted):
        yield Note(
            f"program {program}",
            f"{count(found, 'is', 'are')} paused, so that no jobs are taken",
            some([f"{view.name} (pid {view.pid}) is paused" for view in found]),
            f"queuepool continue {program}",
            (program,),
        )


@CHECKS.add("stopped", Severity.INFO, "No process is held back by hand")
def stopped(facts: Facts) -> Iterator[Note]:
    """Somebody ran `queuepool stop`: that is remembered, also over a restart of the daemon, until `queuepool start`.
    Perhaps it was meant; perhaps it was forgotten."""
    running = facts.running
    if running is None or running.deploying:
        return
    manual = {program.name for program in facts.programs if not program.autostart}
    views = [view for view in running.processes if not view.wanted and view.state == "STOPPED"]
    for program, found in by_program(view for view in views if view.program not in manual):
        yield Note(
            f"program {program}",
            f"{count(found, 'was', 'were')} stopped by hand",
            some([f"{view.name}: {view.reason or 'stopped'}{_since(view, facts.now)}" for view in found]),
            f"queuepool start {program}",
            (program,),
        )


@CHECKS.add(
    "missing", Severity.WARNING, "As many processes run as are wanted",
    unless=tuple(check.id for check in ends.CHECKS),
)  # fmt: skip
def missing(facts: Facts) -> Iterator[Note]:
    """Fewer processes run than should, and none of them has failed: they wait for another program (`depends_on`), for
    their turn to boot, or their start takes very long. What the other program lacks is said of that program."""
    running = facts.running
    if running is None or running.daemon is None or running.deploying:
        return
    for program in running.programs:
        waiting = [
            view
            for view in running.processes
            if view.program == program.name
            and view.wanted
            and view.state in ("STOPPED", "STARTING")
            and facts.now - max(view.changed_at or 0.0, running.daemon.started_at) > MISSING_SECONDS
        ]
        if waiting and program.running < program.wanted:
            blockers = {view.reason.removeprefix("waiting for ") for view in waiting if "waiting for " in view.reason}
            known = blockers & {each.name for each in running.programs}
            yield Note(
                f"program {program.name}",
                f"only {program.running} of {program.wanted} run",
                some([f"{view.name} is {view.state}: {view.reason or 'it has no reason'}" for view in waiting]),
                f"queuepool status {' '.join(sorted(known)) or program.name}",
                (program.name, *sorted(known)),
            )


@CHECKS.add("drain", Severity.ERROR, "Processes that are to end do so in time")
def drain(facts: Facts) -> Iterator[Note]:
    """A process was asked to end, its stopwaitsecs are over, and SIGKILL did not end it either. Only the kernel can
    hold a process so: it waits for a disk or a network file system that does not answer (state D), or it is being
    traced or frozen. Its slot cannot start anew until it is gone, or its job would run twice."""
    for program, found in by_program(facts.running.stuck if facts.running else ()):
        late = [each for each in found if each.seconds > each.limit + KILL_MARGIN]
        if late:
            yield Note(
                f"program {program}",
                f"{count(late, 'does', 'do')} not end, not even when killed",
                some([
                    f"{each.name} (pid {each.pid}): asked {each.seconds:.0f} s ago, stopwaitsecs is {each.limit:g}, "
                    f"state {each.state or 'unknown'}"
                    for each in late
                ]),
                f"cat /proc/{late[0].pid}/stack   (as root: what the kernel waits for, mostly a mount that does not "
                "answer)",
                (program,),
            )  # fmt: skip


@CHECKS.add(
    "log", Severity.ERROR, "What processes print can be written to their logs",
    unless=("permissions.worker_log", "permissions.logs", "host.disk", "host.inodes"),
)  # fmt: skip
def log(facts: Facts) -> Iterator[Note]:
    """The daemon writes what workers print. Where it cannot, the workers go on and their lines are dropped, so that the
    next failure has no explanation. It tries again by itself."""
    problems = facts.running.daemon.problems if facts.running and facts.running.daemon else ()
    for problem in problems:
        if problem.startswith("cannot write "):
            path = problem.removeprefix("cannot write ").partition(": ")[0]
            users = tuple(program.name for program in facts.programs if path in program.logs)
            yield Note(f"log {path}", "cannot be written", (problem,), f"ls -ld {path}; df {path}", users)


def _since(view: ProcessView, now: float) -> str:
    seconds = now - view.changed_at if view.changed_at else 0.0
    return f", for {seconds / 3600:.1f} hours" if seconds > 3600 else ""
