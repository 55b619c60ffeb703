"""What can happen, as values: the vocabulary of the journal. Keeping and delivering them is controller/journal.py's."""

from __future__ import annotations

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


def _quoted(value: object) -> str:
    text = str(value)
    if text and not any(c.isspace() or c in '"=' for c in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
