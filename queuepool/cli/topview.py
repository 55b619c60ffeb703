"""The screens of `top`: (State, Data, size) -> the lines to show, and the State as it then stands. PURE. Each screen
has exactly as many lines as the terminal, none wider than it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from queuepool.cli import cells, render
from queuepool.cli.render import clean, short
from queuepool.cli.topfoot import footer
from queuepool.cli.topmodel import DEPLOY_SECONDS, Data, Look, Size, State
from queuepool.cli.toppages import following, scrolled
from queuepool.cli.toprows import Row, event_lines, rows, settled
from queuepool.cli.toptables import HEAD, age, event_line, memory, process_table, queue_table, queues_to_show, share

SILENT_SECONDS = 3.0
"""Without an answer, and without an error yet, until that is said."""
NOT_YET = "not asked yet"
"""What is said of a queue before the first look at it (domain/queues.py); no reason to be alarmed."""


def screen(state: State, data: Data, size: Size, look: Look) -> tuple[State, list[str]]:
    """What to show now, and the state with its selection and scrolling as they are shown."""
    foot = footer(state, data, size.columns)
    height = max(0, size.lines - len(foot))
    if state.view == "main":
        state, lines = _main(state, data, Size(size.columns, height), look)
    elif state.view in ("log", "events"):
        state, lines = following(state, data, Size(size.columns, height))
    else:
        state, lines = scrolled(state, data, Size(size.columns, height))
    lines = lines[:height] + [""] * (height - len(lines)) + foot
    return state, [cells.clip(cells.tame(line), size.columns) for line in lines[-size.lines :]]


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
        table[0] = cells.with_right(table[0], _where(state, found, window), size.columns)
    table += [""] * (height + 1 - len(table))
    return state, [*top, *table[: height + 1], *below]


def head(data: Data, columns: int, look: Look) -> str:
    """The line of the daemon: what there is room for, the most important first."""
    right = time.strftime("%H:%M:%S", time.localtime(data.now))
    if data.snapshot is None:
        return cells.with_right(click.style(f"queuepool {look.version}".rstrip(), bold=True), right, columns)
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
    return cells.with_right(cells.joined(parts, columns - len(right) - 2), right, columns)


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
    told: set[str] = set()
    for where, one in (data.queues["redis"] if data.queues else {}).items():
        if not one["up"]:
            told.add(one["why"])
            why = clean(one["why"])
            yield click.style("! " + (why if where in why else f"redis at {clean(where)}: {why}"), fg="red")
    for problem in daemon["problems"]:
        if problem in told:
            continue
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


def _rule(title: str, columns: int, look: Look) -> str:
    line = "─" if look.blocks is cells.BLOCKS else "-"
    return click.style(f"{line * 2} {title} {line * max(0, columns - len(title) - 4)}", fg=HEAD)
