"""An event as a sentence, for people: the page, `events`, the terminal of `up`. Each kind has words here; what of an
event is worth telling somebody who does not watch is alarms.py's matter.

A fact that is missing leaves a shorter sentence: events of a former version are read, too."""

from __future__ import annotations

from collections.abc import Callable

from queuepool.domain.amounts import count, size, times
from queuepool.domain.events import Event, Kind

MOST_NAMES = 10
"""So many programs are named in a sentence."""

DONE = {"write": "written", "rotate": "rotated", "compress": "compressed"}
"""What can be done to a log, and was."""

Facts = dict[str, str | int | float | bool]


def sentence(event: Event) -> str:
    """One line, without a full stop."""
    facts = {key: value for key, value in event.fields.items() if value is not None}
    words = WORDS[event.kind]
    if isinstance(words, str):
        text = words.format_map(_Known(facts, subject=event.subject or "the daemon"))
    else:
        text = words(event.subject or "the daemon", facts)
    return " ".join(text.split()).removesuffix(":") or event.kind.value.replace("_", " ")


class _Known(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""


def _started(subject: str, facts: Facts) -> str:
    verb = "takes over" if facts.get("upgraded") else "runs"
    pid = f", pid {facts['pid']}" if "pid" in facts else ""
    return f"queuepool {facts.get('version', '')} {verb} {facts.get('file', 'its file')}{pid}"


def _upgrading(subject: str, facts: Facts) -> str:
    was, now = facts.get("was", ""), facts.get("now", "")
    return f"the daemon loads its code anew: version {now}" + (f" in place of {was}" if was != now else "")


def _applied(subject: str, facts: Facts) -> str:
    if "problem" in facts:
        return f"the file has a problem: {facts['problem']}"
    changes = [f"{what} {_some(str(facts[what]))}" for what in ("added", "changed", "removed") if what in facts]
    if problems := int(facts.get("problems", 0)):
        changes.append(count(problems, "problem"))
    return f"{facts.get('file', 'the file')} is in force: {'; '.join(changes) or 'nothing changed'}"


def _refused_file(subject: str, facts: Facts) -> str:
    return f"not applied: {facts.get('reason', 'the file has problems')}"


def _asked(subject: str, facts: Facts) -> str:
    names = f" of {facts['names']}" if "names" in facts else ""
    return f"{_who(facts)} asked for {facts.get('asked', 'something')}{names}"


def _defect(subject: str, facts: Facts) -> str:
    what = f": {facts['defect']}" if "defect" in facts else ""
    return f"queuepool met a defect of its own and goes on{what}; its traceback is in the daemon's log"


def _refused(subject: str, facts: Facts) -> str:
    more = int(facts.get("unwritten", 0))
    said = f"refused to {_who(facts)}: {facts.get('asked', '')}: {facts.get('reason', '')}".rstrip(": ")
    return said + (f"; {more} before it not written down" if more else "")


def _who(facts: Facts) -> str:
    """`ann (10.0.3.7, basic)`; nobody is named where a signal asked. Whoever has the socket is here."""
    by = "" if facts.get("by") == "socket" else facts.get("by", "")
    whence = ", ".join(str(each) for each in (facts.get("from", ""), by) if each)
    return f"{facts.get('who') or 'somebody'}" + (f" ({whence})" if whence else "")


def _fatal(subject: str, facts: Facts) -> str:
    failures = int(facts.get("failures", 0))
    return f"{subject} is FATAL" + (f", it failed {times(failures)}" if failures else "") + _why(facts)


def _stopped(subject: str, facts: Facts) -> str:
    return f"{subject} stopped" + ("" if facts.get("reason") == "stopped" else _why(facts))


def _killed(subject: str, facts: Facts) -> str:
    why = str(facts.get("reason", "killed"))
    return f"{subject} was {why}" if why.startswith("killed") else f"{subject} was killed: {why}"


def _scaled(subject: str, facts: Facts) -> str:
    says = f" (the file says {facts['numprocs']})" if facts.get("numprocs") not in (None, facts.get("wanted")) else ""
    return f"{subject} is scaled from {facts.get('was', '?')} to {facts.get('wanted', '?')}{says}"


def _unwritten(subject: str, facts: Facts) -> str:
    return f"cannot {facts.get('doing', 'write')} {facts.get('file', 'the log')}{_why(facts)}"


def _written_again(subject: str, facts: Facts) -> str:
    lost = int(facts.get("dropped", 0))
    done = DONE[str(facts.get("doing", "write"))]
    return f"{facts.get('file', 'the log')} is {done} again" + (f"; {size(lost)} were lost" if lost else "")


def _deploy_begins(subject: str, facts: Facts) -> str:
    return f"deploy {facts.get('deploy', '')} begins: {_some(str(facts.get('programs', '')))}"


def _deploy(subject: str, facts: Facts) -> str:
    from queuepool.domain.rollout import PHASES

    phase = PHASES.get(facts.get("phase", ""), facts.get("phase", ""))  # type: ignore[call-overload]
    said = f"deploy {facts.get('deploy', '')}"
    return f"{said} goes on where the former daemon left it: {phase}" if facts.get("resumed") else f"{said}: {phase}"


def _deployed(subject: str, facts: Facts) -> str:
    took = f" after {facts['seconds']} s" if "seconds" in facts else ""
    return f"deploy {facts.get('deploy', '')}: {str(facts.get('result', 'ended')).replace('_', ' ')}{took}{_why(facts)}"


def _left(subject: str, facts: Facts) -> str:
    later = "" if "retry_after" in str(facts.get("reason", "")) else "; it runs again after retry_after"
    return f"{subject} died in {facts.get('job', 'a job')}{_why(facts)}{later}"


def _dropped(subject: str, facts: Facts) -> str:
    dropped = int(facts.get("dropped", 1))
    return (
        f"{subject} dropped its {'oldest event' if dropped == 1 else f'{dropped} oldest events'}: buffer_size is "
        f"{facts.get('buffer_size', 'too small')}, and no listener took {'it' if dropped == 1 else 'them'} in time"
    )


def _undelivered(subject: str, facts: Facts) -> str:
    lost = f"; lost: {facts['lost']}" if "lost" in facts else ""
    return f"cannot deliver notifications to {facts.get('target', '')}{_why(facts)}{lost}"


def _some(names: str) -> str:
    """The first of many names, and how many more there are."""
    found = names.split()
    return ", ".join(found[:MOST_NAMES]) + (f" and {len(found) - MOST_NAMES} more" if len(found) > MOST_NAMES else "")


def _why(facts: Facts) -> str:
    return f": {facts['reason']}" if facts.get("reason") else ""


WORDS: dict[Kind, str | Callable[[str, Facts], str]] = {
    Kind.DAEMON_STARTED: _started,
    Kind.DAEMON_STOPPING: "the daemon ends when running jobs are done",
    Kind.DAEMON_UPGRADING: _upgrading,
    Kind.CONFIG_APPLIED: _applied,
    Kind.CONFIG_REFUSED: _refused_file,
    Kind.OPERATION: _asked,
    Kind.DEFECT: _defect,
    Kind.REFUSED: _refused,
    Kind.LISTENING: "listening at {address}",
    Kind.STARTED: "{subject} started, pid {pid}",
    Kind.ADOPTED: "{subject} was found running, pid {pid}",
    Kind.RUNNING: "{subject} is running",
    Kind.EXITED: "{subject} ended: {reason}",
    Kind.RECYCLED: "{subject} was recycled: {reason}",
    Kind.BACKOFF: "{subject} is tried again in {seconds} s",
    Kind.FATAL: _fatal,
    Kind.SPAWN_FAILED: "{subject} could not be started: {reason}",
    Kind.STOPPING: "{subject} is asked to stop: {reason}",
    Kind.STOPPED: _stopped,
    Kind.KILLED: _killed,
    Kind.PAUSED: "{subject} is paused: it takes no more jobs",
    Kind.CONTINUED: "{subject} takes jobs again",
    Kind.WAITING: "waiting: {reason}",
    Kind.RESUMED: "going on: {reason} after {seconds} s",
    Kind.SCALED: _scaled,
    Kind.LOG_TROUBLE: _unwritten,
    Kind.LOG_WELL: _written_again,
    Kind.STATE_TROUBLE: "{reason}",
    Kind.STATE_WELL: "{file} is saved again",
    Kind.SUPERVISORD_TROUBLE: "{reason}",
    Kind.SUPERVISORD_WELL: "supervisord can be worked with again after {seconds} s",
    Kind.LIMIT: "{subject} is recycled: {reason}",
    Kind.DEPLOY_STARTED: _deploy_begins,
    Kind.DEPLOY: _deploy,
    Kind.DEPLOY_ENDED: _deployed,
    Kind.REQUEUED: "{subject} died in {job}: the job is back on {queue}",
    Kind.JOB_LEFT: _left,
    Kind.REDIS_TROUBLE: "{reason}",
    Kind.REDIS_WELL: "{reason}",
    Kind.LISTENER: "{subject}: {reason}",
    Kind.EVENTS_DROPPED: _dropped,
    Kind.NOTIFIED: "told {target}: {notice}",
    Kind.NOTIFY_TROUBLE: _undelivered,
    Kind.NOTIFY_WELL: "notifications reach {target} again after {seconds} s",
}
