"""What several calls in a row mean together. `supervisorctl update` and `restart` are made of calls that stop a group
and start it again; understood as what they are meant for, nothing has to stop. Pure; docs/adr/0010-supervisorctl.md
says why, and what is done about it stands in xmlrpc_acting.py and xmlrpc_groups.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from queuepool.control.xmlrpc_names import Groups
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Loaded

GRACE_SECONDS = 2.0
"""What was answered and not done yet is done, when for so long nothing came that makes it needless."""


NONE: frozenset[ProcessName] = frozenset()


class Kind(Enum):
    """What a call has to do with a restart."""

    VERSION = "version"
    STOP = "stop"
    START = "start"
    OTHER = "other"


class Verdict(Enum):
    """PERFORM: do what the call says. POSTPONE: a stop that a start will follow. REPLACE: that start."""

    PERFORM = "perform"
    POSTPONE = "postpone"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Restart:
    """What one client process has asked lately, each call over a connection of its own.

    supervisorctl asks for the version before each action; `restart` is one that does `stop` and `start`, so it asks
    twice, stops, asks again, starts (supervisor/supervisorctl.py, do_restart). versions: asked in a row so far. at:
    monotonic seconds of the last call. stopping: the stops of a restart have begun; turned: and are over. postponed:
    processes whose stop was answered and not done.
    """

    versions: int = 0
    at: float = 0.0
    stopping: bool = False
    turned: bool = False
    postponed: frozenset[ProcessName] = frozenset()


def hear(before: Restart, kind: Kind, now: float) -> tuple[Restart, Verdict, frozenset[ProcessName]]:
    """What a call means, after what came before, and which postponed stops have to be done before it."""
    if now - before.at > GRACE_SECONDS:
        after, verdict, _ = hear(Restart(at=now), kind, now)
        return after, verdict, before.postponed
    if kind is Kind.VERSION:
        return replace(before, at=now, versions=before.versions + 1, turned=before.stopping), Verdict.PERFORM, NONE
    if kind is Kind.STOP and not before.turned and (before.versions >= 2 or before.stopping):
        return replace(before, at=now, stopping=True), Verdict.POSTPONE, NONE
    if kind is Kind.START and before.turned:
        return replace(before, at=now), Verdict.REPLACE, NONE
    return Restart(at=now), Verdict.PERFORM, before.postponed


@dataclass(frozen=True, slots=True)
class Reread:
    """What reloadConfig found: the file, its groups and those in force, and what differs."""

    loaded: Loaded
    before: Groups = field(default_factory=dict)
    after: Groups = field(default_factory=dict)
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def programs(self, group: str) -> tuple[str, ...]:
        """The programs of a group, before and after."""
        found = [*_programs(self.before, group), *_programs(self.after, group)]
        return tuple(dict.fromkeys(found))

    def gone(self, group: str) -> tuple[str, ...]:
        """Those of them that the file has no more, in no group."""
        kept = {program for other in self.after.values() for program in other.programs}
        return tuple(program for program in self.programs(group) if program not in kept)


@dataclass(frozen=True, slots=True)
class Update:
    """What one connection has asked of groups since its reloadConfig: `update` does all of it over one connection, and
    `reread` and `stop` use one each. parts: group -> what was answered and not done, `stop` or `remove`."""

    reread: Reread | None = None
    parts: Mapping[str, str] = field(default_factory=dict)

    def postpones_stop(self, group: str) -> bool:
        """Whether stopping this group is how the client begins to apply its change."""
        return self.reread is not None and group in self.reread.changed

    def postpones_removal(self, group: str) -> bool:
        """Whether removing it goes on with that."""
        return group in self.parts

    def applies(self, group: str) -> bool:
        """Whether adding it completes that, or adds a group that is new."""
        return group in self.parts or (self.reread is not None and group in self.reread.added)

    def with_part(self, group: str, part: str) -> Update:
        """After that was answered."""
        return replace(self, parts={**self.parts, group: part})

    def done(self, group: str) -> Update:
        """After the group's change was applied."""
        left = {name: part for name, part in self.parts.items() if name != group}
        reread = self.reread
        if reread is not None:
            added, changed = (tuple(n for n in names if n != group) for names in (reread.added, reread.changed))
            reread = replace(reread, added=added, changed=changed)
        return Update(reread, left)


def _programs(groups: Groups, name: str) -> tuple[str, ...]:
    return groups[name].programs if name in groups else ()
