"""The NAME arguments, and their completion in the shell. What a selector means is domain/names.py's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from queuepool.cli.context import context_of
from queuepool.errors import QueuepoolError

F = TypeVar("F", bound=Callable[..., Any])

COMPLETION_SECONDS = 0.5
"""How long the Tab key may take when the daemon does not answer."""


def names_argument(*, required: bool) -> Callable[[F], F]:
    """The argument `names`: any number of selectors, at least one when `required`."""
    metavar = "NAME..." if required else "[NAME...]"
    return click.argument("names", metavar=metavar, nargs=-1, required=required, shell_complete=complete_names)


def program_argument() -> Callable[[F], F]:
    """The argument `name`: one program."""
    return click.argument("name", metavar="NAME", shell_complete=complete_programs)


def complete_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What the running daemon has that begins with `incomplete`: programs first, processes after a colon."""
    snapshot = _snapshot(ctx)
    names = ["all", *(program["name"] for program in snapshot["programs"])]
    if ":" in incomplete:
        names += [process[key] for process in snapshot["processes"] for key in ("name", "display")]
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def complete_programs(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The programs of the running daemon that begin with `incomplete`."""
    return [item["name"] for item in _snapshot(ctx)["programs"] if item["name"].startswith(incomplete)]


def _snapshot(ctx: click.Context) -> dict[str, Any]:
    try:
        return context_of(ctx).client(COMPLETION_SECONDS).status()
    except QueuepoolError:
        return {"programs": [], "processes": []}  # the Tab key is no place for an error
