"""Makes docs/commands.md and docs/exit-codes.md from the commands and the enum: `python -m queuepool.cli.reference`.
A test asserts that they are current."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from queuepool.cli.main import COMMANDS, cli
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
    """Write both files into `docs`."""
    (docs / "commands.md").write_text(commands(), encoding="utf-8")
    (docs / "exit-codes.md").write_text(exit_codes(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
