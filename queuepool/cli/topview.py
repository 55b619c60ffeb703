"""The screens of `top`: (State, Data, size) -> the lines to show, and the State as it then stands. PURE. Each screen
has exactly as many lines as the terminal, none wider than it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

import click

from queuepool.cli import cells, render
from queuepool.cli.render import clean, short
from queuepool.cli.topmodel import (
    ANSWER_SECONDS,
    DEPLOY_SECONDS,
    ERROR_SECONDS,
    Asking,
    Data,
    Json,
    Row,
    State,
    event_lines,
    event_text,
    program_of,
    rows,
    selected,
    settled,
)
from queuepool.cli.toptables import HEAD, age, memory, process_table, queue_table, queues_to_show, share

LAST_LINES = 12
"""Of its log, in the details of a process."""
SILENT_SECONDS = 3.0
"""Without an answer, and without an error yet, until that is said."""
NOT_YET = "not asked yet"
"""What is said of a queue before the first look at it (domain/queues.py); no reason to be alarmed."""


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


def screen(state: State, data: Data, size: Size, look: Look) -> tuple[State, list[str]]:
    """What to show now, and the state with its selection and scrolling as they are shown."""
    foot = footer(state, data, size.columns)
    height = max(0, size.lines - len(foot))
    if state.view == "main":
        state, lines = _main(state, data, Size(size.columns, height), look)
    elif state.view in ("log", "events"):
        state, lines = _following(state, data, Size(size.columns, height))
    else:
        state, lines = _scrolled(state, data, Size(size.columns, height))
    lines = lines[:height] + [""] * (height - len(lines)) + foot
    return state, [cells.clip(cells.tame(line), size.columns) for line in lines[-size.lines :]]


# --- the main view ----------------------------------------------------------------------------------------------------


def _main(state: State, data: Data, size: Size, look: Look) -> tuple[State, list[str]]:
    top = [head(data, size.columns, look)]
    if (deploy := deploy_line(data, size.columns, look)) is not None:
        top.append(deploy)
    top += alerts(data, most=3 if size.lines >= 16 else 1)
    left = size.lines - len(top)
    names = [program["name"] for program in data.snapshot["programs"]] if data.snapshot else None
    shown, more = queues_to_show(data, names, max(1, left // 4) if left >= 8 else 0)
    if shown:
        top += queue_table(data, shown, more, size.columns, look.blocks)
    events = event_lines(data, state)[-(left // 7) :] if left >= 10 else []
    below = [_rule(f"events{', troubles only' if state.troubles else ''}", size.columns, look)] if events else []
    below += [event_line(item) for item in events]
    height = size.lines - len(top) - len(below) - 1
    found = rows(state, data)
    state = settled(state, found, height)
    window = found[state.top : state.top + max(0, height)]
    table = list(process_table(state, data, window, size.columns))
    if not found:
        table.append(_nothing(state, data))
    if state.filter or state.troubles or len(found) > len(window):
        table[0] = _with_right(table[0], _where(state, found, window), size.columns)
    table += [""] * (height + 1 - len(table))
    return state, [*top, *table[: height + 1], *below]


def head(data: Data, columns: int, look: Look) -> str:
    """The line of the daemon: what there is room for, the most important first."""
    right = time.strftime("%H:%M:%S", time.localtime(data.now))
    if data.snapshot is None:
        return _with_right(click.style(f"queuepool {look.version}".rstrip(), bold=True), right, columns)
    daemon, processes = data.snapshot["daemon"], data.snapshot["processes"]
    wanted = sum(program["wanted"] for program in data.snapshot["programs"])
    running = sum(min(program["running"], program["wanted"]) for program in data.snapshot["programs"])
    down = sum(map(render.is_down, processes))
    stale = sum(bool(process["stale"]) for process in processes)
    parts = [click.style(f"queuepool {clean(daemon['version'])}", bold=True)]
    parts.append(click.style(f"{running} of {wanted} running", fg="green" if running >= wanted else "yellow"))
    if down:
        parts.append(click.style(f"{down} down", fg="red"))
    if stale and (data.deploy is None or data.deploy.ended is not None):
        parts.append(click.style(f"{stale} stale", fg="yellow"))
    if data.queues is not None and data.queues["redis"]:
        away = [where for where, one in data.queues["redis"].items() if not one["up"]]
        parts.append(click.style("redis DOWN", fg="red", bold=True) if away else click.style("redis up", fg="green"))
    if daemon["started_at"]:
        parts.append(f"up {age(data.now - daemon['started_at'])}")
    used = [process for process in processes if process["rss"] is not None]
    if used:
        parts.append(f"cpu {share(sum(process['cpu'] or 0 for process in used))}")
        parts.append(memory(sum(process["rss"] for process in used)))
    parts += [f"pid {daemon['pid']}", clean(daemon["config"])]
    return _with_right(_joined(parts, columns - len(right) - 2), right, columns)


def alerts(data: Data, most: int) -> list[str]:
    """What is wrong with the daemon, its file, Redis and queues: a line each, at most so many."""
    found = [*daemon_alerts(data), *_queue_alerts(data)]
    if len(found) > most:
        found[most - 1] += click.style(f"  (and {len(found) - most} more)", fg="yellow")
    return found[:most]


def daemon_alerts(data: Data) -> Iterator[str]:
    """What is wrong with the daemon, its file and Redis."""
    if data.away is not None:
        since = f"{short(data.now - data.away.since)}" if data.now - data.away.since >= 10 else (
            f"{max(0, int(data.now - data.away.since))} s"
        )  # fmt: skip
        old = f"; below: as of {short(data.now - data.taken)} ago" if data.snapshot else ""
        if data.away.gone:
            yield click.style(f"no daemon since {since}: start it with `queuepool up -d`{old}", fg="red", bold=True)
        else:
            yield click.style(f"for {since}: {clean(data.away.message)}", fg="red", bold=True)
            if data.away.hint:
                yield click.style("hint: ", fg="cyan") + clean(data.away.hint)
    if data.snapshot is None:
        return
    silent = data.now - data.taken
    if data.away is None and silent > SILENT_SECONDS + 2 * data.interval:
        yield click.style(f"the daemon has not answered for {short(silent)}", fg="yellow", bold=True)
    daemon = data.snapshot["daemon"]
    if daemon["state"] != "RUNNING":
        yield click.style(f"the daemon is {clean(daemon['state']).lower()}", fg="yellow")
    for where, one in (data.queues["redis"] if data.queues else {}).items():
        if not one["up"]:
            yield click.style(f"! redis at {clean(where)}: {clean(one['why'])}", fg="red")
    for problem in daemon["problems"]:
        yield click.style(f"! {clean(problem)}", fg="yellow")
    if data.queues is None and data.queues_why:
        yield click.style(f"! cannot ask for queues: {clean(data.queues_why)}", fg="yellow")
    for problem in data.queues["problems"] if data.queues else ():
        yield click.style(f"! {clean(problem)}", fg="yellow")


def _queue_alerts(data: Data) -> Iterator[str]:
    for row in data.queues["queues"] if data.queues else ():
        name = f"{row['connection']}:{row['queue']}"
        if row["why"] and row["why"] != NOT_YET:
            yield click.style(f"! {clean(name)}: {clean(row['why'])}", fg="yellow")
        elif row["paused"]:
            yield click.style(f"! {clean(name)} is paused", fg="yellow")


def deploy_line(data: Data, columns: int, look: Look) -> str | None:
    """The deploy that goes on as one bar over all programs, or how it ended; None without one."""
    deploy = data.deploy
    if deploy is None or (deploy.ended is not None and data.now - deploy.ended > DEPLOY_SECONDS):
        return None
    took = ""
    if deploy.begun is not None:
        took = f" {short(max(0.0, (deploy.ended or data.now) - deploy.begun))}"
    name = f"deploy {clean(deploy.name)}".rstrip()
    if deploy.ended is not None:
        color = render.RESULT_STYLES.get(deploy.result, "yellow")
        result = click.style(clean(deploy.result.replace("_", " ")), fg=color, bold=True)
        failure = f": {clean(deploy.failure)}" if deploy.failure else ""
        return f"{name} {result} after{took or ' a while'}{failure}"
    done = sum(numbers[0] for numbers in deploy.bars.values())
    total = sum(numbers[1] for numbers in deploy.bars.values())
    draining = sum(numbers[2] for numbers in deploy.bars.values())
    bar = ""
    if total:
        color = "yellow" if deploy.back else "green"
        length = max(5, min(30, columns // 5))
        bar = f" {click.style(cells.bar(done, total, length, look.blocks), fg=color)} {done}/{total}"
    drain = f", {draining} draining" if draining else ""
    waiting = f"; waits for {clean(deploy.waiting)}" if deploy.waiting else ""
    failure = click.style(f"  {clean(deploy.failure)}", fg="red") if deploy.failure else ""
    return f"{click.style(name, bold=True)}{bar}{drain}  {clean(deploy.phase)}{took}{failure}{waiting}"


def event_line(item: Json) -> str:
    """An event with its time of day."""
    when = time.strftime("%H:%M:%S", time.localtime(item["time"]))
    color = render.EVENT_COLORS.get(item["event"])
    return f"{click.style(when, fg=HEAD)} {click.style(clean(event_text(item)), fg=color)}"


def _nothing(state: State, data: Data) -> str:
    if data.snapshot is None:
        return " waiting for the daemon" if data.away else " asking the daemon"
    if state.filter:
        more = " and is in trouble" if state.troubles else ""
        return f" nothing here holds {clean(state.filter)!r}{more}; Esc shows all"
    if state.troubles:
        return " nothing is in trouble; f shows all"
    return " no programs"


def _where(state: State, found: Sequence[Row], window: Sequence[Row]) -> str:
    parts = [f"filter: {clean(state.filter)}"] if state.filter else []
    parts += ["troubles only"] if state.troubles else []
    if len(found) > len(window):
        parts.append(f"{state.at + 1}/{len(found)}")
    return ", ".join(parts)


# --- the other views --------------------------------------------------------------------------------------------------


def _scrolled(state: State, data: Data, size: Size) -> tuple[State, list[str]]:
    """A text that is read from its top: details and help."""
    title, text = ("help", _help(size.columns)) if state.view == "help" else _details(state, data)
    room = max(0, size.lines - 1)
    top = min(state.top, max(0, len(text) - max(1, room)))
    more = f"{top + 1}-{min(len(text), top + room)} of {len(text)}" if len(text) > room else ""
    first = _with_right(click.style(title, bold=True), more, size.columns)
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


def _following(state: State, data: Data, size: Size) -> tuple[State, list[str]]:
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
    parts += [f"{bottom} lines below"] if bottom else []
    first = _with_right(click.style(title, bold=True), ", ".join(parts), size.columns)
    return replace(state, bottom=bottom), [first, *notes, *shown]


# --- the last lines ---------------------------------------------------------------------------------------------------


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
    return [_joined(keys, columns)]


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
    return _with_right(line, ends, columns)


def _joined(parts: Sequence[str], columns: int) -> str:
    """The first of `parts` that fit beside each other."""
    text = ""
    for part in parts:
        longer = f"{text}  {part}" if text else part
        if text and cells.width(longer) > columns:
            break
        text = longer
    return text


def _with_right(left: str, right: str, columns: int) -> str:
    """`left`, and `right` at the end of the line, where both fit."""
    gap = columns - cells.width(left) - cells.width(right)
    if gap < 2 and columns - cells.width(right) - 2 < min(16, cells.width(left)):
        return left
    if gap < 2 and right:
        left = cells.fit(left, max(0, columns - cells.width(right) - 2))
        gap = columns - cells.width(left) - cells.width(right)
    return left + " " * gap + right if gap > 0 else left


def _rule(title: str, columns: int, look: Look) -> str:
    line = "─" if look.blocks is cells.BLOCKS else "-"
    return click.style(f"{line * 2} {title} {line * max(0, columns - len(title) - 4)}", fg=HEAD)
