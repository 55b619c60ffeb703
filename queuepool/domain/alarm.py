"""What alarms are made of, as values. When one is raised, and when it is over, is alarms.py's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.domain.notices import About


@dataclass(frozen=True, slots=True)
class Sight:
    """A program as it is now. wanted, running: processes. down: names of those that should run and do not. code,
    reason, lines: how one of these ended last, and what it printed then."""

    wanted: int = 0
    running: int = 0
    down: frozenset[str] = frozenset()
    code: int | None = None
    reason: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """gather: seconds that are waited for more of the same. calm: seconds that all must be well before that is told.
    remind: seconds between reminders; 0: none. crashes, within: so many crashes in so many seconds are a crash
    loop. waits: program -> seconds that its jobs may wait; "" stands for all others; absent: not looked at."""

    gather: float = 2.0
    calm: float = 15.0
    remind: float = 4 * 3600.0
    crashes: int = 5
    within: float = 60.0
    waits: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Alarm:
    """Something that is wrong, or happened. members: who says so, and in which words. since: the first of them. told:
    when it was said last; None: not yet. due: when to look at it again. good: since when all is well. raised: when it
    was said first. total: how many times in all. ends: whether there is an end to it. programs: those it concerns,
    where they are not the subject. closes: keys of what was told before, has become this, and is over with it."""

    key: str
    about: About
    subject: str
    since: float
    due: float
    members: dict[str, str] = field(default_factory=dict)
    told: float | None = None
    good: float | None = None
    total: int = 0
    ends: bool = True
    programs: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()


@dataclass(slots=True)
class Memory:
    """All that outlives a daemon. up: it runs, and was not told to stop. serial: of the last notice. failed: the last
    deploy did. ignored: things that were wrong beyond what can be kept."""

    alarms: dict[str, Alarm] = field(default_factory=dict)
    crashes: dict[str, list[tuple[float, str, str]]] = field(default_factory=dict)
    up: bool = False
    failed: bool = False
    serial: int = 0
    ignored: int = 0
