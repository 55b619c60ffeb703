"""Others that start workers of the same application. PURE."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import some
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.managers import SCHEDULE, WORK, OtherEntry, OtherProcess, OthersFacts
from queuepool.doctor.finding import Note, Severity

CHECKS = Checks("managers", needs=("running",))


def _others(facts: Facts) -> tuple[OthersFacts, ...]:
    return facts.running.others if facts.running else ()


@CHECKS.add("supervisord", Severity.WARNING, "supervisord runs nothing of this application")
def supervisord(facts: Facts) -> Iterator[Note]:
    """supervisord still has a program for the same application. Its workers take jobs from the same queues: there are
    more of them than the file says, they are not restarted by `queuepool deploy`, so they go on with old code, and a
    `queue:restart` of one manager ends the other's too. With a scheduler or a Horizon in both, each task is done twice.
    `queuepool import supervisor` carries such a program over, with its options."""
    for others in _others(facts):
        entries, processes = _of(others, "supervisord")
        if entries or processes:
            running = bool(processes) or any(entry.active for entry in entries)
            names = [entry.name for entry in entries]
            files = list(dict.fromkeys(entry.where.rpartition(":")[0] for entry in entries))
            stop = f"supervisorctl stop {' '.join(shlex.quote(f'{name}:*') for name in names)}; " if running else ""
            yield _note(
                others,
                f"is run by supervisord as well{_named(names)}"
                if running
                else f"has a program in supervisord's files as well{_named(names)}",
                entries,
                processes,
                f"{stop}remove {_sections(names)} from {' and '.join(files)}, then supervisorctl update"
                if entries
                else f"find the program: {processes[0].by}, then supervisorctl stop it",
            )


@CHECKS.add("systemd", Severity.WARNING, "No systemd unit runs a worker of this application")
def systemd(facts: Facts) -> Iterator[Note]:
    """A systemd unit, of the system or of this user, runs artisan's worker, Horizon or scheduler for the same
    application. What that means is said at managers.supervisord. Units that queuepool wrote do not count, and neither
    does a unit that is disabled and does not run."""
    for others in _others(facts):
        entries, processes = _of(others, "systemd")
        entries = [entry for entry in entries if entry.active or any(entry.name == each.by for each in processes)]
        names = list(dict.fromkeys([*(entry.name for entry in entries), *(each.by for each in processes if each.by)]))
        if names:
            user = any("/systemd/user/" in entry.where for entry in entries)
            yield _note(
                others,
                f"is run by systemd as well{_named(names)}",
                entries,
                processes,
                f"systemctl {'--user ' if user else ''}disable --now {' '.join(map(shlex.quote, names))}",
            )


@CHECKS.add("cron", Severity.WARNING, "cron starts nothing that a program of the file does")
def cron(facts: Facts) -> Iterator[Note]:
    """A crontab starts `queue:work` or Horizon, so that workers come up which queuepool knows nothing of; or it runs
    `schedule:run` each minute while a program of the file runs `schedule:work`: then every scheduled task is done
    twice, mails and invoices too, except for those with onOneServer(). Laravel's schedule:work is meant to stand in
    place of the crontab's line."""
    for others in _others(facts):
        entries, processes = _of(others, "cron")
        work = [entry for entry in entries if entry.what == WORK]
        double = [entry for entry in entries if entry.what == SCHEDULE] if others.schedules else []
        started = [each for each in processes if each.what == WORK]
        if double:
            lines = some([f"{entry.where}: {entry.command}" for entry in double])
            yield Note(
                others.subject,
                f"is scheduled twice: by cron, and by schedule:work in {', '.join(others.schedules)}",
                lines,
                f"remove the line {double[0].where} (`crontab -e` of its user)",
                others.schedules,
                Severity.ERROR,
            )
        if work or started:
            where = work[0].where if work else "with artisan from the crontab"
            yield _note(
                others,
                "has workers that cron starts",
                work,
                started,
                f"remove the line {where} (`crontab -e` of its user)",
            )


@CHECKS.add(
    "by_hand", Severity.WARNING, "No worker of this application was started by hand", unless=("horizon.two_masters",)
)
def by_hand(facts: Facts) -> Iterator[Note]:
    """Somebody runs `artisan queue:work`, `queue:listen` or `horizon` in a terminal, a screen or a script. Such a
    worker takes jobs like any other, with the code it was started with and often as another user, whose files the
    other workers then cannot write."""
    for others in _others(facts):
        found = [each for each in others.processes if each.manager == "hand"]
        if found:
            count = "a process that was" if len(found) == 1 else f"{len(found)} processes that were"
            yield _note(others, f"has {count} started by hand", [], found, _kill(found))


@CHECKS.add(
    "orphans", Severity.WARNING, "No worker of this application was left behind", unless=("horizon.two_masters",)
)
def orphans(facts: Facts) -> Iterator[Note]:
    """A worker whose parent is gone: of a supervisor that was killed, of a Horizon master that died, of a terminal that
    was closed. Nobody restarts it after a deploy, nobody stops it, and its old code goes on taking jobs. This daemon
    did not start it: its own are adopted. SIGTERM lets it finish the job it has."""
    for others in _others(facts):
        found = [each for each in others.processes if each.manager == "init"]
        if found:
            count = "a worker" if len(found) == 1 else f"{len(found)} workers"
            yield _note(others, f"has {count} that nobody looks after", [], found, _kill(found))


@CHECKS.add("second_daemon", Severity.ERROR, "One queuepool runs this application")
def second_daemon(facts: Facts) -> Iterator[Note]:
    """Another queuepool daemon, with another file or another run directory, runs processes of the same application.
    Each brings its own count of workers and its own scheduler or Horizon, each deploy reaches only its own, and neither
    knows of the other: a daemon is known by its file."""
    for others in _others(facts):
        found = [each for each in others.processes if each.manager == "queuepool"]
        if found:
            files = list(dict.fromkeys(each.config for each in found if each.config))
            down = f"queuepool -c {shlex.quote(files[0])} down" if files else f"kill -TERM {found[0].by_pid}"
            named = f" with the file {files[0]}" if files else ""
            yield _note(others, f"is run by a second queuepool daemon{named}", [], found, f"{down}   (one of the two)")


def _of(others: OthersFacts, manager: str) -> tuple[list[OtherEntry], list[OtherProcess]]:
    entries = [entry for entry in others.entries if entry.manager == manager]
    return entries, [each for each in others.processes if each.manager == manager]


def _note(
    others: OthersFacts, what: str, entries: list[OtherEntry], processes: list[OtherProcess], remedy: str
) -> Note:
    lines = [f"{entry.where}: {entry.command}" for entry in entries]
    lines += map(_shown, processes)
    return Note(others.subject, what, some(lines), remedy, others.programs)


def _shown(process: OtherProcess) -> str:
    user = f" of {process.user}" if process.user else ""
    by = f" (under {process.by})" if process.by else ""
    return f"pid {process.pid}{user}{by}: {process.command}"


def _named(names: list[str]) -> str:
    return f": {', '.join(names)}" if names else ""


def _sections(names: list[str]) -> str:
    return ", ".join(f"[program:{name}]" for name in names) or "its program"


def _kill(found: list[OtherProcess]) -> str:
    return f"kill -TERM {' '.join(str(each.pid) for each in found[:20])}   (they finish the job they have)"
