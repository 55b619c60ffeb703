"""Snapshots and replies -> lines of text; the only file with colours. No command's logic, and no import that costs:
`status` must be instant with 500 processes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import click

from queuepool.domain.amounts import count
from queuepool.domain.amounts import size as size

COLORS = {
    "RUNNING": "green",
    "STARTING": "cyan",
    "STOPPING": "cyan",
    "BACKOFF": "yellow",
    "STOPPED": "bright_black",
    "EXITED": "bright_black",
    "FATAL": "red",
    "UNKNOWN": "red",
}
DOWN = frozenset({"STOPPED", "EXITED", "BACKOFF", "FATAL", "UNKNOWN"})

_PREFIX_COLORS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")


def clean(text: str) -> str:
    """`text` without what could move a terminal's cursor or fail to be encoded: each such character as \\x1b."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\t\u00a0" else f"\\x{ord(char):02x}" for char in text)


def error(message: str, hint: str, problems: Sequence[str] = ()) -> Iterator[str]:
    """An error: one line that names the thing, every problem of a file, one line with what to type."""
    yield click.style("error: ", fg="red", bold=True) + clean(message)
    for problem in problems:
        yield "  " + clean(problem)
    if hint:
        yield click.style("hint: ", fg="cyan") + clean(hint)


def lack(programs: Sequence[str], what: str, remedy: str, *, fatal: bool) -> Iterator[str]:
    """What keeps programs from running, or from all they should do, and what mends it."""
    names = ", ".join(programs[:5]) + (f" and {len(programs) - 5} more" if len(programs) > 5 else "")
    cannot = " cannot run" if fatal else ""
    yield click.style("warning: ", fg="yellow", bold=True) + clean(f"{names}{cannot}: {what}")
    yield click.style("   hint: ", fg="cyan") + clean(remedy)


def left_out(problem: str) -> str:
    """A part of the file that is not in force."""
    return click.style("warning: ", fg="yellow", bold=True) + clean(problem)


def duration(seconds: float) -> str:
    """Supervisor's form: 0:00:12, or `2 days, 3:04:05`."""
    days, rest = divmod(int(max(seconds, 0)), 86400)
    clock = f"{rest // 3600}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{count(days, 'day')}, {clock}" if days else clock


def short(seconds: float) -> str:
    """A time in two or three characters and a unit: 0.4s, 12s, 5m, 3h, 2d."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, length, most in (("s", 1, 99.5), ("m", 60, 99.5 * 60), ("h", 3600, 47.5 * 3600)):
        if seconds < most:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def is_down(process: Mapping[str, Any]) -> bool:
    """Whether a process should run and does not."""
    return bool(process["wanted"]) and process["state"] in DOWN and not process.get("retiring")


def status(snapshot: Mapping[str, Any], *, verbose: bool = False, details: bool = False) -> Iterator[str]:
    """The table: a line per program, below it one per process, then what is wrong with the daemon or its file.

    details: also show the last lines of processes that are not as they should be.
    """
    processes = snapshot["processes"]
    width = max((len(process["display"]) for process in processes), default=0) + 3
    by_program: dict[str, list[Mapping[str, Any]]] = {}
    for process in processes:
        by_program.setdefault(process["program"], []).append(process)
    for program in snapshot["programs"]:
        rows = by_program.get(program["name"], ())
        said = {row["reason"] for row in rows}  # what a row says itself is not said above it as well
        yield program_line(program, rows)
        for problem in program["problems"]:
            if not any(reason and problem.endswith(reason) for reason in said):
                yield click.style(f"  ! {clean(problem)}", fg="yellow")
        explained: set[object] = set()
        for process in rows:
            yield _process(process, width, verbose)
            if process["state"] in _DEAD and process["wanted"]:
                yield from process_why(process, explained)
            if details and (process["state"] in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN") or verbose):
                yield from process_details(process)
        if program.get("horizon"):
            from queuepool.cli.horizon import lines

            yield from lines(program["horizon"], [row["pid"] for row in rows])
    if not snapshot["programs"]:
        yield "no programs"
    daemon = snapshot["daemon"]
    if daemon["state"] != "RUNNING":
        yield click.style(f"the daemon (pid {daemon['pid']}) is {daemon['state'].lower()}", fg="yellow")
    for problem in daemon["problems"]:
        yield click.style(f"! {clean(problem)}", fg="yellow")


def program_line(program: Mapping[str, Any], processes: Sequence[Mapping[str, Any]]) -> str:
    """One program: how many of its processes run, and why so many. processes: its rows."""
    running, wanted, numprocs = program["running"], program["wanted"], program["numprocs"]
    if wanted:
        color = "green" if running >= wanted else "yellow" if running else "red"
        starting = sum(process["state"] == "STARTING" for process in processes)
        if starting and not running:
            color = "cyan"
        more = f", {starting} starting" if starting and running < wanted else ""
        share = click.style(f"{running} of {wanted} running{more}", fg=color)
    else:
        ending = sum(process["state"] == "STOPPING" for process in processes)
        still = f"{running} still running" if running else f"{ending} still stopping" if ending else "stopped"
        share = click.style(still, fg="bright_black")
    notes = []
    if wanted != numprocs:
        notes.append(f"the file says {numprocs}")
    if program["reason"] and program["reason"] != "numprocs":
        notes.append(clean(program["reason"]))
    return click.style(program["name"], bold=True) + f"  {share}" + (f"  ({'; '.join(notes)})" if notes else "")


def _process(process: Mapping[str, Any], width: int, verbose: bool) -> str:
    state = process["state"]
    shown = click.style(state.ljust(10), fg=COLORS.get(state))
    return f"  {process['display'].ljust(width)}{shown}{_description(process, verbose)}".rstrip()


def _description(process: Mapping[str, Any], verbose: bool) -> str:
    facts = []
    if process["pid"]:
        facts.append(f"pid {process['pid']}")
    if process["uptime"] is not None:
        facts.append(f"uptime {duration(process['uptime'])}")
    if job := process.get("job"):
        facts.append(_job(job))
    if process["reason"]:
        facts.append(clean(process["reason"]))
    if verbose:
        facts += _more(process)
    text = ", ".join(facts)
    if marks := [_mark(mark) for mark in ("stale", "paused", "retiring", "adopted") if process.get(mark)]:
        text += "  " + " ".join(marks)
    return text


def _more(process: Mapping[str, Any]) -> Iterator[str]:
    if process["restarts"]:
        yield count(process["restarts"], "restart")
    if process["rss"] is not None:
        yield size(process["rss"])
    if process["cpu"] is not None:
        yield f"{process['cpu']:.0%} cpu"
    if process["release"]:
        yield f"release {clean(process['release'])}"


def _job(job: Mapping[str, Any]) -> str:
    """The job of a process, and for how long it has been at it."""
    name = clean(str(job.get("class") or job.get("name") or "a job"))
    return f"running {name}" + (f" for {duration(time.time() - job['since'])}" if job.get("since") else "")


def _mark(name: str) -> str:
    return click.style(f"[{name}]", fg="bright_black" if name == "adopted" else "yellow")


_DEAD = frozenset({"BACKOFF", "FATAL"})


def process_why(process: Mapping[str, Any], explained: set[object]) -> Iterator[str]:
    """Why a process does not stay alive, where that says more than its row, and what to type; once for all of a
    program that die alike. explained: what was said before."""
    from queuepool.domain.deaths import explain
    from queuepool.domain.exits import WAITS

    reason, lines = process["reason"].partition(WAITS)[0], process.get("last_lines") or ()
    if (known := (process["exit_code"], reason)) in explained:
        return
    death = explain(process["program"], process["exit_code"], reason, lines)
    said = (death.what, death.remedy) in explained
    explained |= {known, (death.what, death.remedy)}
    if not said:
        if not reason.startswith(death.what):
            yield f"      why: {clean(death.what)}"
        if death.remedy not in reason:
            yield click.style("      try: ", fg="cyan") + clean(death.remedy)


def process_details(process: Mapping[str, Any]) -> Iterator[str]:
    """The end, the log and the last lines of a process."""
    if process["exit_code"] is not None:
        yield f"      exit code {process['exit_code']}"
    if process.get("log"):
        yield f"      log {clean(process['log'])}"
    for line in process.get("last_lines") or ():
        yield click.style("      | ", fg="bright_black") + clean(line)


RESULT_COLORS = {"failed": "red", "unchanged": "bright_black"}


def result(item: Mapping[str, Any]) -> str:
    """One process of a reply, as supervisorctl prints it: `laravel-worker:laravel-worker_03: started`."""
    word = str(item["result"])
    message = f" ({clean(item['message'])})" if item.get("message") else ""
    return f"{item['display']}: {click.style(word, fg=RESULT_COLORS.get(word, 'green'))}{message}"


def waiting(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What is not yet as wanted, and why."""
    for item in items:
        state = click.style(item["state"], fg=COLORS.get(item["state"]))
        reason = f"  {clean(item['reason'])}" if item.get("reason") else ""
        yield f"  {item['display']}  {state}{reason}"


def waiting_for(processes: Sequence[Mapping[str, Any]]) -> str:
    """One line without colours: the first of those that are waited for, what it does, and how many more there are."""
    first = processes[0]
    what = f": {_job(first['job'])}" if first.get("job") else f": {clean(first['reason'])}" if first["reason"] else ""
    more = f" and {len(processes) - 1} more" if len(processes) > 1 else ""
    return f"waiting for {first['display']} ({first['state']}{what}){more}"


def changes(reply: Mapping[str, Any], tense: Mapping[str, str]) -> Iterator[str]:
    """What a file changes, a line per program, and per section beside them. tense: the word for added, changed and
    removed."""
    for name in reply["added"]:
        yield f"{name}: {click.style(tense['added'], fg='green')}"
    for change in reply["changed"]:
        what = f" ({clean('; '.join(change['what']))})" if change["what"] else ""
        yield f"{change['name']}: {click.style(tense['changed'], fg='yellow')}{what}"
    for name in reply["removed"]:
        yield f"{name}: {click.style(tense['removed'], fg='red')}"
    for name in reply.get("sections", ()):
        yield f"{name}: {click.style(tense['changed'], fg='yellow')}"
    for problem in reply["problems"]:
        yield click.style(f"! {clean(problem)}", fg="yellow")


EVENT_COLORS = {
    "fatal": "red",
    "spawn_failed": "red",
    "config_refused": "red",
    "defect": "red",
    "killed": "red",
    "backoff": "yellow",
    "log_trouble": "yellow",
    "state_trouble": "yellow",
    "supervisord_trouble": "red",
    "listener": "yellow",
    "events_dropped": "yellow",
    "waiting": "yellow",
    "limit": "yellow",
    "job_left": "yellow",
    "redis_trouble": "yellow",
    "notify_trouble": "yellow",
    "running": "green",
    "resumed": "green",
    "log_well": "green",
    "state_well": "green",
    "supervisord_well": "green",
    "requeued": "green",
    "redis_well": "green",
    "notify_well": "green",
}


def event(item: Mapping[str, Any], *, verbose: bool = False) -> str:
    """One event of the journal, with its local time. verbose: with all its facts, in place of a sentence."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item["time"]))
    text = clean(item["line"] if verbose else item["sentence"])
    return f"{click.style(when, fg='bright_black')} {click.style(text, fg=EVENT_COLORS.get(item['event']))}"


def worker_line(name: str, pool: str, line: bytes, width: int) -> str:
    """A worker's line with its name before it, in the colour of its program."""
    return f"{click.style(name.ljust(width) + ' |', fg=color_of(pool))} {worker_text(line)}"


def color_of(program: str) -> str:
    """The colour of a program's name before its lines: the same in every run, unlike hash()."""
    return _PREFIX_COLORS[sum(program.encode()) % len(_PREFIX_COLORS)]


def daemon_line(line: bytes) -> str:
    """A line of the daemon itself, between those of the workers."""
    return click.style(worker_text(line), dim=True)


def worker_text(line: bytes) -> str:
    """A worker's output for a terminal: its colours stay, other control characters do not act."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return text if text.isprintable() else _not_color().sub(lambda match: f"\\x{ord(match[0]):02x}", text)


@cache
def _not_color() -> re.Pattern[str]:
    return re.compile("\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


RESULT_STYLES = {"done": "green", "running": "cyan", "failed": "red"}
"""How a deploy ended."""
