"""What `queue:work` prints about its jobs, in every form it had from Laravel 6 to 13: bytes in, `Said` out. PURE. What
is counted from it is domain/work.py's matter, which life has which job engines/board.py's.

The forms, from Illuminate/Queue/Console/WorkCommand.php at the tags of laravel/framework:

    [2026-01-31 10:00:00][17] Processing: App\\Jobs\\Mail         6.0 to 9.20; `Processed: ` and `Failed:    ` alike
      2026-01-31 10:00:00 App\\Jobs\\Mail .......... 9.81ms DONE  9.21 to 9.40: begun without a newline, ended later
      2026-01-31 10:00:00 App\\Jobs\\Mail 17 ......... RUNNING    since 9.41; the id only with -v, and since 12.20
                                                               then also connection and queue
      2026-01-31 10:00:00 Queue mail PAUSED                    since 13.26; RESUMED alike
      2026-01-31 10:00:00 Worker STOPPED Queue empty           13.31 has it, 13.26 has not
    {"level":"info","id":"17",...,"status":"starting",...}     --json, since 11.27

With a terminal (or --ansi) all of it in colours, each dot by itself. A job that fails and will be tried again is silent
up to 9.20; later it prints FAIL as one that has failed for good does: yellow instead of red, which only colours show.
`artisan horizon` prints the lines of all its workers, without ids.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from queuepool.domain.work import Said, What

LONGEST_LINE = 64 * 1024
"""Bytes of an unfinished line that are kept, its last ones. A coloured line of Laravel has 11 for each column, one of
--json holds the message of an exception."""
SMALL = 4096
"""A chunk up to this size is searched for every form, a larger one only for that which the worker is known to use."""

BRACKETS, DOTS, COLOURED, HEADED, JSON = "brackets", "dots", "coloured", "headed", "json"
"""The forms, in the order of the list above: HEADED is that of 9.21 to 9.40."""

_MARKS: dict[str, tuple[bytes, ...]] = {
    BRACKETS: (b"] Process", b"] Failed: "),
    DOTS: (b"  20",),
    COLOURED: (b"\x1b[90m20",),
    HEADED: (b"  20", b"\x1b[90m20", b" DONE", b" FAIL", b"mDONE", b"mFAIL"),
    JSON: (b'"status":',),
}
"""What every line of a form has. Each costs a search of every byte, so they are few, and long ones are faster."""
_ALL = tuple(dict.fromkeys(mark for form in (BRACKETS, DOTS, COLOURED, JSON) for mark in _MARKS[form]))
_UNKNOWN = tuple(mark for mark in _ALL if mark != b"] Failed: ")  # a worker's first line is no such one

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_RELEASED = re.compile(rb"\x1b\[33(?:;1)?mFAIL")
_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
_BRACKETS = re.compile(rf"\[{_TIME}\]\[(.*?)\] (Processing: |Processed:  |Failed:     ?)(.+)\Z")
_RUNNING = re.compile(rf"  {_TIME} (.+?) \.* RUNNING\Z")
_ENDED = re.compile(rf"  {_TIME} (.+) \.* (\S.*?) (DONE|FAIL)\Z")
_REST_RUNNING = re.compile(r" ?\.* RUNNING\Z")
_REST_ENDED = re.compile(r" ?\.* (\d\S*(?: \d\S*)*) (DONE|FAIL)\Z")
_HEAD = re.compile(rf"  {_TIME} (\S.*)\Z")
_PAUSED = re.compile(rf"  {_TIME} Queue (.+) (PAUSED|RESUMED)\Z")
_STOPPED = re.compile(rf"  {_TIME} Worker STOPPED(?: |\Z)")
_ID = re.compile(r"\d+|(?=\S*\d)[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32}")  # database; SQS; Redis
_MEMORY = re.compile(r" [\d.]+MB\Z")
_PARTS = re.compile(r"([\d.,]+) ?(ms|s|m|h|d|w)\b")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_WORDS = {
    "Processing: ": What.STARTED,
    "Processed:  ": What.DONE,
    "Failed:     ": What.FAILED,
    "DONE": What.DONE,
    "FAIL": What.FAILED,
    "PAUSED": What.PAUSED,
    "RESUMED": What.RESUMED,
    "starting": What.STARTED,
    "success": What.DONE,
    "failed": What.FAILED,
    "released_after_exception": What.RELEASED,
    "paused": What.PAUSED,
    "resumed": What.RESUMED,
    "stopped": What.STOPPED,
}


class Reader:
    """Reads the output of one process, in pieces as they come.

    form: the one it uses, as far as that is known; it may be given when reading goes on where another Reader was.
    ids: whether the worker has `-v`, so that dotted lines hold more than the name of the job; None: judge by the look.
    """

    __slots__ = ("_columns", "_first", "_fresh", "_ids", "_rest", "_told", "form")

    def __init__(self, form: str = "", *, ids: bool | None = None) -> None:
        self.form = form if form in _MARKS else ""
        self._ids = ids
        self._columns = 3
        self._first = True
        self._fresh = True
        self._rest = b""
        self._told = False

    def feed(self, data: bytes) -> list[Said]:
        """What these further bytes tell, in order. Nothing that a process prints raises an exception here."""
        marks = _ALL if len(data) <= SMALL else _MARKS[self.form] if self.form else _UNKNOWN
        found: list[Said] = []
        at = 0
        if self._rest or self._first:
            end = data.find(b"\n")
            if end < 0:
                self._keep(self._rest + data, found)
                return found
            at = end + 1
            line = self._rest + data[:at]
            self._rest = b""
            if self._first or self._told or self.form == HEADED or any(mark in line for mark in marks):
                self._read(line, found)  # the first line of a reader may be the rest of one
            self._told = self._first = False
        self._scan(data, at, marks, found)
        last = data.rfind(b"\n") + 1
        if max(last, at) < len(data):
            self._keep(data[max(last, at) :], found)
        return found

    def _scan(self, data: bytes, at: int, marks: tuple[bytes, ...], found: list[Said]) -> None:
        for start, end in _lines(data, at, marks):
            self._read(data[start:end], found)
            if marks is _UNKNOWN and self.form:
                self._scan(data, end + 1, _MARKS[self.form], found)
                return

    def _keep(self, rest: bytes, found: list[Said]) -> None:
        """Keep an unfinished line; in the form of 9.21 to 9.40 it tells of a job that begins."""
        self._rest = rest[-LONGEST_LINE:]
        if self.form == HEADED and not self._told and len(rest) < SMALL:
            head = _HEAD.match(_text(rest))
            if head:
                self._told = True
                found.append(Said(What.STARTED, head[2], stamp=_stamp(head[1])))

    def _read(self, line: bytes, found: list[Said]) -> None:
        if b'"status":' in line and (said := _of_json(line)):
            self.form = JSON
        elif said := self._of_text(line):
            pass
        else:
            return
        found.append(said)
        self._fresh = False

    def _of_text(self, line: bytes) -> Said | None:
        text = _text(line)
        if text.endswith((" DONE", " FAIL")):
            if said := self._ended(text, line):
                return said
        elif text.endswith(" RUNNING"):
            if at := _RUNNING.search(text):
                self.form = COLOURED if b"\x1b[90m" in line else DOTS
                return self._dotted(What.STARTED, at[1], at[2])
            if _REST_RUNNING.match(text):
                return Said(What.STARTED)
        elif text.endswith((" PAUSED", " RESUMED")) and (at := _PAUSED.search(text)):
            return Said(_WORDS[at[3]], queue=at[2], stamp=_stamp(at[1]))
        if at := _BRACKETS.search(text):
            self.form = BRACKETS
            return Said(_WORDS[at[3].ljust(12)], at[4].strip(), at[2] or None, stamp=_stamp(at[1]))
        if at := _STOPPED.search(text):
            return Said(What.STOPPED, stamp=_stamp(at[1]))
        return None

    def _ended(self, text: str, line: bytes) -> Said | None:
        what = _WORDS[text[-4:]]
        if what is What.FAILED and _RELEASED.search(line):
            what = What.RELEASED
        if at := _ENDED.search(text):
            if self._fresh and not self.form:
                self.form = HEADED
            return self._dotted(what, at[1], at[2], _seconds(at[3]))
        if at := _REST_ENDED.match(text):
            return Said(what, seconds=_seconds(at[1]))
        return None

    def _dotted(self, what: What, time: str, left: str, seconds: float | None = None) -> Said:
        """left: `Class`, `Class id` or `Class id connection queue`. A class may be a name with blanks, an id has none;
        where both readings are possible, that of an earlier line counts."""
        stamp = _stamp(time)
        if self._ids is False or " " not in left:
            return Said(what, left, seconds=seconds, stamp=stamp)
        job, *more = left.rsplit(" ", 3)
        three = len(more) == 3 and _ID.fullmatch(more[0]) is not None
        if three and self._columns == 3:
            return Said(what, job, more[0], None, more[1], more[2], seconds, stamp)
        one = _ID.fullmatch(more[-1]) is not None
        if three is not one:
            self._columns = 3 if three else 1
        if three and not one:
            return Said(what, job, more[0], None, more[1], more[2], seconds, stamp)
        if one:
            job, _, last = left.rpartition(" ")
            return Said(what, job, last, seconds=seconds, stamp=stamp)
        return Said(what, left, seconds=seconds, stamp=stamp)


def _lines(data: bytes, start: int, marks: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """(start, end) of every finished line with one of the marks, in order."""
    limit = data.rfind(b"\n")
    if data.find(b"\n", start) == limit:  # one line, or none
        return iter([(start, limit)] if limit >= start and any(mark in data for mark in marks) else [])
    spans: dict[int, int] = {}
    for mark in marks:
        if mark[0] == 0x1B and b"\x1b" not in data:  # far faster to say
            continue
        at = data.find(mark, start)
        while 0 <= at < limit:
            end = data.find(b"\n", at)
            spans[max(data.rfind(b"\n", start, at) + 1, start)] = end
            at = data.find(mark, end)
    return iter(sorted(spans.items()))


def _text(line: bytes) -> str:
    line = line[-LONGEST_LINE:]
    if b"\x1b" in line:
        line = _COLOUR.sub(b"", line)
    return line.rstrip(b"\r\n").decode("utf-8", "replace")


def _of_json(line: bytes) -> Said | None:
    try:
        start = line.rfind(b'{"level"', 0, line.index(b'"status":'))  # a job may have printed something before it
        value = json.loads(line[start if start >= 0 else line.index(b"{") :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(status := value.get("status"), str):
        return None
    what = _WORDS.get(status) if status.islower() else None
    job, queue = _word(value, "job"), _word(value, "queue")
    if what is None or (job is None and not (what is What.STOPPED or (queue and what in (What.PAUSED, What.RESUMED)))):
        return None
    if what is What.DONE and value.get("result") == "released":
        what = What.RELEASED
    stamp = None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        stamp = datetime.fromisoformat(str(value.get("timestamp"))).timestamp()
    seconds, attempts = value.get("duration"), value.get("attempts")
    return Said(
        what,
        job or "",
        _word(value, "id"),
        _word(value, "uuid"),
        _word(value, "connection"),
        queue,
        float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else None,
        stamp,
        zoned=stamp is not None,
        attempts=attempts if type(attempts) is int else None,
    )


def _word(value: dict[str, object], key: str) -> str | None:
    found = value.get(key)
    return str(found) if isinstance(found, str | int) and found != "" else None


def _seconds(text: str) -> float | None:
    """A runtime: `1,234.50ms`, `2s`, `1m 12s`, `1h 2m`, and from 13.3 with -v the memory behind it. None in the words
    of another language."""
    if text.endswith("MB"):
        text = _MEMORY.sub("", text)
    if text.endswith("ms") and " " not in text:
        with contextlib.suppress(ValueError):
            return round(float(text[:-2].replace(",", "")) / 1000, 6)
    parts = _PARTS.findall(text)
    if not parts or _PARTS.sub("", text).strip():
        return None
    try:
        return round(sum(float(number.replace(",", "")) * _UNITS[unit] for number, unit in parts), 6)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _stamp(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
