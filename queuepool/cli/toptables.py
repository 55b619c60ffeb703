"""The tables of `top`: which columns there is room for, and what stands in them. PURE. Which rows there are is
toprows.py's matter, where the tables stand topview.py's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from queuepool.cli import cells, render
from queuepool.cli.queue_table import rate, seconds
from queuepool.cli.render import clean
from queuepool.cli.topmodel import HISTORY_SECONDS, Data, Json, State, backlog, queue_key
from queuepool.cli.toprows import Row, event_text, is_queue_troubled, job_name

HEAD = "bright_black"


@dataclass(frozen=True, slots=True)
class Column:
    """need: cells. rank: the highest is left out first where there is no room for all. sort: the order it shows."""

    head: str
    need: int
    rank: int
    cell: Callable[[Json, Data], str]
    sort: str = ""
    right: bool = True


def age(value: float | None) -> str:
    """A time in at most eight cells: 0:00:12, 12:00:00, 3d 4h."""
    if value is None or not math.isfinite(value):
        return "-"
    if value < 86400:
        return render.duration(value)
    days, rest = divmod(int(min(value, 1e9)), 86400)
    return f"{days}d {rest // 3600}h" if days < 1000 else f"{days}d"


def share(value: float | None) -> str:
    """A share of a processor: 30%."""
    return "-" if value is None or not math.isfinite(value) else f"{min(value, 99.99) * 100:.0f}%"


def memory(value: float | None) -> str:
    """Bytes in at most six cells: 41 MB, 1.2 GB, 12 GB."""
    if value is None or not math.isfinite(value) or value < 0:
        return "-"
    return render.size(value) if value < 9.95e9 else f"{min(value / 1e9, 9999):.0f}G"


PROCESS = (
    Column("STATE", 8, 1, lambda p, data: _state(p), "state", right=False),
    Column("PID", 7, 6, lambda p, data: str(p["pid"] or "-"), "pid"),
    Column("UPTIME", 8, 3, lambda p, data: age(p["uptime"]), "uptime"),
    Column("CPU", 5, 4, lambda p, data: share(p["cpu"]), "cpu"),
    Column("MEMORY", 6, 5, lambda p, data: memory(p["rss"]), "memory"),
    Column("RST", 3, 7, lambda p, data: _count(p["restarts"]), "restarts"),
    Column("RELEASE", 14, 8, lambda p, data: _release(p["release"]), right=False),
)


def process_table(state: State, data: Data, rows: Sequence[Row], columns: int) -> Iterator[str]:
    """The head of the table, then a line for each of `rows`."""
    flat = state.sort != "name"
    longest = max((cells.width(_name(row.process, flat)) for row in rows if row.process), default=0) + 2
    room = columns - 1
    direction = ", reversed" if state.reverse else ""
    title = f"PROCESS (by {state.sort}{direction})" if flat or state.reverse else "PROCESS"
    name = max(min(max(longest, 12), room * 9 // 20), min(len(title), room // 3))
    shown = _chosen(PROCESS, room - name - 11)
    if _left(shown, room, name) < 24:  # jobs and reasons want the room more than a release that is the same for all
        shown = [column for column in shown if column.head != "RELEASE"]
    last = _left(shown, room, name)
    yield _line(
        " ",
        click.style(cells.fit(title, name), fg=HEAD, bold=flat),
        *(_head(column, state.sort) for column in shown),
        click.style("JOB", fg=HEAD, bold=state.sort == "job"),
    )
    of_program: dict[str, list[Json]] = {}
    if any(row.process is None for row in rows) and data.snapshot:
        for process in data.snapshot["processes"]:
            of_program.setdefault(process["program"], []).append(process)
    programs = {program["name"]: program for program in data.snapshot["programs"]} if data.snapshot else {}
    for row in rows:
        chosen = row.key == state.selected
        if row.process is None:
            if row.note:
                text = click.style(f"  ! {row.note}", fg="yellow")
            else:
                text = program_row(programs.get(row.program), of_program.get(row.program, ()))
            text = (">" if chosen else " ") + text
        else:
            text = _line(
                ">" if chosen else " ",
                cells.fit(_name(row.process, flat), name),
                *(cells.fit(column.cell(row.process, data), column.need, right=column.right) for column in shown),
                cells.clip(activity(row.process, data.now), last),
            )
        yield cells.marked(text, columns) if chosen else text


def program_row(program: Json | None, processes: Sequence[Json]) -> str:
    """The line of a program: how many run and why, and what they take together."""
    if program is None:
        return ""
    used = [process for process in processes if process["rss"] is not None]
    total = ""
    if used:
        cpu = sum(process["cpu"] or 0 for process in used)
        total = click.style(f"  {share(cpu)} cpu, {memory(sum(process['rss'] for process in used))}", fg=HEAD)
    return render.program_line(program, processes) + total


def activity(process: Json, now: float) -> str:
    """What a process does: its job and for how long, or why it does not run."""
    marks = [click.style(f"[{mark}]", fg="yellow") for mark in ("stale", "paused", "retiring") if process[mark]]
    text = ""
    if job := process["job"]:
        since = job.get("since")
        took = f"{render.short(max(0.0, now - since))} " if since is not None else ""
        text = took + clean(job_name(process).rpartition("\\")[2])
    elif process["reason"] and process["state"] != "RUNNING":
        text = clean(process["reason"])
    elif process["idle_since"] is not None:
        text = click.style(f"idle {render.short(max(0.0, now - process['idle_since']))}", fg=HEAD)
    return " ".join([*marks, text] if text else marks)


def event_line(item: Json) -> str:
    """An event with its time of day."""
    when = time.strftime("%H:%M:%S", time.localtime(item["time"]))
    color = render.EVENT_COLORS.get(item["event"])
    return f"{click.style(when, fg=HEAD)} {click.style(clean(event_text(item)), fg=color)}"


QUEUE = (
    Column("READY", 6, 1, lambda q, data: _held(q, "ready")),
    Column("DELAYED", 7, 6, lambda q, data: _held(q, "delayed")),
    Column("RESERVED", 8, 8, lambda q, data: _held(q, "reserved")),
    Column("OLDEST", 6, 2, lambda q, data: seconds(q["oldest"])),
    Column("IN/S", 5, 5, lambda q, data: rate(q["rate_in"])),
    Column("DONE/S", 6, 4, lambda q, data: rate(q["rate_done"])),
    Column("FAILED", 6, 9, lambda q, data: _count(q["failed"])),
    Column("BUSY", 5, 7, lambda q, data: f"{q['busy']}/{q['workers']}" if q["workers"] is not None else "-"),
    Column("WAIT", 5, 3, lambda q, data: seconds(q["wait"])),
)


def queue_table(data: Data, shown: Sequence[Json], more: int, columns: int, blocks: str) -> Iterator[str]:
    """The head of the table, then a line for each queue of `shown`. more: queues that are left out."""
    names = [clean(f"{row['connection']}:{row['queue']}") for row in shown]
    room = columns - 1
    name = min(max([cells.width(text) for text in names] + [12]), max(12, room // 4))
    chosen = _chosen(QUEUE, room - name - 9)
    last = _left(chosen, room, name)
    title = f"QUEUE (+{more})" if more else "QUEUE"
    minutes = "last 3 min" if last >= 10 else "3 min"
    yield _line(
        " ", click.style(cells.fit(title, name), fg=HEAD), *(_head(column, "") for column in chosen),
        click.style(minutes, fg=HEAD),
    )  # fmt: skip
    for text, row in zip(names, shown, strict=True):
        line = _line(
            " ",
            cells.fit(text, name),
            *(cells.fit(column.cell(row, data), column.need, right=True) for column in chosen),
        )
        troubled = is_queue_troubled(row)
        yield (click.style(line, fg="yellow") if troubled else line) + " " + _depths(data, row, last, blocks)


def queues_to_show(data: Data, programs: Sequence[str] | None, most: int) -> tuple[list[Json], int]:
    """The queues there is room for, and how many more there are. Where not all fit, those with trouble and the deepest
    come first. programs: only queues of these; None: all."""
    found = [
        row
        for row in (data.queues["queues"] if data.queues else ())
        if programs is None or set(programs) & set(row["programs"])
    ]
    if len(found) <= most:
        return found, 0
    order = sorted(range(len(found)), key=lambda at: (not is_queue_troubled(found[at]), -backlog(found[at]), at))
    kept = sorted(order[:most])
    return [found[at] for at in kept], len(found) - len(kept)


def _depths(data: Data, row: Json, columns: int, blocks: str) -> str:
    """The jobs that waited in the last minutes, the newest at the right."""

    columns = min(columns, 60)
    past = data.history.get(queue_key(row), ())
    if not past:
        return ""
    step = HISTORY_SECONDS / columns
    buckets: list[float | None] = [None] * columns
    # By whole steps of the clock, so that a bar does not change its height while it wanders to the left.
    newest = math.floor(past[-1][0] / step)
    for at, waiting, _ in past:
        place = columns - 1 - (newest - math.floor(at / step))
        if 0 <= place < columns:
            buckets[place] = max(buckets[place] or 0, waiting)
    return click.style(cells.spark(buckets, columns, blocks), fg="cyan")


def _chosen(columns: Sequence[Column], room: int) -> list[Column]:
    """Those that fit into `room` cells, each after a blank."""
    kept = list(columns)
    while kept and sum(column.need + 1 for column in kept) > room:
        kept.remove(max(kept, key=lambda column: column.rank))
    return kept


def _left(columns: Sequence[Column], room: int, name: int) -> int:
    """Cells for the last column, beside the name and these."""
    return max(1, room - name - 1 - sum(column.need + 1 for column in columns))


def _head(column: Column, sort: str) -> str:
    text = cells.fit(column.head, column.need, right=column.right)
    return click.style(text, fg=HEAD, bold=bool(sort) and column.sort == sort)


def _line(marker: str, *parts: str) -> str:
    return marker + " ".join(parts)


def _name(process: Mapping[str, Any], flat: bool) -> str:
    display, name = clean(process["display"]), clean(process["name"])
    return name if flat else "  " + (display.rpartition(":")[2] or name)


def _state(process: Json) -> str:
    return click.style(clean(process["state"]), fg=render.COLORS.get(process["state"]))


def _release(path: str | None) -> str:
    return clean(path.rstrip("/").rpartition("/")[2]) if path else "-"


def _held(row: Json, key: str) -> str:
    return "-" if row[key] is None else f"{'~' if row['estimated'] else ''}{_count(row[key])}"


def _count(value: int | None) -> str:
    """A number in at most five cells."""
    if value is None:
        return "-"
    return (
        str(value) if value < 100_000 else f"{value / 1000:.0f}k" if value < 1e6 else f"{min(value / 1e6, 9999):.0f}M"
    )
