"""Options that more than one command has, made once so that they are called and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from queuepool.cli import trouble
from queuepool.cli.context import context_of

F = TypeVar("F", bound=Callable[..., Any])


class Count(click.types.IntParamType):
    """A number of things. click's IntRange says `x>=0` to people."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails as click wants it."""
        number: int = super().convert(value, param, ctx)
        if number < 0:
            self.fail(f"{number} is below 0.", param, ctx)
        return number


class Seconds(click.ParamType[float]):
    """`90`, `90s`, `5m`, as in queuepool.yml."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds."""
        from queuepool.domain.units import duration

        try:
            return duration(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class Group(click.Group):
    """A command with commands of its own, such as `config`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest command for one that does not exist."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            trouble.refuse_unknown_command(args[0], self.list_commands(ctx), ctx.command_path)
        return super().resolve_command(ctx, args)


def _set_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context_of(ctx).config = value


def _set_host(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context_of(ctx).given_host = value


def _set_token(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context_of(ctx).token = value


def _set_color(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context = context_of(ctx)
        context.set_color(value)
        ctx.find_root().color = ctx.color = context.color


def _set_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context_of(ctx).verbose = True


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context_of(ctx).json = True


def global_options(*, hidden: bool) -> list[click.Option]:
    """`-c`, `--color` and the like: shown on the command itself, and taken, unlisted, after every subcommand too."""
    option = partial(click.Option, expose_value=False, is_eager=True, hidden=hidden)
    return [
        option(
            ["-c", "--config"],
            metavar="FILE",
            callback=_set_config,
            help="The queuepool.yml to use. Else $QUEUEPOOL_CONFIG, else the one here or above, "
            "else /etc/queuepool/queuepool.yml.",
        ),
        option(
            ["--host"],
            metavar="URL",
            callback=_set_host,
            help="Ask the daemon of another machine: https://queue.example.org. Else $QUEUEPOOL_HOST.",
        ),
        option(
            ["--token"],
            metavar="TOKEN",
            callback=_set_token,
            help="A token for --host, or @FILE that holds it. Else $QUEUEPOOL_TOKEN.",
        ),
        option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            callback=_set_color,
            help="Colours: auto means on a terminal, unless NO_COLOR is set.",
        ),
        option(
            ["-v", "--verbose"],
            is_flag=True,
            callback=_set_verbose,
            help="Show more.",
        ),
    ]


def accept_global_options(command: click.Command) -> None:
    """Let `command`, and every command below it, take the global options too, where it has no such option itself."""
    taken = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for option in global_options(hidden=True):
        if not taken & set(option.opts):
            command.params.append(option)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            accept_global_options(child)


def json_option(function: F) -> F:
    """Give a reading command `--json`; what it then prints is one documented object. The flag is `Context.json`."""
    return click.option("--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON object.")(
        function
    )


def no_wait_option(function: F) -> F:
    """Give a changing command `--no-wait`, as the argument `wait`."""
    return click.option(
        "--no-wait", "wait", is_flag=True, flag_value=False, default=True, help="Return once it is under way."
    )(function)
