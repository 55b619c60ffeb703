"""What a deploy would do, does and did -> lines of text, as render.py has them for all else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from queuepool.cli.render import RESULT_STYLES, clean
from queuepool.domain.amounts import count

NOTHING = (
    "nothing to do: every process runs the current release and settings\n"
    "(code that was changed in its place, as by `git pull`, cannot be told from the old: `queuepool deploy --force`)"
)

EVENT_STYLES = {"failed": "red", "phase": "cyan", "hook": "cyan", "resumed": "yellow"}


def plan(plan: Mapping[str, Any]) -> Iterator[str]:
    """What a deploy would do, program by program, and why."""
    for program in plan["programs"]:
        yield from _program_plan(program)
    for problem in plan.get("problems", ()):
        yield click.style(f"! {clean(problem)}", fg="yellow")
    if not any(program["started"] or program["restarted"] or program["stopped"] or program["changed"]
               or program["added"] or program["removed"] for program in plan["programs"]):  # fmt: skip
        yield NOTHING


def _program_plan(program: Mapping[str, Any]) -> Iterator[str]:
    mark = " added" if program["added"] else " removed" if program["removed"] else ""
    was, now = program["release"]["from"], program["release"]["to"]
    release = f"  release {clean(was)} -> {clean(now)}" if was and now and was != now else ""
    yield click.style(program["name"], bold=True) + mark + release
    for sentence in program["changed"]:
        yield f"  {click.style('~', fg='yellow')} {clean(sentence)}"
    if program["canary"]:
        yield f"  {click.style('?', fg='yellow')} a canary does a job before any worker is replaced"
    for name in program["started"]:
        yield f"  {click.style('+', fg='green')} {name} is started"
    for item in program["restarted"]:
        yield f"  {click.style('r', fg='yellow')} {item['process']} is restarted: {clean(item['why'])}"
    for name in program["stopped"]:
        yield f"  {click.style('-', fg='red')} {name} is drained"
    if program["kept"]:
        yield click.style(f"  = {count(len(program['kept']), 'is', 'are')} kept", fg="bright_black")


def event(event: Mapping[str, Any]) -> Iterator[str]:
    """One event of a deploy, with its local time."""
    when = click.style(time.strftime("%H:%M:%S", time.localtime(event["time"])), fg="bright_black")
    text = clean(event["message"])
    if event["event"] == "output":
        text = "  | " + text
    yield f"{when} {click.style(text, fg=EVENT_STYLES.get(event['event']))}"
    for line in event.get("last_lines") or ():
        yield f"{when}   {click.style('|', fg='red')} {clean(line)}"


def bar(program: str, done: int, total: int, draining: int, width: int, *, back: bool = False) -> str:
    """One program of a deploy as a bar."""
    size_ = 20
    full = size_ * done // total if total else size_
    bar = click.style("█" * full, fg="yellow" if back else "green") + click.style("░" * (size_ - full), dim=True)
    drain = f", {draining} draining" if draining else ""
    return f"  {clean(program).ljust(width)} {bar} {done}/{total} {'back' if back else 'new'}{drain}"


def history(deploys: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The deploys that have ended, a line for each, and why it failed."""
    if not deploys:
        yield "no deploy has ended yet"
    for one in deploys:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["begun_at"]))
        words = one["result"].replace("_", " ")
        shown = click.style(f"{words:11}", fg=RESULT_STYLES.get(one["result"], "yellow"), bold=True)
        was, now = ((one["release"][key] or "").rstrip("/").rpartition("/")[2] for key in ("from", "to"))
        facts = [
            f"{was} -> {now}" if was and was != now else now,
            f"by {one['who']}" if one["who"] else "",
            *(f"{one[word]} {word}" for word in ("started", "restarted", "stopped", "kept") if one[word]),
        ]
        yield f"{when}  {shown} {one['seconds']:6.1f} s  {clean(', '.join(filter(None, facts)))}"
        if one["failure"]:
            yield f"  {click.style(one['gate'], fg='red')}: {clean(one['failure'])}"


def report(report: Mapping[str, Any]) -> Iterator[str]:
    """How a deploy ended, and why."""
    result = report["result"]
    words = result.replace("_", " ")
    counts = [f"{len(report[key])} {key}" for key in ("started", "restarted", "stopped", "kept") if report[key]]
    shown = click.style(words, fg=RESULT_STYLES.get(result, "yellow"), bold=True)
    name = f"deploy {report['id']}" if report["id"] else "deploy"
    yield f"{name}: {shown} after {report['seconds']:.1f} s" + (f" ({', '.join(counts)})" if counts else "")
    if result == "running":
        yield f"  it is in the phase {report['phase']}"
    for key in ("failure", "trouble"):
        if failure := report[key]:
            yield f"  {click.style(failure['gate'], fg='red')}: {clean(failure['message'])}"
            for line in failure["last_lines"]:
                yield f"    {click.style('|', fg='red')} {clean(line)}"
    if report["rolled_back"]:
        for program in report["programs"]:
            if (was := program["release"]["from"]) and was != program["release"]["to"]:
                yield f"  {program['name']} is held at {clean(was)} until the next deploy"
    if report["draining"]:
        yield f"  old processes that still finish their job: {', '.join(report['draining'])}"
