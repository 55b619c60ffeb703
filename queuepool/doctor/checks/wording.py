"""How checks put lists and numbers into words. PURE, and it stands any number: facts may hold all kinds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from typing import Protocol, TypeVar

from queuepool.domain import amounts

MOST_LINES = 6


class Named(Protocol):
    """Something of a program."""

    @property
    def program(self) -> str:
        """Its name."""


Any_ = TypeVar("Any_", bound=Named)


def by_program(found: Iterable[Any_]) -> Iterable[tuple[str, list[Any_]]]:
    """In groups, in the order in which the programs first come."""
    groups: dict[str, list[Any_]] = {}
    for each in found:
        groups.setdefault(each.program, []).append(each)
    return groups.items()


def some(lines: Sequence[str], most: int = MOST_LINES) -> tuple[str, ...]:
    """The first lines of a list, and how many more there are."""
    more = len(lines) - most
    return (*lines[:most], f"and {more} more") if more > 0 else tuple(lines)


def count(found: Sized, one: str, many: str) -> str:
    """`1 process runs`, `3 processes run`."""
    return f"1 process {one}" if len(found) == 1 else f"{len(found)} processes {many}"


def size(count: float) -> str:
    """Bytes for people: 41 MB."""
    if isinstance(count, float) and not math.isfinite(count):
        return "an unknown size"
    if abs(count) >= 10**18:
        return f"{int(count) // 10**9} GB"
    return amounts.size(count)


def percent(part: int, whole: int) -> str:
    """A share in whole percent."""
    return f"{100 * part // whole}%" if whole > 0 else "an unknown share"
