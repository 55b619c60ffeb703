"""The edge where an error becomes text and an exit code. No traceback leaves here: one that nobody foresaw goes to a
file, and the person is told its name."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

import click

from queuepool.errors import ConfigError, ExitCode, QueuepoolError, UsageError


def show(error: BaseException, *, color: bool) -> int:
    """Tell the person at standard error what went wrong; the exit code for it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.FAILED
    if isinstance(error, click.Abort | KeyboardInterrupt):
        _say("interrupted", color=color)
        return ExitCode.INTERRUPTED
    if isinstance(error, QueuepoolError):
        problems = error.problems if isinstance(error, ConfigError) else ()
        _print_error(error.message, error.hint, problems, color=color)
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), color=color)
        return ExitCode.USAGE
    if isinstance(error, click.UsageError):
        possible = getattr(error, "possibilities", None)  # they are the hint
        message = _one_line(error.message if possible else error.format_message()).rstrip(".")
        _print_error(message[:1].lower() + message[1:], _usage_hint(error), (), color=color)
        return ExitCode.USAGE
    if isinstance(error, click.ClickException):
        _print_error(_one_line(error.format_message()), "", (), color=color)
        return ExitCode.FAILED
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _reader_went_away()
    return _defect(error, color=color)


def refuse_unknown_command(name: str, commands: Sequence[str], above: str) -> NoReturn:
    """Raise the UsageError for a command that does not exist, with the nearest that does. above: what comes before."""
    near = nearest(name, commands)
    raise UsageError(
        f"no such command: {name}", f"did you mean `{above} {near}`?" if near else f"`{above} --help` lists them"
    )


def nearest(text: str, candidates: Iterable[str]) -> str:
    """The candidate that begins with `text`, else the one most like it, or "" when none is like it."""
    from difflib import get_close_matches

    names = list(candidates)
    begun = [name for name in names if text and name.startswith(text)]
    return (begun or get_close_matches(text, names, 1) or [""])[0]


def keep_traceback(error: BaseException) -> str:
    """Write the traceback of a defect to a new private file; its path, or "" when there is no place for it."""
    import tempfile
    import traceback

    try:
        fd, path = tempfile.mkstemp(prefix="queuepool-defect-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return ""
    return path


def _defect(error: BaseException, *, color: bool) -> int:
    path = keep_traceback(error)
    where = f"the traceback is in {path}; " if path else ""
    _print_error(
        f"this is a defect of queuepool: {type(error).__name__}: {_one_line(str(error))}",
        f"{where}please report it",
        (),
        color=color,
    )
    return ExitCode.FAILED


def _reader_went_away() -> int:
    """`queuepool logs | head` is no error. What is still buffered must not fail again when Python closes stdout."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return ExitCode.FAILED


def _usage_hint(error: click.UsageError) -> str:
    from difflib import get_close_matches

    if near := get_close_matches(
        getattr(error, "option_name", ""), getattr(error, "possibilities", None) or (), 1, 0.75
    ):
        return f"did you mean `{near[0]}`?"
    path = error.ctx.command_path if error.ctx else ""
    if error.ctx and isinstance(error, click.MissingParameter) and error.param and error.param.name == "names":
        given = error.ctx.params
        arguments = [one.name or "" for one in error.ctx.command.params if isinstance(one, click.Argument)]
        before = [str(given[name]) for name in arguments if name != "names" and given.get(name)]
        return f"name a program, as `queuepool status` shows them, or all: `{' '.join([path, *before, 'all'])}`"
    return f"`{path} --help` shows how it is used" if path else ""


def _print_error(message: str, hint: str, problems: Sequence[str], *, color: bool) -> None:
    from queuepool.cli import render

    for line in render.error(message, hint, problems):
        _say(line, color=color)


def _say(text: str, *, color: bool) -> None:
    with contextlib.suppress(OSError):  # nobody reads standard error either; the exit code says it
        click.echo(text, err=True, color=color)


def _one_line(text: str) -> str:
    return " ".join(text.split())
