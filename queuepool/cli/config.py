"""`queuepool config`: is the file right, what does it mean, what may stand in it. No daemon is needed. Reading and
explaining the file is config/'s matter."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import Group, json_option
from queuepool.domain.amounts import count
from queuepool.errors import UsageError

if TYPE_CHECKING:
    from queuepool.config.explain import Explained, Value


@click.group(cls=Group)
def config() -> None:
    """Check, show and describe queuepool.yml."""


@config.command()
@json_option
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say everything that is wrong with the file and what it includes: exit 2 when something is. What is only missing
    on this machine (a user, a directory, PHP) is a warning."""
    from queuepool.config.load import read
    from queuepool.config.surroundings import warnings
    from queuepool.controller.versions import unsupported
    from queuepool.errors import ConfigError

    context = context_of(ctx)
    path = context.config_path()
    try:
        whole = read(path, os.environ)
    except ConfigError as error:
        if not context.json:
            raise
        context.print_json(_checked(path, list(error.problems), [], 0, 0))
        ctx.exit(error.exit_code)
    fatal = [problem for reading in whole.broken for problem in reading.problems()]
    fatal += unsupported(whole.pools)
    noted = [problem for reading in whole.files for problem in reading.problems()]
    noted += warnings(whole.pools)
    processes = sum(pool.numprocs for pool in whole.pools.values())
    if context.json:
        context.print_json(_checked(path, fatal, noted, len(whole.pools), processes))
    else:
        for text in noted:
            click.echo(f"warning: {text}", err=True)
        if not fatal:
            size = f"{count(len(whole.pools), 'program')}, {count(processes, 'process', 'processes')}"
            click.echo(f"{whole.main.shown}: ok: {size}")
    if fatal and context.json:
        ctx.exit(ConfigError.exit_code)
    if fatal:
        what = f"cannot use all of {whole.main.shown}: {count(len(fatal), 'problem')}"
        raise ConfigError(what, tuple(fatal), hint="mend them, then run `queuepool config check` again")


def _checked(path: str, problems: list[str], noted: list[str], programs: int, processes: int) -> dict[str, Any]:
    return {
        "path": path,
        "ok": not problems,
        "problems": problems,
        "warnings": noted,
        "programs": programs,
        "processes": processes,
    }


@config.command()
@json_option
@click.pass_context
def show(ctx: click.Context) -> None:
    """Print the file as it is understood, each value with where it came from; secrets are masked."""
    from queuepool.config.explain import explain
    from queuepool.config.load import read

    context = context_of(ctx)
    explained = explain(read(context.config_path(), os.environ))
    if context.json:
        context.print_json(explained.to_json())
    else:
        click.echo("\n".join(_as_yaml(explained)))


def _as_yaml(explained: Explained) -> Iterator[str]:
    """YAML that says of every value where it came from, in a comment."""
    yield f"# {explained.path}"
    yield from _aligned(explained.general, "")
    yield "programs:"
    for program in explained.programs:
        yield f"  {program.name}:  # {program.source}"
        yield f"    # {' '.join(map(_shell_word, program.argv))}"
        yield from _aligned(program.values, "    ")
    if explained.groups:
        yield "groups:"
        yield from _aligned(explained.groups, "  ")
    for problem in explained.problems:
        yield f"# {problem}"


def _aligned(values: tuple[Value, ...], indent: str) -> list[str]:
    lines = [(f"{indent}{value.key}: {_scalar(value.value)}", value.source) for value in values]
    width = min(60, max((len(line) for line, _ in lines), default=0))
    return [f"{line:<{width}}  # {source}" for line, source in lines]


def _scalar(value: Any) -> str:
    """A value in YAML on one line. JSON is YAML; simple text needs no quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_scalar(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and value and all(c.isalnum() or c in "/._-+" for c in value) and value[0] not in "-.":
        return value
    return json.dumps(value, ensure_ascii=False)


def _shell_word(word: str) -> str:
    import shlex

    return shlex.quote(word) if word.isprintable() else json.dumps(word)


@config.command()
def schema() -> None:
    """Print the JSON Schema of queuepool.yml, with which an editor can complete and check the file."""
    from queuepool.config.schema import schema as make

    click.echo(json.dumps(make(), indent=2))


@config.command()
def password() -> None:
    """Read a password and print its hash, for `password_hash` below `http:`. It is asked for twice at a terminal, else
    read as one line of standard input."""
    from queuepool.control.passwords import hash_password

    text = _new_password()
    if not text:
        raise UsageError("cannot hash the password: it is empty", "type one, or `echo ... | queuepool config password`")
    click.echo(hash_password(text))


def _new_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))
    return sys.stdin.readline().rstrip("\r\n")


@config.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator"]), default="viewer", help="What it may do.")
@json_option
@click.pass_context
def token(ctx: click.Context, name: str, role: str) -> None:
    """Make a token for NAME, a script or a person, and print it with what to write into queuepool.yml. It is not kept
    anywhere."""
    from queuepool.control.passwords import hash_token, new_token

    made = new_token()
    context = context_of(ctx)
    if context.json:
        context.print_json({"name": name, "role": role, "token": made, "token_hash": hash_token(made)})
        return
    click.echo(f"The token, shown this once: {made}\n\nBelow `http:` in queuepool.yml:\n", err=True)
    click.echo(f"tokens:\n  {_scalar(name)}: {{token_hash: {_scalar(hash_token(made))}, role: {role}}}")
