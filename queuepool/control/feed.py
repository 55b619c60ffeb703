"""What the open pages are told: the state of everything as tables of rows, and what changed from one state to the next.
PURE. When it is told, and to whom, is dashboard_hub.py's matter; assets/store.js applies the same changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queuepool.domain.events import Event, Kind
from queuepool.domain.observed import ProcessView, ProgramView, Snapshot

Row = dict[str, Any]
Table = dict[str, Row]
Usage = Mapping[int, tuple[int, float | None]]

TABLES = ("programs", "processes", "queues", "redis")
VALUES = ("daemon", "deploy", "deploys")

LAST_LINES = 10
"""Of what a process wrote before it died."""
STORY_LINES = 150
"""Of a deploy."""
PAST_DEPLOYS = 20
HISTORY_SECONDS = 2.0
"""Between two points of the charts."""
HISTORY_POINTS = 300
HISTORY_QUEUES = 100
"""Queues whose history is kept; a page draws what comes of the others itself."""

_STEP = 100_000  # bytes: memory that changes by less is no news


@dataclass(frozen=True, slots=True)
class State:
    """Everything a page shows at one moment. tables: by name, each row by its key, in order. values: single objects."""

    tables: Mapping[str, Table]
    values: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Tables as lists of [key, row], since JSON objects have no order."""
        return {**{name: list(table.items()) for name, table in self.tables.items()}, **self.values}


NOTHING = State({name: {} for name in TABLES}, dict.fromkeys(VALUES))

Delta = dict[str, Any]
"""Table -> {"gone": [keys], "set": [[key, fields that changed]], "order": [keys]}, in this order and each only where
there is something; value -> its new self."""


def difference(before: State, after: State) -> Delta:
    """What changed; empty when nothing did."""
    delta: Delta = {}
    for name, table in after.tables.items():
        if change := _changes(before.tables.get(name, {}), table):
            delta[name] = change
    for name, value in after.values.items():
        if name not in before.values or before.values[name] != value:
            delta[name] = value
    return delta


def apply(state: State, delta: Delta) -> State:
    """The state after a change: what a page does with it."""
    tables = {name: _changed(table, delta.get(name, {})) for name, table in state.tables.items()}
    return State(tables, {name: delta.get(name, value) for name, value in state.values.items()})


def _changes(before: Table, after: Table) -> dict[str, Any]:
    gone = [key for key in before if key not in after]
    change: list[tuple[str, Row]] = []
    for key, row in after.items():
        old = before.get(key)
        if old is row or old == row:
            continue
        if old is not None and not old.keys() <= row.keys():
            gone.append(key)  # a field went away: the row is made anew
            old = None
        change.append((key, row if old is None else {f: v for f, v in row.items() if f not in old or old[f] != v}))
    again = set(gone)
    order = [key for key in before if key not in again]
    kept = set(order)
    order += [key for key, _ in change if key not in kept]
    found: dict[str, Any] = {}
    if gone:
        found["gone"] = gone
    if change:
        found["set"] = change
    if order != list(after):
        found["order"] = list(after)
    return found


def _changed(table: Table, change: Mapping[str, Any]) -> Table:
    gone = set(change.get("gone", ()))
    rows = {key: row for key, row in table.items() if key not in gone}
    for key, fields in change.get("set", ()):
        rows[key] = {**rows.get(key, {}), **fields}
    return {key: rows[key] for key in change["order"]} if "order" in change else rows


# --- the rows ---------------------------------------------------------------------------------------------------------


def state_of(
    snapshot: Snapshot, queues: Mapping[str, Any], deploy: Row | None, deploys: Sequence[Row], usage: Usage
) -> State:
    """The state of now. queues: the reply to messages.Queues. deploy: see `deploy_row`. deploys: those that have ended,
    see messages.DeployHistory. usage: pid -> (bytes resident, share of a core), where it was measured."""
    tables = {
        "programs": {view.name: _program(view) for view in snapshot.programs},
        "processes": _processes(snapshot, usage),
        "queues": {_queue_key(row): _queue(row) for row in queues["queues"]},
        "redis": {where: dict(seen) for where, seen in queues["redis"].items()},
    }
    daemon = snapshot.daemon
    problems = list(dict.fromkeys([*daemon.problems, *queues["problems"]]))
    return State(
        tables,
        {
            "daemon": {
                "pid": daemon.pid,
                "version": daemon.version,
                "config": daemon.config,
                "state": daemon.state,
                "started_at": daemon.started_at,
                "problems": problems,
            },
            "deploy": deploy,
            "deploys": list(deploys[:PAST_DEPLOYS]),
        },
    )


def _program(view: ProgramView) -> Row:
    work = view.work
    return {
        "name": view.name,
        "kind": view.kind,
        "numprocs": view.numprocs,
        "wanted": view.wanted,
        "running": view.running,
        "reason": view.reason,
        "problems": list(view.problems),
        "says": view.says,
        "done": work.done if work else None,
        "failed": work.failed if work else None,
        "rate": round(work.per_second, 2) if work else None,
        "mean": _rounded(work.runtime.mean) if work and work.runtime else None,
        "p95": _rounded(work.runtime.p95) if work and work.runtime else None,
        "horizon": _without_age(view.horizon) if view.horizon else None,
    }


def _processes(snapshot: Snapshot, usage: Usage) -> Table:
    """By name; where a slot holds several lives, those that are on their way out also by their pid."""
    found: Table = {}
    kinds = {program.name: program.kind for program in snapshot.programs}
    for view in snapshot.processes:
        key = f"{view.name}/{view.pid or 0}" if view.retiring or view.name in found else view.name
        found[key] = _process(view, kinds.get(view.program, ""), usage)
    return found


def _process(view: ProcessView, kind: str, usage: Usage) -> Row:
    memory, cpu = usage.get(view.pid or 0, (None, None))
    job = view.job
    dead = view.state in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN")
    return {
        "name": view.name,
        "display": view.display,
        "program": view.program,
        "slot": view.slot,
        "kind": kind,
        "state": view.state,
        "pid": view.pid,
        "started_at": view.started_at,
        "changed_at": view.changed_at,
        "restarts": view.restarts,
        "exit_code": view.exit_code,
        "reason": view.reason,
        "release": view.release,
        "stale": view.stale,
        "adopted": view.adopted,
        "paused": view.paused,
        "retiring": view.retiring,
        "wanted": view.wanted,
        "says": view.says,
        "idle_since": view.idle_since,
        "paused_queues": list(view.paused_queues),
        "job": {key: job.get(key) for key in ("class", "queue", "since", "attempts")} if job else None,
        "memory": memory // _STEP * _STEP if memory is not None else None,
        "cpu": round(cpu, 2) if cpu is not None else None,
        "log": bool(view.log) and not str(view.log).startswith("/dev/"),
        "last_lines": list(view.last_lines[-LAST_LINES:]) if dead else [],
    }


def _queue_key(row: Mapping[str, Any]) -> str:
    return f"{row['connection']}:{row['queue']}" + (f"@{row['app']}" if row["app"] else "")


def _queue(row: Mapping[str, Any]) -> Row:
    shown = dict(row)
    for field in ("oldest", "wait", "rate_in", "rate_done"):
        shown[field] = _rounded(shown[field])
    shown["programs"] = list(shown["programs"])
    return shown


def _rounded(value: float | None) -> float | None:
    """Three digits at most: further ones change each second and nobody reads them."""
    if value is None:
        return None
    return round(value) if value >= 100 else round(value, 1) if value >= 10 else round(value, 2)


def _without_age(horizon: Mapping[str, Any]) -> Row:
    """What Horizon says of itself, without what only says that it still beats."""
    return {
        key: [{name: value for name, value in each.items() if name != "age"} for each in part]
        if key in ("masters", "supervisors")
        else part
        for key, part in horizon.items()
    }


def deploy_row(report: Mapping[str, Any], story: Sequence[Mapping[str, Any]]) -> Row:
    """A deploy: its report (see messages.Deploy), how far each program is, and what was told of it so far."""
    pools: dict[str, Row] = {}
    phase, waiting = "", ""
    lines: deque[Row] = deque(maxlen=STORY_LINES)
    for event in story:
        kind = event["event"]
        if kind == "pool":
            pools[event["program"]] = {key: event[key] for key in ("done", "total", "draining", "back")}
        elif kind == "phase":
            phase = event["message"]
        elif kind == "waiting":
            waiting = event["message"]
        if kind in ("waiting", "pool"):
            continue
        lines.append({"time": event["time"], "event": kind, "message": event["message"]})
    running = report["result"] == "running"
    plain = ("id", "result", "phase", "begun_at", "started", "restarted", "stopped", "kept", "rolled_back", "failure")
    return {
        **{key: report[key] for key in plain},
        "trouble": report["trouble"],
        "seconds": None if running else report["seconds"],
        "programs": [program["name"] for program in report["programs"]],
        "pools": list(pools.items()),
        "step": phase if running else "",
        "waiting": waiting if running else "",
        "lines": list(lines),
    }


def event_row(event: Event) -> Row:
    """An event of the journal, as a sentence."""
    row: Row = {"seq": event.seq, "time": event.time, "event": event.kind.value, "process": event.subject}
    if event.kind is Kind.DEPLOY_ENDED:
        row["result"] = event.fields.get("result")
    return row | {"sentence": event.sentence()}


# --- the past ---------------------------------------------------------------------------------------------------------

SERIES = ("ready", "delayed", "reserved", "oldest", "rate_in", "rate_done", "workers", "busy")


class History:
    """The last points of every queue, for the charts of a page that is opened now."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=HISTORY_POINTS)
        self._queues: dict[str, deque[tuple[Any, ...]]] = {}

    def add(self, now: float, queues: Table) -> bool:
        """Keep the point of `now`, in unix seconds; whether it was time for one."""
        if self._times and 0 <= now - self._times[-1] < HISTORY_SECONDS * 0.9:
            return False
        self._times.append(now)
        for key in [key for key in self._queues if key not in queues]:
            del self._queues[key]
        for key, row in queues.items():
            if key in self._queues or len(self._queues) < HISTORY_QUEUES:
                points = self._queues.setdefault(key, deque(maxlen=HISTORY_POINTS))
                points.append(tuple(row[name] for name in SERIES))
        return True

    def to_json(self) -> dict[str, Any]:
        """{"times": [unix seconds], "queues": [[key, [points of each of SERIES]]]}; a younger queue has fewer points,
        the last ones."""
        columns = [(key, [list(each) for each in zip(*points, strict=True)]) for key, points in self._queues.items()]
        return {"times": [round(at, 1) for at in self._times], "series": SERIES, "queues": columns}
