"""What `top` knows (Data) and where its reader is in it (State), as values, and what news make of the former. PURE:
which rows follow is toprows.py's matter, how a screen looks topview.py's, what a key does topkeys.py's, where news come
from topfeed.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from queuepool.cli import cells

Json = Mapping[str, Any]

HISTORY_SECONDS = 180.0
KEPT_EVENTS = 1000
ANSWER_SECONDS = 8.0
ERROR_SECONDS = 40.0
DEPLOY_SECONDS = 30.0
"""How long an answer, an error and the end of a deploy stay on the screen."""


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
class Size:
    """Of a terminal, in cells."""

    columns: int
    lines: int


@dataclass(frozen=True, slots=True)
class Look:
    """blocks: of which bars are made. version: of this command."""

    blocks: str = cells.BLOCKS
    version: str = ""


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
