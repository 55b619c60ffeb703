"""What a key does in `top`: (State, Data, key) -> State and what is to be done. PURE; doing it is topfeed.py's and
top.py's matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from queuepool.cli.topmodel import Asking, Data, State
from queuepool.cli.toprows import SORTS, Row, program_of, rows, selected
from queuepool.control.messages import Continue, Pause, Restart, Scale, Start, Stop

MOST = 10_000
"""More processes are refused by the daemon anyway."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


@dataclass(frozen=True, slots=True)
class Redraw:
    """Draw everything again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Have something done. shown: it in words, such as `restart w:0`."""

    request: Start | Stop | Restart | Pause | Continue | Scale
    shown: str


@dataclass(frozen=True, slots=True)
class ShowLog:
    """Follow the log of this process (its name), or of this program."""

    program: str
    process: str


Deed = Quit | Redraw | Ask | ShowLog
Result = tuple[State, Deed | None]


def press(state: State, data: Data, key: str, page: int = 10) -> Result:
    """One key. page: lines that PgUp and PgDn move."""
    if key == "redraw":
        return state, Redraw()
    if state.asking is not None:
        return _confirm(state, state.asking, key)
    if state.typing:
        return _type(state, data, key)
    if key == "esc" and data.answer is not None and data.answer.at > state.hidden:
        return replace(state, hidden=data.answer.at), None
    if state.view == "main":
        return _main(state, data, key, page)
    return _other(state, data, key, page)


def _main(state: State, data: Data, key: str, page: int) -> Result:
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdn": page, " ": page}
    steps |= {"home": -(10**6), "g": -(10**6), "end": 10**6, "G": 10**6}
    if key in steps:
        return _moved(state, data, steps[key]), None
    if key in ("q", "Q"):
        return state, Quit()
    if key == "s":
        names = list(SORTS)
        at = names.index(state.sort) if state.sort in names else -1
        return replace(state, sort=names[(at + 1) % len(names)], reverse=False), None
    if key == "S":
        return replace(state, reverse=not state.reverse), None
    if key == "f":
        return replace(state, troubles=not state.troubles), None
    if key == "/":
        return replace(state, typing="filter", typed=state.filter), None
    if key == "esc":
        return replace(state, filter="", troubles=False), None
    if key == "enter":
        row = selected(state, data)
        return (_open(state, "details"), _log_of(row)) if row is not None else (state, None)
    return _anywhere(state, data, key)


def _anywhere(state: State, data: Data, key: str) -> Result:
    """Keys that mean the same in the main view and in details."""
    if key in ("?", "h"):
        return _open(state, "help"), None
    if key == "e":
        return _open(state, "events"), None
    row = selected(state, data)
    if row is None:
        return state, None
    if key == "t":
        return _open(state, "log"), _log_of(row)
    verb = {"r": "restart", "x": "stop", "a": "start", "p": "pause"}.get(key)
    if verb == "pause":
        verb = "continue" if _is_paused(row, data) else "pause"
    if verb is not None:
        name = str(row.process["name"]) if row.process is not None else row.program
        shown = str(row.process["display"]) if row.process is not None else row.program
        return replace(state, asking=Asking(verb, name, shown)), None
    if key in ("+", "=", "-") or (key.isascii() and key.isdigit()):
        return _scale(state, data, row, key), None
    return state, None


def _log_of(row: Row) -> ShowLog:
    return ShowLog(row.program, str(row.process["name"]) if row.process is not None else "")


def _scale(state: State, data: Data, row: Row, key: str) -> State:
    program = program_of(data, row.program)
    if program is None:
        return state
    if key.isdigit():
        return replace(state, typing="scale", typed=key)
    was = int(program["wanted"])
    count = max(0, was + (-1 if key == "-" else 1))
    return replace(state, asking=Asking("scale", row.program, row.program, count, was))


def _confirm(state: State, asking: Asking, key: str) -> Result:
    """y does it, + and - change a number; anything else does not do it."""
    if asking.verb == "scale" and key in ("+", "=", "-"):
        count = min(MOST, max(0, asking.count + (-1 if key == "-" else 1)))
        return replace(state, asking=replace(asking, count=count)), None
    state = replace(state, asking=None)
    return (state, deed(asking)) if key in ("y", "Y") else (state, None)


def deed(asking: Asking) -> Ask:
    """The request for what was confirmed."""
    if asking.verb == "scale":
        return Ask(Scale(asking.name, asking.count), f"scale {asking.shown} to {asking.count}")
    names, shown = (asking.name,), f"{asking.verb} {asking.shown}"
    if asking.verb == "start":
        return Ask(Start(names), shown)
    if asking.verb == "stop":
        return Ask(Stop(names), shown)
    if asking.verb == "restart":
        return Ask(Restart(names), shown)
    return Ask(Pause(names) if asking.verb == "pause" else Continue(names), shown)


def _type(state: State, data: Data, key: str) -> Result:
    typed, kind = state.typed, state.typing
    if key == "esc":
        cleared = {"filter": {"filter": ""}, "grep": {"grep": ""}}.get(kind, {})
        return replace(state, typing="", typed="", **cleared), None  # type: ignore[arg-type]
    if key == "enter":
        state = replace(state, typing="", typed="")
        row = selected(state, data) if kind == "scale" else None
        if row is None or not typed:
            return state, None
        return state, deed(Asking("scale", row.program, row.program, int(typed)))
    if key == "backspace":
        typed = typed[:-1]
    elif key == "clear":
        typed = ""
    elif len(key) == 1 and (kind != "scale" or (key.isascii() and key.isdigit() and len(typed) < 5)):
        typed = (typed + key)[:200]
    elif kind != "scale" and key in ("up", "down") and state.view == "main":
        return _moved(state, data, -1 if key == "up" else 1), None
    if kind == "filter":
        return replace(state, typed=typed, filter=typed), None
    if kind == "grep":
        return replace(state, typed=typed, grep=typed, bottom=0), None
    return replace(state, typed=typed), None


def _other(state: State, data: Data, key: str, page: int) -> Result:
    if key in ("q", "Q", "enter") or (key == "esc" and not state.grep) or (key in ("?", "h") and state.view == "help"):
        return replace(state, view=state.back, back="main", top=0, left=0, bottom=0, grep=""), None
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdn": page, " ": page}
    steps |= {"home": -(10**6), "g": -(10**6), "end": 10**6, "G": 10**6}
    follows = state.view in ("log", "events")
    if key in steps and follows:
        return replace(state, bottom=max(0, state.bottom - steps[key])), None
    if key in steps:
        return replace(state, top=max(0, state.top + steps[key])), None
    if key in ("left", "right"):
        return replace(state, left=max(0, state.left + (20 if key == "right" else -20))), None
    if key == "/" and follows:
        return replace(state, typing="grep", typed=state.grep), None
    if key == "esc":
        return replace(state, grep=""), None
    if key == "f" and state.view == "events":
        return replace(state, troubles=not state.troubles), None
    return _anywhere(state, data, key) if state.view == "details" else (state, None)


def _open(state: State, view: str) -> State:
    """Another view; from it one comes back to this one."""
    return replace(state, view=view, back=state.view, top=0, left=0, bottom=0, grep="")


def _moved(state: State, data: Data, step: int) -> State:
    found = rows(state, data)
    if not found:
        return state
    keys = [row.key for row in found]
    at = keys.index(state.selected) if state.selected in keys else min(state.at, len(found) - 1)
    at = min(max(at + step, 0), len(found) - 1)
    return replace(state, selected=keys[at], at=at)


def _is_paused(row: Row, data: Data) -> bool:
    """Whether all that the row stands for is paused."""
    if row.process is not None:
        return bool(row.process["paused"])
    processes = data.snapshot["processes"] if data.snapshot else ()
    alive = [process for process in processes if process["program"] == row.program and process["pid"]]
    return bool(alive) and all(process["paused"] for process in alive)
