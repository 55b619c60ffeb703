"""The views of `top` beside the main one: details, a log, events and help, as lines. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap

import click

from queuepool.cli import cells, render
from queuepool.cli.render import clean, short
from queuepool.cli.topmodel import Data, Json, Size, State
from queuepool.cli.toprows import Row, event_lines, program_of, selected
from queuepool.cli.toptables import HEAD, age, event_line, memory, share
from queuepool.domain.amounts import count

LAST_LINES = 12
"""Of its log, in the details of a process."""

HELP = (
    ("up down, j k", "move; PgUp PgDn Home End too"),
    ("Enter", "all about the selected process or program; Esc or q back"),
    ("t", "its log, live; left and right move long lines, / shows only lines with a text"),
    ("e", "what happened: the daemon's journal"),
    ("r  x  a", "restart, stop, start the selected process, or its whole program on the program's line"),
    ("p", "pause it after its job, or let it continue"),
    ("+  -  0-9", "more or fewer processes of the program, or so many"),
    ("/", "show only what holds a text: name, state, job, reason; Esc shows all again"),
    ("s  S", "sort by the next column; the other way round"),
    ("f", "show only what is in trouble"),
    ("Ctrl-L", "draw the screen again"),
    ("q", "quit; nothing that runs is touched"),
)


def scrolled(state: State, data: Data, size: Size) -> tuple[State, list[str]]:
    """A text that is read from its top: details and help."""
    title, text = ("help", _help(size.columns)) if state.view == "help" else _details(state, data)
    room = max(0, size.lines - 1)
    top = min(state.top, max(0, len(text) - max(1, room)))
    more = f"{top + 1}-{min(len(text), top + room)} of {len(text)}" if len(text) > room else ""
    first = cells.with_right(click.style(title, bold=True), more, size.columns)
    return replace(state, top=top), [first, *_from(state.left, text[top : top + room])]


def _help(columns: int) -> list[str]:
    lines = []
    for keys, what in HELP:
        for at, part in enumerate(wrap(what, max(20, columns - 16))):
            lines.append(f"  {'' if at else keys:12}  {part}")
    return lines


def _details(state: State, data: Data) -> tuple[str, list[str]]:
    row = selected(state, data)
    if row is None:
        return "nothing is selected", []
    if row.process is None:
        return clean(row.program), list(_program_details(row, data))
    return clean(row.process["display"]), list(_process_details(row.process, data))


def _process_details(process: Json, data: Data) -> Iterator[str]:
    state = click.style(process["state"], fg=render.COLORS.get(process["state"]))
    since = f" for {age(data.now - process['changed_at'])}" if process["changed_at"] else ""
    marks = "".join(f"  [{mark}]" for mark in ("stale", "paused", "retiring", "adopted") if process[mark])
    held = "" if process["wanted"] else "  (it is not to run)"
    yield _fact("state", f"{state}{since}{click.style(marks, fg='yellow')}{held}")
    if process["pid"]:
        yield _fact("pid", f"{process['pid']}, up {age(process['uptime'])}, cpu {share(process['cpu'])}, "
                           f"memory {memory(process['rss'])}")  # fmt: skip
    yield _fact("restarts", str(process["restarts"]))
    if job := process["job"]:
        since = f" for {short(max(0.0, data.now - job['since']))}" if job.get("since") is not None else ""
        attempt = f", id {clean(str(job['id']))}" if job.get("id") else ""
        yield _fact("job", f"{clean(str(job.get('class') or job.get('name') or 'a job'))}{since}{attempt}")
    if process["release"]:
        yield _fact("release", clean(process["release"]))
    if process["reason"]:
        yield _fact("reason", clean(process["reason"]))
    if process["exit_code"] is not None:
        yield _fact("exit code", str(process["exit_code"]))
    if process["state"] in ("BACKOFF", "FATAL", "EXITED") and process["wanted"]:
        for line in render.process_why(process, set()):
            name, _, text = cells.SGR.sub("", line).strip().partition(": ")
            yield _fact(name, text)
    if process["log"]:
        yield _fact("log", clean(process["log"]))
    if process["paused_queues"]:
        yield _fact("paused", f"it leaves {clean(', '.join(process['paused_queues']))} alone")
    yield ""
    events = [item for item in data.events if item["process"] == process["name"]][-4:]
    yield from (event_line(item) for item in events)
    lines = [clean(line.expandtabs()) for line in process["last_lines"]]
    if not lines and data.log is not None:
        lines = list(data.log.lines[-LAST_LINES:])
        if data.log.note:
            yield click.style(f"  {clean(data.log.note)}", fg="yellow")
    yield from (click.style("| ", fg=HEAD) + line for line in lines)


def _program_details(row: Row, data: Data) -> Iterator[str]:
    program = program_of(data, row.program)
    if program is None or data.snapshot is None:
        return
    processes = [process for process in data.snapshot["processes"] if process["program"] == row.program]
    yield "  " + render.program_line(program, processes)
    yield _fact("kind", clean(program["kind"]))
    for problem in program["problems"]:
        yield click.style(f"  ! {clean(problem)}", fg="yellow")
    if work := program["work"]:
        runtime = work["runtime"]
        mean = f", {short(runtime['mean'])} each" if runtime and runtime.get("mean") is not None else ""
        yield _fact("jobs", f"{work['done']} done, {work['failed']} failed, {work['per_second']:.1f} per s{mean}")
    for queue in data.queues["queues"] if data.queues else ():
        if row.program in queue["programs"]:
            waits = "" if queue["wait"] is None else f", a new job waits {short(queue['wait'])}"
            ready = "-" if queue["ready"] is None else queue["ready"]
            yield _fact("queue", f"{clean(queue['connection'])}:{clean(queue['queue'])}: {ready} ready{waits}")
    if program["horizon"]:
        from queuepool.cli.horizon import lines

        yield from lines(program["horizon"], [process["pid"] for process in processes])


def _fact(name: str, text: str) -> str:
    return f"  {click.style(name.ljust(9), fg=HEAD)} {text}"


def _from(left: int, lines: Sequence[str]) -> Sequence[str]:
    """Lines without what is scrolled away to the left."""
    return [cells.after(cells.SGR.sub("", line), left) for line in lines] if left else lines


def following(state: State, data: Data, size: Size) -> tuple[State, list[str]]:
    """Lines that come: a log or the journal. They are shown to their end unless the reader went up."""
    room = max(0, size.lines - 1)
    notes: list[str] = []
    grep = state.grep.casefold()
    if state.view == "events":
        title = "events, troubles only" if state.troubles else "events"
        found: Sequence[str] = [event_line(item) for item in event_lines(data, state)]
    else:
        log = data.log
        title = f"{clean(log.title)}  {clean(log.path)}" if log else "log"
        found = [line for line in log.lines if grep in line.casefold()] if log else ()
        notes = [click.style(clean(log.note), fg="yellow")] if log and log.note else []
    room = max(0, room - len(notes))
    bottom = min(state.bottom, max(0, len(found) - max(1, room)))
    end = len(found) - bottom
    shown = found[max(0, end - room) : end] if room else []
    shown = _from(state.left, shown)
    if not found:
        shown = [click.style("  nothing yet" if not grep else "  no line holds it", fg=HEAD)]
    parts = [f"only: {clean(state.grep)}"] if state.grep else []
    parts += [f"{count(bottom, 'line')} below"] if bottom else []
    first = cells.with_right(click.style(title, bold=True), ", ".join(parts), size.columns)
    return replace(state, bottom=bottom), [first, *notes, *shown]
