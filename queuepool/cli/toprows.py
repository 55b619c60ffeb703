"""Which of what `top` knows is to be seen: the rows of the main view in their order, the selected one, the events that
are wanted. PURE; how they look is toptables.py's matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from queuepool.cli.render import clean, is_down
from queuepool.cli.topmodel import Data, Json, State, backlog

TROUBLE_EVENTS = frozenset(
    {"fatal", "spawn_failed", "config_refused", "killed", "backoff", "log_trouble", "waiting", "limit", "job_left"}
    | {"redis_trouble", "state_trouble", "supervisord_trouble", "defect"}
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line that can be selected: a program (process is None), one of its processes, or a note below a program."""

    key: str
    program: str
    process: Json | None = None
    note: str = ""


def is_troubled(process: Json) -> bool:
    """Whether a process is not as it should be, or soon will not be."""
    return is_down(process) or bool(process["stale"]) or process["state"] in ("FATAL", "BACKOFF", "UNKNOWN")


def is_queue_troubled(row: Json) -> bool:
    """Whether a queue does not move as it should."""
    return bool(row["why"] or row["paused"] or row["expired"] or (row["workers"] == 0 and backlog(row)))


def job_name(process: Json) -> str:
    """The class of the job in hand, "" without one."""
    job = process["job"]
    return str(job.get("class") or job.get("name") or "a job") if job else ""


_WORST = ("FATAL", "BACKOFF", "UNKNOWN", "EXITED", "STOPPED", "STOPPING", "STARTING", "RUNNING")


def _number(value: Any, nothing: float) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else nothing


SORTS: dict[str, Callable[[Json, float], Any]] = {
    "name": lambda process, now: (),
    "state": lambda process, now: _WORST.index(process["state"]) if process["state"] in _WORST else 0,
    "pid": lambda process, now: _number(process["pid"], math.inf),
    "uptime": lambda process, now: -_number(process["uptime"], -1.0),
    "restarts": lambda process, now: -_number(process["restarts"], 0.0),
    "cpu": lambda process, now: -_number(process["cpu"], -1.0),
    "memory": lambda process, now: -_number(process["rss"], -1.0),
    "job": lambda process, now: _number((process["job"] or {}).get("since"), now) if process["job"] else math.inf,
}
"""Name of an order -> what rows are sorted by: the worst, the busiest, the largest and the longest first."""


def rows(state: State, data: Data) -> tuple[Row, ...]:
    """The rows of the main view in order. By name they stand below their programs; otherwise all programs in one."""
    if data.snapshot is None:
        return ()
    programs, processes = data.snapshot["programs"], data.snapshot["processes"]
    wanted = state.filter.casefold()
    chosen = [process for process in processes if _is_shown(process, state, wanted)]
    if state.sort != "name":
        order = SORTS[state.sort]
        chosen.sort(key=lambda process: order(process, data.now), reverse=state.reverse)
        return _keyed(Row(process["name"], process["program"], process) for process in chosen)
    below: dict[str, list[Json]] = {}
    for process in chosen:
        below.setdefault(process["program"], []).append(process)
    found: list[Row] = []
    for program in reversed(programs) if state.reverse else programs:
        name = program["name"]
        of_it = below.get(name, [])
        named = wanted in name.casefold() and not (state.troubles and not program["problems"])
        if not (of_it or named):
            continue
        found.append(Row(f"{name} ", name))
        found += [Row(f"{name} ", name, None, clean(problem)) for problem in program["problems"]]
        found += [Row(process["name"], name, process) for process in (of_it[::-1] if state.reverse else of_it)]
    return _keyed(found)


def _is_shown(process: Json, state: State, wanted: str) -> bool:
    if state.troubles and not is_troubled(process):
        return False
    if not wanted:
        return True
    texts = (process["display"], process["name"], process["state"], job_name(process), process["reason"])
    return any(wanted in str(text).casefold() for text in texts)


def _keyed(found: Iterable[Row]) -> tuple[Row, ...]:
    """Each key once: a slot may have several lives, a program several notes."""
    seen: dict[str, int] = {}
    result = []
    for row in found:
        count = seen[row.key] = seen.get(row.key, -1) + 1
        result.append(replace(row, key=f"{row.key}#{count}") if count else row)
    return tuple(result)


def settled(state: State, found: Sequence[Row], height: int) -> State:
    """The state with a selection that exists, and scrolled so that it is seen. height: rows that fit."""
    if not found:
        return replace(state, selected="", at=0, top=0)
    keys = [row.key for row in found]
    at = keys.index(state.selected) if state.selected in keys else min(state.at, len(found) - 1)
    height = max(1, height)
    top = min(state.top, at, max(0, len(found) - height))
    top = max(top, at - height + 1, 0)
    return replace(state, selected=keys[at], at=at, top=top)


def selected(state: State, data: Data) -> Row | None:
    """The row that keys act on. Outside the main view it is the one that was opened, or none: never its neighbour."""
    if state.view == "main":
        found = rows(state, data)
        near = found[min(state.at, len(found) - 1)] if found else None
    else:
        found, near = rows(replace(state, filter="", troubles=False), data), None
    return next((row for row in found if row.key == state.selected), near)


def program_of(data: Data, name: str) -> Json | None:
    """A program of the snapshot."""
    programs = data.snapshot["programs"] if data.snapshot else ()
    return next((program for program in programs if program["name"] == name), None)


def event_lines(data: Data, state: State) -> list[Json]:
    """The events that the reader wants to see, the newest last."""
    grep = state.grep.casefold() if state.view == "events" else ""
    programs = {"", *(program["name"] for program in data.snapshot["programs"])} if data.snapshot else {""}
    return [
        item
        for item in data.events
        if (not state.troubles or item["event"] in TROUBLE_EVENTS)
        and (not state.named or item["process"].partition(":")[0] in programs)
        and grep in event_text(item).casefold()
    ]


def event_text(item: Json) -> str:
    """An event for a person."""
    fields = item.get("fields") or {}
    if item["event"] == "operation" and fields.get("asked"):
        return f"asked: {fields['asked']} {fields.get('names') or ''}".rstrip()
    return str(item.get("sentence") or item["line"])
