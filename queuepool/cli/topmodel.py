"""What `top` knows (Data) and where its reader is in it (State), as values, and the rows that follow from both. PURE:
how they look is topview.py's matter, what a key does topkeys.py's, where news come from topfeed.py's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from queuepool.cli.render import clean, is_down

Json = Mapping[str, Any]

HISTORY_SECONDS = 180.0
KEPT_EVENTS = 1000
ANSWER_SECONDS = 8.0
ERROR_SECONDS = 40.0
DEPLOY_SECONDS = 30.0
"""How long an answer, an error and the end of a deploy stay on the screen."""

TROUBLE_EVENTS = frozenset(
    {"fatal", "spawn_failed", "config_refused", "killed", "backoff", "log_trouble", "waiting", "limit", "job_left"}
    | {"redis_trouble"}
)


@dataclass(frozen=True, slots=True)
class Away:
    """The daemon does not answer. since: unix time. gone: there is none, as far as can be told."""

    message: str
    hint: str
    since: float
    gone: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an action. at: unix time."""

    text: str
    at: float
    hint: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Deploy:
    """The deploy that goes on, or has just ended. bars: program -> (done, total, old ones that still finish). back: it
    is rolled back. begun, ended: unix times."""

    name: str = ""
    phase: str = ""
    waiting: str = ""
    bars: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    back: bool = False
    begun: float | None = None
    ended: float | None = None
    result: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """The log that is shown. lines: the newest last. note: why they are not what one would expect."""

    title: str
    path: str
    lines: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """Everything a screen shows. now, taken: unix times of this moment and of the snapshot. interval: seconds from one
    snapshot to the next. history: queue -> (time,
    jobs that could start, jobs done per second). doing: actions that have not been answered, in words."""

    now: float = 0.0
    snapshot: Json | None = None
    taken: float = 0.0
    interval: float = 1.0
    queues: Json | None = None
    queues_why: str = ""
    events: tuple[Json, ...] = ()
    history: Mapping[str, tuple[tuple[float, int, float | None], ...]] = field(default_factory=dict)
    deploy: Deploy | None = None
    away: Away | None = None
    log: Log | None = None
    answer: Answer | None = None
    doing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where the reader is. view: main, details, log, events or help; back: the one before. selected, at: key and index
    of a row. top, left: lines and columns that are scrolled away; bottom: lines above the end, of views that follow
    theirs. filter, grep: text that rows, or lines of a log and events, must hold. typing: `filter`, `grep` or `scale`
    while one is typed, with its text in typed. asking: what is to be confirmed. named: only programs that were
    named are shown. hidden: answers up to this unix time were put away."""

    view: str = "main"
    back: str = "main"
    selected: str = ""
    at: int = 0
    top: int = 0
    left: int = 0
    bottom: int = 0
    sort: str = "name"
    reverse: bool = False
    filter: str = ""
    grep: str = ""
    typing: str = ""
    typed: str = ""
    troubles: bool = False
    asking: Asking | None = None
    named: bool = False
    hidden: float = 0.0


@dataclass(frozen=True, slots=True)
class Asking:
    """An action that waits for `y`. verb: start, stop, restart, pause, continue or scale. name: a selector. count: for
    scale. was: how many there are now."""

    verb: str
    name: str
    shown: str
    count: int = 0
    was: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A line that can be selected: a program (process is None), one of its processes, or a note below a program."""

    key: str
    program: str
    process: Json | None = None
    note: str = ""


# --- news -------------------------------------------------------------------------------------------------------------


def queue_key(row: Json) -> str:
    """What tells queues apart; two applications may have queues of the same name."""
    return f"{row['connection']}:{row['queue']} {row.get('app', '')}"


def saw(data: Data, snapshot: Json, queues: Json | None, now: float, queues_why: str = "") -> Data:
    """The daemon answered. queues: its reply to messages.Queues; None where that could not be had."""
    history: dict[str, tuple[tuple[float, int, float | None], ...]] = {}
    for row in queues["queues"] if queues else ():
        past = data.history.get(queue_key(row), ())
        if row["ready"] is not None:
            past = (*past, (now, backlog(row), row["rate_done"]))
        history[queue_key(row)] = tuple(each for each in past if now - each[0] <= HISTORY_SECONDS)
    return replace(data, snapshot=snapshot, taken=now, queues=queues, queues_why=queues_why, history=history, away=None)


def lost(data: Data, message: str, hint: str, now: float, *, gone: bool) -> Data:
    """The daemon did not answer; since when is kept while it does not."""
    since = data.away.since if data.away else now
    return replace(data, away=Away(message, hint, since, gone))


def happened(data: Data, events: Iterable[Json]) -> Data:
    """Events of the journal came."""
    return replace(data, events=(*data.events, *events)[-KEPT_EVENTS:])


def deployed(data: Data, event: Json) -> Data:
    """A deploy told something (controller/deploytold.py)."""
    kind = event["event"]
    if kind == "begun":
        return replace(data, deploy=Deploy(str(event.get("deploy", "")), "begins", begun=event["time"]))
    deploy = data.deploy or Deploy(begun=event["time"])
    if kind == "phase":
        back = event.get("phase") == "back"
        bars = {} if back and not deploy.back else deploy.bars
        deploy = replace(deploy, phase=event["message"], back=back or deploy.back, bars=bars, waiting="")
    elif kind == "pool":
        numbers = (event["done"], event["total"], event["draining"])
        deploy = replace(deploy, bars={**deploy.bars, event["program"]: numbers})
    elif kind == "waiting":
        deploy = replace(deploy, waiting=str(event["message"]).removeprefix("waiting: "))
    elif kind == "failed":
        deploy = replace(deploy, failure=event["message"])
    elif kind == "ended":
        report = event.get("report") or {}
        deploy = replace(
            deploy, name=deploy.name or str(report.get("id") or ""), result=str(report.get("result", "ended")),
            ended=event["time"],
        )  # fmt: skip
    return replace(data, deploy=deploy)


def concluded(data: Data, report: Json, now: float) -> Data:
    """No deploy goes on (any more), as the report on the last one says: one that is shown as going on has ended
    while the daemon could not be asked."""
    if data.deploy is None or data.deploy.ended is not None:
        return data
    return deployed(data, {"event": "ended", "time": now, "report": report})


def backlog(row: Json) -> int:
    """Jobs of a queue that a free worker would take now."""
    return sum(row[key] or 0 for key in ("ready", "due", "expired"))


def told(shown: str, reply: Json, now: float) -> Answer:
    """What the daemon replied to an action, in a line. shown: the action in words."""
    failed = [item for item in reply.get("results") or reply.get("failed") or () if item["result"] == "failed"]
    if failed:
        first = failed[0]
        why = f": {first['message']}" if first["message"] else ""
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return Answer(f"{shown}: {first['display']} failed{why}{more}", now, "Enter on its line shows why", bad=True)
    if "results" not in reply:
        return Answer(str(reply.get("message") or f"{shown}: done"), now)
    counts: dict[str, int] = {}
    for item in reply["results"]:
        counts[item["result"]] = counts.get(item["result"], 0) + 1
    if len(reply["results"]) == 1:
        item = reply["results"][0]
        why = f" ({item['message']})" if item["message"] else ""
        return Answer(f"{item['display']}: {item['result']}{why}", now)
    return Answer(f"{shown}: {', '.join(f'{count} {word}' for word, count in counts.items()) or 'nothing to do'}", now)


# --- rows -------------------------------------------------------------------------------------------------------------


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
