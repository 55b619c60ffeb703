"""Makes docs/commands.md, docs/exit-codes.md and docs/json.md from the commands, the enum and the values:
`python -m queuepool.cli.reference`. A test asserts that they are current."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from queuepool.cli.main import COMMANDS, cli
from queuepool.doctor.finding import Finding
from queuepool.domain.events import Event
from queuepool.domain.notices import Held, Notice
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot
from queuepool.domain.queues import QueueView, RedisHealth
from queuepool.domain.work import CountsView, RuntimeView
from queuepool.errors import ExitCode

MADE = "<!-- Made by `python -m queuepool.cli.reference`; do not edit. -->"


def commands() -> str:
    """The text of docs/commands.md."""
    root = click.Context(cli, info_name="queuepool")
    lines = [
        MADE,
        "# Commands",
        "",
        f"    {cli.get_usage(root).removeprefix('Usage: ')}",
        "",
        *_options(cli, root),
        "`-c`, `--color` and `-v` may follow the command as well. NO_COLOR, or output to no terminal: plain text.",
        "",
        "**NAME** is `all`, a program, a group, `program:3`, `program:*`, Supervisor's form `program:program_03`, or a",
        'glob such as `"mail-*"`. What a command ends with is in [exit-codes.md](exit-codes.md).',
        "",
    ]
    for section, entries in COMMANDS.items():
        lines += [f"## {section}", ""]
        for name in entries:
            command = cli.get_command(root, name)
            assert command is not None, name
            lines += _command(command, root, name, 3)
    return "\n".join(lines).rstrip() + "\n"


def exit_codes() -> str:
    """The text of docs/exit-codes.md."""
    lines = [
        MADE,
        "# Exit codes",
        "",
        "A script may count on these; they are the same for every command.",
        "",
        "| code | name | meaning |",
        "|---|---|---|",
        *(f"| {code.value} | {code.name} | {code.meaning} |" for code in ExitCode),
    ]
    return "\n".join(lines) + "\n"


OBJECTS: dict[str, tuple[str, tuple[type[Any], ...]]] = {
    "status --json": (
        'One `Snapshot`. `work` and its runtimes are CountsView, `job` is {"id", "class", "queue", "connection", '
        '"since", "attempts"}, since in unix seconds.',
        (Snapshot, DaemonView, ProgramView, ProcessView, CountsView, RuntimeView),
    ),
    "queues --json": ('{"queues": [QueueView], "redis": {where: {"up", "why"}}, "problems": [text]}.', (QueueView,)),
    "redis --json": ('{"servers": [RedisHealth], "problems": [text]}.', (RedisHealth,)),
    "doctor --json": (
        '{"verdict": "error", "warning" or "ok", "findings": [Finding], "passed": [ids of checks that found nothing]}. '
        "`severity` is error, warning or info; `fix` is the command that does what `--fix` would do, or null. With "
        '--fix there is "fixed": [{"id", "command", "result": "done", "failed" or "planned", "what"}].',
        (Finding,),
    ),
    "events --json": (
        'One object per line: {"seq", "time", "event", "process", "fields", "line", "sentence"}; see Event, whose kind '
        "is `event` and whose subject is `process`.",
        (Event,),
    ),
    "notify --json": (
        'One object: {"targets": [{"name", "kind", "where", "on": [text], "programs": [text], "delivered", "last", '
        '"waiting", "held", "lost", "trouble", "since"}], "open": [{"key", "about", "title", "since", "over"}], '
        '"ignored", "tests": [{"target", "ok", "why", "seconds"}]}. `held` and `lost` are notices that a target was '
        "not told; `trouble` is why it cannot be reached, and since when; `open` is what is wrong and was told, and "
        "`over` that it seems to be well again; `tests` is what became of `--test`.",
        (),
    ),
    "What notifications send": (
        "One Notice: the body that a webhook gets by POST, and what a command finds on its standard input. `about` is "
        "fatal, crash_loop, memory, memory_limit, wait, redis, log, deploy, deployed, daemon, config, test or held; "
        "`phase` raised, reminder, recovered or happened; `severity` error, warning or info.",
        (Notice, Held),
    ),
}
"""Command -> what it prints, and the values in it."""


def objects() -> str:
    """The text of docs/json.md."""
    lines = [
        MADE,
        "# JSON",
        "",
        "What `--json` prints. Fields may be added, never renamed. A command that changes something answers with the",
        "object in the description of its request in `queuepool/control/messages.py`.",
        "",
    ]
    for command, (text, values) in OBJECTS.items():
        lines += [f"## {command}", "", *textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False), ""]
        for value in values:
            lines += [f"### {value.__name__}", "", *inspect.cleandoc(value.__doc__ or "").splitlines(), ""]
            lines += ["| field | kind |", "|---|---|"]
            lines += [f"| `{item.name}` | `{_kind(item.type)}` |" for item in fields(value)]
            lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _kind(annotation: object) -> str:
    named = {"Severity": "str", "Fix | None": "str or null", "About": "str", "Phase": "str"}
    if annotation in named:
        return named[str(annotation)]
    text = str(annotation).replace(" | ", " or ").replace("None", "null")
    return re.sub(r"tuple\[(.*), \.\.\.\]", r"[\1]", re.sub(r"\bdict\[str, Any\]", "object", text))


def _command(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"{'#' * level} {context.command_path.removeprefix('queuepool ')}"
    yield ""
    yield f"    {' '.join(command.get_usage(context).removeprefix('Usage: ').split())}"
    yield ""
    yield from inspect.cleandoc(command.help or "").replace("\b\n", "").splitlines()
    yield ""
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _command(found, context, child, level + 1)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """A table of the options that its `--help` shows."""
    rows = []
    for param in command.get_params(context):
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record and "--help" not in param.opts:
            names, text = (part.replace("|", "\\|") for part in record)
            rows.append(f"| `{' '.join(names.split())}` | {' '.join(text.split())} |")
    if rows:
        yield from ("| option | |", "|---|---|", *rows, "")


def main(docs: Path) -> None:
    """Write the files into `docs`."""
    (docs / "json.md").write_text(objects(), encoding="utf-8")
    (docs / "commands.md").write_text(commands(), encoding="utf-8")
    (docs / "exit-codes.md").write_text(exit_codes(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
