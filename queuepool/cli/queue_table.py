"""Replies about queues and Redis servers -> lines of text. The other screens are render.py's, and so are the colours'
names; what is asked is queues.py's matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from queuepool.cli.render import clean, short, size
from queuepool.domain.amounts import count

_HEADS = ("QUEUE", "READY", "DELAYED", "DUE", "RESERVED", "OLDEST", "IN/S", "DONE/S", "FAILED", "BUSY", "WAIT")


def queues(reply: Mapping[str, Any]) -> Iterator[str]:
    """A line per queue, in columns; below it why one could not be asked, and what is wrong with its Redis."""
    rows = reply["queues"]
    if not rows:
        yield "no queues: no program here is a worker"
    else:
        yield from _aligned([_HEADS, *(_cells(row) for row in rows)], rows)
    for row in rows:
        name = f"{row['connection']}:{row['queue']}"
        if row["why"]:
            yield click.style(f"! {name}: {clean(row['why'])}", fg="yellow")
        if row["paused"]:
            yield click.style(f"! {name} is paused: `php artisan queue:resume {name}` lets it go on", fg="yellow")
        if row["expired"]:
            jobs = count(row["expired"], "job is", "jobs are")
            yield click.style(f"! {name}: {jobs} reserved for longer than retry_after and will run again", fg="yellow")
    for problem in reply.get("problems", ()):
        yield click.style(f"! {clean(problem)}", fg="yellow")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    about = "~" if row["estimated"] else ""
    counts = [f"{about}{row[key]}" if row[key] is not None else "-" for key in ("ready", "delayed", "due", "reserved")]
    busy = f"{row['busy']}/{row['workers']}" if row["workers"] is not None else "-"
    return (
        clean(f"{row['connection']}:{row['queue']}"),
        *counts,
        seconds(row["oldest"]),
        rate(row["rate_in"]),
        rate(row["rate_done"]),
        "-" if row["failed"] is None else str(row["failed"]),
        busy,
        seconds(row["wait"]),
    )


def seconds(value: float | None) -> str:
    """A time, or a dash where it cannot be told."""
    return "-" if value is None else short(value)


def rate(value: float | None) -> str:
    """Jobs per second, or a dash where they cannot be told."""
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _aligned(lines: Sequence[Sequence[str]], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEADS))]
    for number, line in enumerate(lines):
        first, *others = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text = "  ".join((first, *others)).rstrip()
        if not number:
            yield click.style(text, fg="bright_black")
        else:
            row = rows[number - 1]
            yield (
                click.style(text, fg="yellow")
                if row["why"] or row["paused"] or (row["workers"] == 0 and row["ready"])
                else text
            )


def servers(reply: Mapping[str, Any]) -> Iterator[str]:
    """Two lines or more for each Redis: whether it answers and who needs it, what it says of itself, what is wrong."""
    for server in reply["servers"]:
        needs = f"  ({', '.join(map(clean, server['uses']))})" if server["uses"] else ""
        if server["why"]:
            state = click.style("DOWN", fg="red")
        else:
            state = click.style("UP", fg="green") + f"  PING {server['latency'] * 1000:.1f} ms"
        yield click.style(clean(server["where"]), bold=True) + f"  {state}{needs}"
        if server["why"]:
            yield click.style(f"  ! {clean(server['why'])}", fg="red")
        elif facts := ", ".join(_facts(server)):
            yield f"  {facts}"
        for warning in server["warnings"]:
            yield click.style(f"  ! {clean(warning)}", fg="yellow")
    for problem in reply["problems"]:
        yield click.style(f"! {clean(problem)}", fg="yellow")
    if not reply["servers"] and not reply["problems"]:
        yield "no program here uses Redis"


def _facts(server: Mapping[str, Any]) -> Iterator[str]:
    if server["version"]:
        yield f"Redis {clean(server['version'])}"
    if server["role"]:
        yield clean(server["role"])
    if server["used_memory"] is not None:
        limit = f" of {size(server['maxmemory'])}" if server["maxmemory"] else ""
        yield f"memory {size(server['used_memory'])}{limit}"
    if server["policy"]:
        yield clean(server["policy"])
    if server["persistence"]:
        yield f"persistence {clean(server['persistence'])}"
    if server["clients"] is not None:
        limit = f" of {server['maxclients']}" if server["maxclients"] else ""
        yield f"{server['clients']}{limit} connection{'' if server['clients'] == 1 and not limit else 's'}"
