"""What people are told of by notifications, as values. When something is worth a notice is alarms.py's, in which words
noticewords.py's, what becomes of it on its way to a target outbox.py's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class About(StrEnum):
    """What a notice is about; `on:` of the file lists these."""

    FATAL = "fatal"
    CRASH_LOOP = "crash_loop"
    MEMORY = "memory"
    MEMORY_LIMIT = "memory_limit"
    WAIT = "wait"
    REDIS = "redis"
    LOG = "log"
    SUPERVISORD = "supervisord"
    DEPLOY = "deploy"
    DEPLOYED = "deployed"
    DAEMON = "daemon"
    CONFIG = "config"
    TEST = "test"
    HELD = "held"


MEANING: dict[About, str] = {
    About.FATAL: "processes are given up (FATAL)",
    About.CRASH_LOOP: "processes of a program crash again and again",
    About.MEMORY: "processes were killed, or ended for lack of memory",
    About.MEMORY_LIMIT: "processes are restarted above their `memory_limit`",
    About.WAIT: "jobs wait longer than `wait_above`",
    About.REDIS: "a Redis that workers need does not answer, or cannot be read",
    About.SUPERVISORD: "the supervisord of `engine: supervisord` does not answer, or cannot be worked with",
    About.LOG: "a log cannot be written",
    About.DEPLOY: "a deploy failed, or is the first that succeeds again",
    About.DEPLOYED: "a deploy succeeded",
    About.DAEMON: "the daemon had died, met a defect, or cannot use a file of its own",
    About.CONFIG: "the file was refused",
}
"""What may be asked for, in words."""

NOISY = frozenset({About.DEPLOYED, About.MEMORY_LIMIT})
"""What happens in the ordinary course of things, and is told only where it is asked for."""

DEFAULT = frozenset(MEANING) - NOISY


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Phase(StrEnum):
    """raised: something is wrong from now on. reminder: it still is. recovered: it is over. happened: there is no
    state to it."""

    RAISED = "raised"
    REMINDER = "reminder"
    RECOVERED = "recovered"
    HAPPENED = "happened"


@dataclass(frozen=True, slots=True)
class Held:
    """What a target was not told, since it had been told too much. count: notices. since: unix seconds of the first.
    titles: of some. lost: notices that could not be delivered and were given up."""

    count: int = 0
    since: float = 0.0
    titles: tuple[str, ...] = ()
    lost: int = 0

    def __bool__(self) -> bool:
        return bool(self.count or self.lost)


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell, as a webhook or a command gets it: fields may be added, never renamed.

    id: unique for ever; the same when it is sent again. key: what it is about, `fatal:laravel-worker`; after raised,
    no other raised comes with the same key before recovered. about, phase, severity: words of these sets (About, Phase,
    Severity). time, since: unix seconds of the notice, and of the beginning of what it tells. title: a line. text:
    what is known, and what mends it. lines: what a process printed last. command: what to type to see more. programs:
    those it concerns; none: the daemon. facts: numbers and names that stand in the text as well.
    host, config: of the daemon. held: what was not told before this. closes: further keys that are over with this one.
    """

    id: str
    key: str
    about: About
    phase: Phase
    severity: Severity
    time: float
    since: float
    title: str
    text: str = ""
    lines: tuple[str, ...] = ()
    command: str = ""
    programs: tuple[str, ...] = ()
    facts: Mapping[str, str | int | float | None] = field(default_factory=dict)
    host: str = ""
    config: str = ""
    held: Held = NOTHING
    closes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that webhooks and commands get."""
        return asdict(self)


_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

LONGEST_TITLE = 200
LONGEST_TEXT = 1500
LONGEST_LINE = 300
MOST_LINES = 10


def paragraph(text: str) -> str:
    """As `plain`, of several lines."""
    return "\n".join(line for part in text.split("\n") if (line := plain(part)))[:LONGEST_TEXT]


def plain(text: str, most: int = LONGEST_TEXT) -> str:
    """One line without control characters, of `most` characters at most. What goes out may have been printed by
    anybody: a terminal must not obey it, and no header be added to an e-mail."""
    text = _COLOUR.sub("", text[: 4 * most])
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def last(lines: Iterable[str]) -> tuple[str, ...]:
    """The last lines that hold anything, each made plain."""
    found = [text for line in lines if (text := plain(line, LONGEST_LINE))]
    return tuple(found[-MOST_LINES:])


def span(seconds: float) -> str:
    """A time for a sentence: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    left = max(0, round(seconds))
    for (name, size), (less, part) in (
        (("d", 86400), ("h", 3600)),
        (("h", 3600), ("min", 60)),
        (("min", 60), ("s", 1)),
    ):
        if left >= size:
            rest = left % size // part
            return f"{left // size} {name}" + (f" {rest} {less}" if rest else "")
    return f"{left} s"
