"""What is told of an alarm, in words: what, why as far as is known, what to do, since when. When it is told is
alarms.py's; how it looks on a screen formats/notices.py's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from queuepool.domain.alarm import Alarm, Limits, Sight
from queuepool.domain.deaths import explain
from queuepool.domain.eventwords import DONE
from queuepool.domain.exits import OOM
from queuepool.domain.notices import (
    LONGEST_TITLE,
    About,
    Notice,
    Phase,
    Severity,
    last,
    paragraph,
    plain,
    span,
)
from queuepool.domain.queues import QueueView


def tell(alarm: Alarm, phase: Phase, id_: str, now: float, limits: Limits, sight: Sight | None) -> Notice:
    """The notice of an alarm. sight: the program it is about, as it is now; None: it is about none, or it is gone."""
    programs = alarm.programs or ((alarm.subject,) if alarm.about in _OF_PROGRAMS else ())
    notice = Notice(
        id=id_,
        key=alarm.key,
        about=alarm.about,
        phase=phase,
        severity=Severity.INFO if phase is Phase.RECOVERED else Severity.ERROR,
        time=now,
        since=alarm.since,
        title="",
        programs=programs,
        closes=alarm.closes if phase is Phase.RECOVERED else (),
        command=f"queuepool status {programs[0]}" if programs else "queuepool status",
    )
    words = _RECOVERED if phase is Phase.RECOVERED else _RAISED
    found = words[alarm.about](alarm, notice, limits, sight)
    if phase is Phase.REMINDER:
        found = replace(found, title=f"still, since {span(now - alarm.since)}: {found.title}")
    return replace(found, title=plain(found.title, LONGEST_TITLE), text=paragraph(found.text), lines=last(found.lines))


def waiting(view: QueueView, seconds: float, aim: float) -> str:
    """A queue in which jobs wait longer than they should."""
    there = f", {view.ready} ready" if view.ready is not None else ""
    many = "1 worker" if view.workers == 1 else f"{view.workers} workers"
    busy = f", {many} ({view.busy} busy)" if view.workers is not None else ""
    return f"jobs wait {span(seconds)}, more than {span(aim)}{there}{busy}"


# --- something is wrong -----------------------------------------------------------------------------------------------


def _fatal(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    count, name = len(alarm.members), alarm.subject
    whole = max(count, sight.wanted if sight else 0)
    running = sight.running if sight else 0
    which = f": {', '.join(alarm.members)}" if 0 < count <= 3 < whole else ""
    rest = "" if count == whole else f", {running} run{'s' if running == 1 else ''}" if running else ", none runs"
    title = f"{name}: {count} of {whole} processes FATAL{rest}" if whole > 1 else f"{name} is FATAL"
    others = f"{running} of {whole} run; FATAL{which}." if which else ""
    notice = replace(notice, title=title, facts={"fatal": count, "wanted": whole, "running": running})
    return _why(alarm, notice, sight, others)


def _crash_loop(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    title = f"{alarm.subject}: {alarm.total} crashes in {span(max(1.0, notice.time - alarm.since))}"
    state = f"{sight.running} of {sight.wanted} run." if sight else ""
    facts: dict[str, str | int | float | None] = {"crashes": alarm.total, "processes": len(alarm.members)}
    if sight:
        facts |= {"wanted": sight.wanted, "running": sight.running}
    return _why(alarm, replace(notice, title=title, facts=facts), sight, state)


def _memory(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    count = "1 process was" if alarm.total == 1 else f"{alarm.total} processes were"
    reasons = [why for why in alarm.members.values() if why]
    how = (
        next((words for words in (OOM, "killed (SIGKILL)") if all(why.startswith(words) for why in reasons)), "")
        if reasons
        else ""
    )
    notice = replace(
        notice,
        title=f"{alarm.subject}: {count} {how or 'killed or out of memory'}",
        severity=Severity.WARNING,
        facts={"times": alarm.total},
    )
    told = _why(alarm, notice, None, f"{_some(alarm)}.")
    return replace(told, title=notice.title) if how else told  # it says enough; the rest is in the text


def _memory_limit(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    times = "once" if alarm.total == 1 else f"{alarm.total} times"
    return replace(
        notice,
        title=f"{alarm.subject}: restarted above its memory_limit {times}",
        text=f"{_some(alarm)}: {_commonest(alarm)}.",
        severity=Severity.INFO,
        facts={"times": alarm.total},
    )


def _wait(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    return replace(
        notice,
        title=f"{alarm.subject}: {_commonest(alarm)}",
        text=f"Served by {', '.join(notice.programs)}." if notice.programs else "",
        severity=Severity.WARNING,
        command=f"queuepool queues {alarm.subject}",
        facts={"queue": alarm.subject},
    )


def _redis(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    return replace(
        notice,
        title=_commonest(alarm) or f"redis at {alarm.subject} cannot be used",
        text="Workers that need it wait, and go on by themselves when it is back.",
        command="queuepool redis",
        facts={"redis": alarm.subject},
    )


def _supervisord(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    return replace(
        notice,
        title=_commonest(alarm) or "supervisord cannot be worked with",
        text="Its processes may run on, but nobody starts them again, and nothing can be changed until it is back.",
        command="queuepool doctor",
    )


def _log(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    doing, _, file = alarm.subject.partition(" ")
    return replace(
        notice,
        title=f"cannot {alarm.subject}: {_commonest(alarm)}",
        text="Lines are lost until it can be written again." if doing == "write" else "Nothing is lost; it takes room.",
        severity=Severity.WARNING,
        command="queuepool doctor",
        facts={"file": file},
    )


def _deploy(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    result, why = next(iter(alarm.members.items()), ("", ""))
    title = _RESULTS.get(result, f"ended: {result}")
    well = result in ("done", "again")
    return replace(
        notice,
        title=f"deploy {alarm.subject} {title}" + (f": {why}" if why else ""),
        severity=Severity.INFO if well else Severity.WARNING if result == "aborted" else Severity.ERROR,
        command="queuepool deploy --status",
        facts={"deploy": alarm.subject, "result": "done" if well else result},
    )


_RESULTS = {
    "done": "is done",
    "again": "is done, after one that failed",
    "rolled_back": "failed and was rolled back",
    "timed_out": "took too long and was rolled back",
    "aborted": "was given up and rolled back",
    "failed": "failed and could not be rolled back",
}


def _daemon(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    if alarm.key == "daemon:defect":
        what = next(iter(alarm.members), "")
        return replace(
            notice,
            title=f"queuepool met a defect of its own: {what}",
            text=f"{alarm.total} times. It goes on; please report it." if alarm.total > 1 else "It goes on.",
            severity=Severity.WARNING,
            command="queuepool events",
            facts={"times": alarm.total},
        )
    if alarm.key.startswith("daemon:state:"):
        what = next(iter(alarm.members), "a file of the daemon's own cannot be used")
        return replace(notice, title=what, severity=Severity.WARNING, command="queuepool doctor")
    found = len(alarm.members)
    kept = "1 process went on without it" if found == 1 else f"{found} processes went on without it"
    return replace(
        notice,
        title="the daemon had died and runs again",
        text=f"It had not been told to end; {kept if found else 'no process of it was left'}.",
        severity=Severity.WARNING,
        command="queuepool events",
        facts={"adopted": found},
    )


def _config(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    count = len(alarm.members)
    more = f" (and {count - 1} more)" if count > 1 else ""
    text = "The settings that were in force stay in force." if alarm.ends else ""
    return replace(
        notice,
        title=next(iter(alarm.members), "the file was refused") + more,
        text=text,
        lines=tuple(alarm.members),
        severity=Severity.WARNING,
        command="queuepool config check",
        facts={"problems": count},
    )


def _why(alarm: Alarm, notice: Notice, sight: Sight | None, before: str) -> Notice:
    """With what is known of the cause, and what mends it."""
    reason, lines = _commonest(alarm), ()
    code = -9 if reason.startswith("killed") else None
    if sight is not None and sight.reason and sight.down:
        reason, lines, code = sight.reason, sight.lines, sight.code  # type: ignore[assignment]
    death = explain(alarm.subject, code, reason, lines)
    said = [before, f"Why: {plain(death.what, 500)}"] if death.what else [before]
    if death.remedy and death.remedy not in reason:
        said.append(f"Try: {plain(death.remedy, 500)}")
    title = f"{notice.title}: {plain(death.what, 80)}" if death.what else notice.title
    return replace(notice, title=title, text="\n".join(part for part in said if part), lines=lines)


def _commonest(alarm: Alarm) -> str:
    """What most of the processes said."""
    said = Counter(reason for reason in alarm.members.values() if reason)
    return said.most_common(1)[0][0] if said else ""


def _some(alarm: Alarm) -> str:
    names = list(alarm.members)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# --- it is over -------------------------------------------------------------------------------------------------------


def _lasted(alarm: Alarm, notice: Notice) -> str:
    return span((notice.time if alarm.good is None else alarm.good) - alarm.since)


def _runs_again(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    facts: dict[str, str | int | float | None] = {}
    if sight is None:
        title = f"{alarm.subject} is no longer in the file"
    elif not sight.wanted:
        title = f"{alarm.subject} is stopped"
    else:
        title = f"{alarm.subject} runs again after {_lasted(alarm, notice)}"
        facts = {"wanted": sight.wanted, "running": sight.running}
    text = f"{sight.running} of {sight.wanted} run." if sight and sight.wanted > 1 else ""
    return replace(notice, title=title, text=text, facts=facts)


def _log_well(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
    doing, _, file = alarm.subject.partition(" ")
    return replace(notice, title=f"{file} is {DONE[doing]} again after {_lasted(alarm, notice)}")


def _over(words: str) -> Callable[[Alarm, Notice, Limits, Sight | None], Notice]:
    def told(alarm: Alarm, notice: Notice, limits: Limits, sight: Sight | None) -> Notice:
        return replace(notice, title=words.format(alarm.subject, _lasted(alarm, notice)))

    return told


_OF_PROGRAMS = frozenset({About.FATAL, About.CRASH_LOOP, About.MEMORY, About.MEMORY_LIMIT})

_RAISED = {
    About.FATAL: _fatal,
    About.CRASH_LOOP: _crash_loop,
    About.MEMORY: _memory,
    About.MEMORY_LIMIT: _memory_limit,
    About.WAIT: _wait,
    About.REDIS: _redis,
    About.LOG: _log,
    About.SUPERVISORD: _supervisord,
    About.DEPLOY: _deploy,
    About.DEPLOYED: _deploy,
    About.DAEMON: _daemon,
    About.CONFIG: _config,
}

_RECOVERED = {
    About.FATAL: _runs_again,
    About.CRASH_LOOP: _runs_again,
    About.WAIT: _over("{}: jobs wait no longer than they should, after {}"),
    About.REDIS: _over("redis at {} answers again after {}"),
    About.SUPERVISORD: _over("supervisord can be worked with again after {1}"),
    About.LOG: _log_well,
    About.CONFIG: _over("the file is in force again after {1}"),
}
