"""What can happen, as values: the vocabulary of the journal. Its words for people are eventwords.py's, keeping and
delivering controller/journal.py's."""

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
    DEFECT = "defect"
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
    STATE_TROUBLE = "state_trouble"
    STATE_WELL = "state_well"
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
        """The event for a person who watches: `default:3 ended: exit 1: no such table`."""
        from queuepool.domain.eventwords import sentence  # the daemon starts without it

        return sentence(self)


_PLAIN = re.compile(r'[^\s"=]+').fullmatch


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
