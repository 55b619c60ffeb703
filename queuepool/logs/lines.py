"""Lines as they are written to a log, and the time that a line of a log tells. PURE: bytes in, bytes or numbers out."""

from __future__ import annotations

import json
import re
from datetime import datetime

from queuepool.domain.pool import LogPolicy

_STAMP = re.compile(
    rb'(?:\{"time": ?"|\s{0,4}\[?)(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)? ?(Z|[+-]\d\d:?\d\d)?'
)


def decorate(data: bytes, policy: LogPolicy, label: str, wall: float) -> bytes:
    """Whole lines as `policy` wants them written: after time and slot, or as JSON objects.

    data: ends with a newline, unless it is one piece of an endless line: the piece then becomes a line of its own, and
    in JSON it says "partial". label: the slot, `default:3`. wall: unix time, told to the millisecond with the zone.
    """
    cut = data.endswith(b"\n")
    body = data[:-1] if cut else data
    stamp = datetime.fromtimestamp(wall).astimezone().isoformat(timespec="milliseconds")
    if policy.json:
        extra = {} if cut else {"partial": True}
        return b"".join(
            json.dumps(
                {"time": stamp, "process": label, "line": line.decode("utf-8", "backslashreplace"), **extra},
                ensure_ascii=False,
            ).encode()
            + b"\n"
            for line in body.split(b"\n")
        )
    head = b""
    if policy.timestamp:
        head += stamp.encode() + b" "
    if policy.slot:
        head += b"[" + label.encode() + b"] "
    return head + body.replace(b"\n", b"\n" + head) + b"\n"


def time_of(line: bytes) -> float | None:
    """The unix time that a line begins with, None when it begins with none.

    Known are this module's own stamps, Laravel's log (`[2026-01-31 10:00:00] production.ERROR: ...`) and what
    queue:work prints (`[2026-01-31 10:00:00][7] Processing: ...`, since Laravel 9 `  2026-01-31 10:00:00 App...`).
    Without a zone the time is taken as this machine's.
    """
    found = _STAMP.match(line)
    if found is None:
        return None
    date, clock, fraction, zone = (part.decode() if part else "" for part in found.groups())
    if zone and zone != "Z" and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone == 'Z' else zone}")
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except (ValueError, OverflowError, OSError):
        return None


def is_of(line: bytes, label: str) -> bool | None:
    """Whether a line was printed by the process `label`; None when the line does not say by whom."""
    if line.startswith(b'{"time": "'):
        try:
            value = json.loads(line)
        except ValueError:
            return None
        return value["process"] == label if "process" in value else None
    found = _SLOT.match(line)
    return found[1].decode("utf-8", "replace") == label if found else None


_SLOT = re.compile(rb"(?:\d{4}-\d\d-\d\dT[0-9:.+-]+ )?\[([A-Za-z0-9_][A-Za-z0-9_.@-]*:\d+)\] ")
