"""Names of processes and the selectors people type. What they select from is the caller's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

PROGRAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\Z")
"""What a program or group may be called: it becomes part of file names and of Supervisor's `group:process`."""


@dataclass(frozen=True, slots=True, order=True)
class ProcessName:
    """One slot of a pool, written `default:3`."""

    pool: str
    slot: int

    def __str__(self) -> str:
        return f"{self.pool}:{self.slot}"

    @classmethod
    def parse(cls, text: str) -> ProcessName:
        """The name in `pool:slot`; ValueError when it is not of that form."""
        pool, _, slot = text.rpartition(":")
        if not pool or not slot.isdecimal():
            raise ValueError(f"{text!r} is not of the form program:number")
        return cls(pool, int(slot))


class UnknownName(ValueError):
    """A selector that selects nothing; `text` is what was typed."""

    def __init__(self, text: str) -> None:
        super().__init__(f"no such program, group or process: {text}")
        self.text = text


def select(
    selectors: Iterable[str], displays: Mapping[ProcessName, str], groups: Mapping[str, Iterable[str]]
) -> tuple[ProcessName, ...]:
    """The processes that the selectors name, each once, in the order of `displays`.

    selectors: `all`, a program, a group, `program:3`, `program:*`, Supervisor's `program:program_03`, shell globs.
    displays: every process there is, with its name in Supervisor's form. groups: group name -> program names.
    Raises UnknownName for a selector that matches nothing, unless it is `all` or a program known to be empty.
    """
    chosen: set[ProcessName] = set()
    for text in selectors:
        found = _matches(text, displays, groups)
        if not found and text != "all":
            raise UnknownName(text)
        chosen |= found
    return tuple(name for name in displays if name in chosen)


def _matches(text: str, displays: Mapping[ProcessName, str], groups: Mapping[str, Iterable[str]]) -> set[ProcessName]:
    if text == "all":
        return set(displays)
    head, colon, tail = text.partition(":")
    pools = set(groups.get(head, ())) | {name.pool for name in displays if fnmatchcase(name.pool, head)}
    members = {name for name in displays if name.pool in pools}
    if not colon or tail in ("", "*"):
        return members | ({n for n, shown in displays.items() if shown == text} if not colon else set())
    if tail.isdecimal():
        return {name for name in members if name.slot == int(tail)}
    return {name for name in members if fnmatchcase(displays[name].rpartition(":")[2], tail)}
