"""Pools and groups as Supervisor names them: each process belongs to one group, which is its program's own unless the
file puts the program into another. Pure; what is done with what is named stands in the files of methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.domain.changes import Changes
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec


@dataclass(frozen=True, slots=True)
class Group:
    """A group and its programs, in the order of the file. priority: of the program that starts first."""

    name: str
    priority: int
    programs: tuple[str, ...]


Groups = Mapping[str, Group]


@dataclass(frozen=True, slots=True)
class Member:
    """One process. name: Supervisor's, within the group."""

    group: str
    name: str
    slot: ProcessName

    @property
    def full(self) -> str:
        """`group:process`, or the process alone where both are the same (supervisor/options.py, make_namespec)."""
        return self.name if self.name == self.group else f"{self.group}:{self.name}"


def groups_of(pools: Mapping[str, PoolSpec], groups: Mapping[str, Iterable[str]]) -> dict[str, Group]:
    """The groups that these programs make, in the order in which Supervisor lists them. groups: those of the file.
    A program in two of them belongs to the first."""
    home: dict[str, str] = {}
    for group, programs in groups.items():
        for program in programs:
            home.setdefault(program, group)
    found: dict[str, list[str]] = {}
    for program in pools:
        found.setdefault(home.get(program, program), []).append(program)
    made = [Group(name, min(pools[p].priority for p in programs), tuple(programs)) for name, programs in found.items()]
    return {group.name: group for group in sorted(made, key=lambda group: (group.priority, group.name))}


@dataclass(frozen=True, slots=True)
class Roster:
    """Every process there is, in the order in which Supervisor starts them."""

    groups: Groups
    members: tuple[Member, ...]

    def of(self, group: Group) -> tuple[Member, ...]:
        """The processes of a group."""
        programs = set(group.programs)
        return tuple(member for member in self.members if member.slot.pool in programs)

    def group(self, text: str) -> Group:
        """The group of this name; a program's own name is understood too. Raises BAD_NAME."""
        found = self.groups.get(text)
        if found is None and any(member.slot.pool == text for member in self.members):
            found = Group(text, 0, (text,))
        if found is None:
            raise RpcFault(Code.BAD_NAME, text)
        return found

    def find(self, text: str) -> tuple[Group, Member | None]:
        """What `group:process`, `group:*`, or `process` names: a group alone, or one of its processes. queuepool's own
        `program:3` is understood too. Raises BAD_NAME."""
        name, colon, process = text.partition(":")
        try:
            group = self.group(name)
        except RpcFault:
            raise RpcFault(Code.BAD_NAME, text) from None
        if colon and process in ("", "*"):
            return group, None
        wanted = process if colon else name
        members = self.of(group)
        found = [member for member in members if member.name == wanted]
        found += [member for member in members if str(member.slot) == text]
        if not found:
            raise RpcFault(Code.BAD_NAME, text)
        return group, found[0]

    def process(self, text: str) -> Member:
        """The one process that `text` names. Raises BAD_NAME."""
        _, member = self.find(text)
        if member is None:
            raise RpcFault(Code.BAD_NAME, text)
        return member


def roster(displays: Mapping[ProcessName, str], groups: Groups, pools: Mapping[str, PoolSpec]) -> Roster:
    """Who is there. displays: every slot with its name in Supervisor's form; of programs that are leaving, too."""
    home = {program: group.name for group in groups.values() for program in group.programs}
    leaving = {slot.pool: Group(slot.pool, 999, (slot.pool,)) for slot in displays if slot.pool not in home}
    known = {**{group.name: group for group in leaving.values()}, **groups}

    def place(slot: ProcessName) -> tuple[int, str, int, str, int]:
        group = known[home.get(slot.pool, slot.pool)]
        spec = pools.get(slot.pool)
        return group.priority, group.name, spec.priority if spec else 999, slot.pool, slot.slot

    taken: set[tuple[str, str]] = set()
    members = []
    for slot in sorted(displays, key=place):
        group = home.get(slot.pool, slot.pool)
        name = displays[slot].rpartition(":")[2]
        if (group, name) in taken:  # two programs of a group with the same process_name
            name = f"{slot.pool}_{slot.slot:02d}"
        taken.add((group, name))
        members.append(Member(group, name, slot))
    return Roster(known, tuple(members))


def difference(before: Groups, after: Groups, changes: Changes) -> tuple[list[str], list[str], list[str]]:
    """The groups that are new, those of which anything changed, and those that are gone. changes: of programs."""
    touched = {*changes.added, *changes.removed, *(name for name, _ in changes.changed)}
    changed = [
        name
        for name, group in after.items()
        if name in before
        and (set(group.programs) != set(before[name].programs) or not touched.isdisjoint(group.programs))
    ]
    return [name for name in after if name not in before], changed, [name for name in before if name not in after]
