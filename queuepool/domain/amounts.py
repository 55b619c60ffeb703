"""Amounts in a sentence, so that nobody reads `1 processes` or `failed 1 times`."""

from __future__ import annotations


def count(number: int, one: str, many: str = "") -> str:
    """`1 job`, `3 jobs`. many: for a word that gets more than an s, such as `processes`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def size(number: float) -> str:
    """Bytes: `41 MB`."""
    for unit in ("B", "kB", "MB"):
        if abs(number) < 999.5:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
