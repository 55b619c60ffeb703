"""Reads the end of the daemon's log (controller/journal.py, LogFile): it is there with no daemon too, and tells of the
processes of earlier ones."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 1 << 20
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) event=(\w+)(?: (.*))?")
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(frozen=True, slots=True)
class Said:
    """One event. time: unix seconds. fields: as in the log, without quotes."""

    time: float
    event: str
    fields: dict[str, str]

    def number(self, name: str) -> int | None:
        """A field as a number."""
        text = self.fields.get(name, "")
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def tail(path: str, events: frozenset[str]) -> Iterator[Said]:
    """The last events of these kinds, oldest first; nothing where the log cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return
    for line in text.split("\n"):
        found = _LINE.match(line)
        if found and found[3] in events:
            try:
                when = time.mktime(time.strptime(found[1], "%Y-%m-%d %H:%M:%S")) + int(found[2]) / 1000
            except (ValueError, OverflowError):
                continue
            yield Said(when, found[3], {name: _plain(value) for name, value in _FIELD.findall(found[4] or "")})


def _plain(value: str) -> str:
    if not value.startswith('"'):
        return value
    return value[1:-1].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
