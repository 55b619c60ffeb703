"""The last lines of each screen of `top`: a question, what is typed, what became of an action, or the keys. PURE."""

from __future__ import annotations

import click

from queuepool.cli import cells
from queuepool.cli.render import clean
from queuepool.cli.topmodel import ANSWER_SECONDS, ERROR_SECONDS, Asking, Data, State
from queuepool.cli.toprows import selected

_KEYS = {
    "main": (
        *(("?", "help"), ("q", "quit"), ("Enter", "details"), ("t", "log"), ("r", "restart"), ("x", "stop")),
        *(("a", "start"), ("p", "pause"), ("+-", "scale"), ("/", "filter"), ("s", "sort"), ("e", "events")),
        ("f", "troubles"),
    ),
    "details": (("q", "back"), ("t", "log"), ("r", "restart"), ("x", "stop"), ("a", "start"), ("p", "pause")),
    "log": (("q", "back"), ("/", "only lines with"), ("k j", "up, down"), ("End", "newest"), ("<- ->", "left, right")),
    "events": (("q", "back"), ("/", "only lines with"), ("k j", "up, down"), ("End", "newest"), ("f", "troubles")),
    "help": (("q", "back"),),
}


def footer(state: State, data: Data, columns: int) -> list[str]:
    """One line, or two where an error has a hint: what is asked or typed, what became of an action, or the keys."""
    if state.asking is not None:
        return [click.style(question(state.asking, data), bold=True)]
    if state.typing:
        return [_typed(state, data, columns)]
    answer = data.answer
    seconds = ERROR_SECONDS if answer is not None and answer.bad else ANSWER_SECONDS
    if answer is not None and answer.at > state.hidden and data.now - answer.at < seconds:
        lines = [click.style(clean(answer.text), fg="red" if answer.bad else "green", bold=answer.bad)]
        return [*lines, click.style("hint: ", fg="cyan") + clean(answer.hint)] if answer.hint else lines
    if data.doing:
        return [click.style(f"{clean(', '.join(data.doing))} ...", fg="cyan")]
    keys = [f"{click.style(key, bold=True)} {what}" for key, what in _KEYS.get(state.view, ())]
    return [cells.joined(keys, columns)]


def question(asking: Asking, data: Data) -> str:
    """What `y` would do."""
    name = clean(asking.shown)
    if asking.verb == "scale":
        return f"scale {name} from {asking.was} to {asking.count}? y/n"
    processes = data.snapshot["processes"] if data.snapshot else ()
    busy = sum(bool(p["job"]) for p in processes if asking.name in (p["name"], p["program"]))
    note = ""
    if asking.verb in ("stop", "restart") and busy:
        note = " (its job is finished first)" if busy == 1 else f" ({busy} jobs are finished first)"
    return f"{asking.verb} {name}{note}? y/n"


def _typed(state: State, data: Data, columns: int) -> str:
    row = selected(state, data)
    label, ends = {
        "filter": ("filter: ", "Enter keeps it, Esc shows all"),
        "grep": ("only lines with: ", "Enter keeps it, Esc shows all"),
        "scale": (f"scale {clean(row.program) if row else 'nothing'} to: ", "Enter does it, Esc does not"),
    }[state.typing]
    room = max(1, columns - len(label) - 1)
    text = clean(state.typed)
    while cells.width(text) > room:
        text = text[1:]
    line = click.style(label, bold=True) + text + click.style(" ", reverse=True)
    return cells.with_right(line, ends, columns)
