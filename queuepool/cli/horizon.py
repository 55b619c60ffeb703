"""What `status` shows of Laravel Horizon, below the program that runs it: supervisors, their workers, what is wrong.
The object is HorizonView.to_json's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import click

from queuepool.cli.render import clean

_COLORS = {"running": "green", "paused": "yellow", "silent": "red", "dead": "red"}


def lines(horizon: Mapping[str, Any], pids: Collection[int] = ()) -> Iterator[str]:
    """A row for each supervisor, under one for its master where that is not the only one or runs elsewhere; then the
    problems. pids: of the program that these rows stand below; without it, every master has its row."""
    masters = [master for master in horizon["masters"] if master["alive"]]
    under: dict[str, list[Mapping[str, Any]]] = {}
    for supervisor in sorted(horizon["supervisors"], key=lambda supervisor: str(supervisor["short"])):
        under.setdefault(supervisor["master"], []).append(supervisor)
    masters.sort(key=lambda master: (master["pid"] not in pids, master["name"]))
    for master in masters:
        ours = master["pid"] in pids
        if not ours or len(masters) > 1:
            yield f"    {clean(master['name'])}  {_state(master['status'])}  pid {master['pid']}"
        yield from _rows(under.get(master["name"], ()))
    for problem in horizon["problems"]:
        yield click.style(f"  ! {clean(problem)}", fg="yellow")


def _rows(supervisors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [clean(str(supervisor["short"])) for supervisor in supervisors]
    works = [_workers(supervisor["processes"]) for supervisor in supervisors]
    width, wide = (max(map(len, texts), default=0) for texts in (names, works))
    for name, work, supervisor in zip(names, works, supervisors, strict=True):
        state = _state(supervisor["status"] if supervisor["alive"] else "silent")
        yield f"      {name.ljust(width)}  {state}  {work.ljust(wide)}  {_how(supervisor)}".rstrip()


def _state(status: str) -> str:
    return click.style((status or "unknown").ljust(7), fg=_COLORS.get(status))


def _workers(processes: Mapping[str, int]) -> str:
    return clean(", ".join(f"{queues} {count}" for queues, count in processes.items())) or "no workers"


def _how(supervisor: Mapping[str, Any]) -> str:
    facts = [clean(supervisor["connection"])] if supervisor["connection"] else []
    if supervisor["balance"] != "off":
        facts.append(f"balance {supervisor['balance']}")
    if supervisor["max_processes"] is not None:
        facts.append(f"at most {supervisor['max_processes']}")
    return f"({', '.join(facts)})" if facts else ""
