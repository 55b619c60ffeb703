"""What can happen, as values: the vocabulary of the journal. Keeping and delivering them is controller/journal.py's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Every kind of event."""

    DAEMON_STARTED = "daemon_started"
    DAEMON_STOPPING = "daemon_stopping"
    DAEMON_UPGRADING = "daemon_upgrading"
    CONFIG_APPLIED = "config_applied"
    CONFIG_REFUSED = "config_refused"
    OPERATION = "operation"
    REFUSED = "refused"
    LISTENING = "listening"
    STARTED = "started"
    ADOPTED = "adopted"
    RUNNING = "running"
    EXITED = "exited"
    RECYCLED = "recycled"
    BACKOFF = "backoff"
    FATAL = "fatal"
    SPAWN_FAILED = "spawn_failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    KILLED = "killed"
    PAUSED = "paused"
    CONTINUED = "continued"
    WAITING = "waiting"
    RESUMED = "resumed"
    SCALED = "scaled"
    LOG_TROUBLE = "log_trouble"
    LOG_WELL = "log_well"
    LIMIT = "limit"
    DEPLOY_STARTED = "deploy_started"
    DEPLOY = "deploy"
    DEPLOY_ENDED = "deploy_ended"
    REQUEUED = "requeued"
    JOB_LEFT = "job_left"
    REDIS_TROUBLE = "redis_trouble"
    REDIS_WELL = "redis_well"
    SUPERVISORD_TROUBLE = "supervisord_trouble"
    SUPERVISORD_WELL = "supervisord_well"
    LISTENER = "listener"
    EVENTS_DROPPED = "events_dropped"
    NOTIFIED = "notified"
    NOTIFY_TROUBLE = "notify_trouble"
    NOTIFY_WELL = "notify_well"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. time: unix seconds. subject: `default:3`, a program, or "" for the daemon. seq: its
    number in this daemon's life, from 1. fields: further facts as plain values, never a secret."""

    time: float
    kind: Kind
    subject: str = ""
    fields: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    seq: int = 0

    def line(self) -> str:
        """`event=exited process=default:3 code=1`, values with blanks quoted."""
        parts = [f"event={self.kind.value}"]
        if self.subject:
            parts.append(f"process={self.subject}")
        parts += [f"{key}={_quoted(value)}" for key, value in self.fields.items() if value is not None]
        return " ".join(parts)

    def sentence(self) -> str:
        """The event for a person who watches: `default:3 exited: exit 1: no such table`."""
        words = _WORDS.get(self.kind)
        if words is None:
            return self.line()
        fields = {key: value for key, value in self.fields.items() if value is not None}
        text = words.format_map(_Known(subject=self.subject or "the daemon", **fields))
        return text.removesuffix(": ").rstrip()


class _Known(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""


_WORDS = {
    Kind.DAEMON_STARTED: "queuepool {version} runs {file}, pid {pid}; Ctrl-C ends it when running jobs are done",
    Kind.DAEMON_STOPPING: "stopping: waiting for running jobs; again to end them",
    Kind.REFUSED: "refused: {asked} of {who} from {from}: {reason}",
    Kind.LISTENING: "listening at {address}",
    Kind.STARTED: "{subject} started, pid {pid}",
    Kind.ADOPTED: "{subject} was found running, pid {pid}",
    Kind.RUNNING: "{subject} is running",
    Kind.EXITED: "{subject} ended: {reason}",
    Kind.RECYCLED: "{subject} was recycled: {reason}",
    Kind.BACKOFF: "{subject} is tried again in {seconds} s",
    Kind.FATAL: "{subject} failed {failures} times: {reason}",
    Kind.SPAWN_FAILED: "{subject} could not be started: {reason}",
    Kind.STOPPING: "{subject} is asked to stop: {reason}",
    Kind.STOPPED: "{subject} stopped: {reason}",
    Kind.KILLED: "{subject} was killed, since it had not ended in time",
    Kind.WAITING: "waiting: {reason}",
    Kind.RESUMED: "going on: {reason} after {seconds} s",
    Kind.SCALED: "{subject} is scaled from {was} to {wanted}",
    Kind.LOG_TROUBLE: "cannot write {file}: {reason}",
    Kind.LOG_WELL: "{file} is written again",
    Kind.DEPLOY_STARTED: "deploy {deploy} begins: {programs}",
    Kind.DEPLOY: "deploy {deploy}: {phase}",
    Kind.DEPLOY_ENDED: "deploy {deploy}: {result}: {reason}",
    Kind.REQUEUED: "{subject} died in {job}: the job is back on {queue}",
    Kind.JOB_LEFT: "{subject} died in {job}, which runs again after retry_after: {reason}",
    Kind.REDIS_TROUBLE: "{reason}",
    Kind.REDIS_WELL: "{reason}",
    Kind.SUPERVISORD_TROUBLE: "{reason}",
    Kind.SUPERVISORD_WELL: "supervisord can be worked with again after {seconds} s",
    Kind.LISTENER: "{subject}: {reason}",
    Kind.EVENTS_DROPPED: "{subject} dropped its oldest events ({dropped}): buffer_size is {buffer_size}, and no "
    "listener took them in time",
    Kind.NOTIFIED: "told {target}: {notice}",
    Kind.NOTIFY_TROUBLE: "cannot deliver notifications to {target}: {reason}",
    Kind.NOTIFY_WELL: "notifications reach {target} again after {seconds} s",
}


_PLAIN = re.compile(r'[^\s"=]+').fullmatch


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
