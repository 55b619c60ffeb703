"""`notify`: where notifications go, and a test of them. It works without a daemon too; what is told, and when, is
domain/alarms.py's matter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from queuepool.cli import render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import json_option
from queuepool.control.messages import Notify
from queuepool.errors import DaemonUnreachable, ExitCode, UsageError


@click.command()
@click.argument("targets", metavar="[TARGET...]", nargs=-1)
@click.option("--test", is_flag=True, help="Send a test to these targets, or to all.")
@json_option
@click.pass_context
def notify(ctx: click.Context, targets: tuple[str, ...], test: bool) -> None:
    """Who is told when something is wrong, and whether it reaches them. Exit 1 when a test fails, 3 when a target
    cannot be reached."""
    context = context_of(ctx)
    if targets and not test:
        raise UsageError(f"cannot show {targets[0]} alone", f"`queuepool notify --test {targets[0]}` sends it a test")
    reply = _ask(context, Notify(test, targets))
    if context.json:
        context.print_json(reply)
    else:
        click.echo("\n".join(tests(reply) if test else lines(reply, time.time())))
    if any(not result["ok"] for result in reply["tests"]):
        ctx.exit(ExitCode.FAILED)
    if not test and any(target["trouble"] for target in reply["targets"]):
        ctx.exit(ExitCode.NOT_AS_WANTED)


def tests(reply: Mapping[str, Any]) -> Iterator[str]:
    """A line for each target that was tried."""
    for result in reply["tests"]:
        name = click.style(result["target"], bold=True)
        if result["ok"]:
            yield f"{name}: {click.style('delivered', fg='green')} in {result['seconds']:.1f} s"
        else:
            yield f"{name}: {click.style('not delivered', fg='red')}: {render.clean(result['why'])}"


def lines(reply: Mapping[str, Any], now: float) -> Iterator[str]:
    """A line for each target, below it what keeps it from being reached; then what is wrong now."""
    if not reply["targets"]:
        yield "nobody is told: the file has no `notifications:`"
        return
    for target in reply["targets"]:
        last = f", the last {render.short(now - target['last'])} ago" if target["last"] else ""
        told = f"{target['delivered']} delivered{last}"
        waiting = [f"{target[word]} {word}" for word in ("waiting", "held", "lost") if target[word]]
        where = f"{target['kind']} {render.clean(target['where'])}"
        yield f"{click.style(target['name'], bold=True)}  {where}  {', '.join([told, *waiting])}"
        only = f"; only {', '.join(target['programs'])}" if target["programs"] else ""
        yield click.style(f"    told of {', '.join(target['on'])}{only}", fg="bright_black")
        if target["trouble"]:
            since = f" (for {render.short(now - target['since'])})" if target["since"] else ""
            yield click.style(f"  ! {render.clean(target['trouble'])}{since}", fg="yellow")
    if reply["open"]:
        yield "wrong now, and told:"
    for one in reply["open"]:
        over = ", seems to be well again" if one["over"] else ""
        yield f"  {render.clean(one['title'])}  (for {render.short(now - one['since'])}{over})"
    if reply["ignored"]:
        yield f"  and {reply['ignored']} more that were too many to be kept apart"


def _ask(context: Context, request: Notify) -> dict[str, Any]:
    """What the daemon says, or where none runs what the file says and the last daemon left."""
    try:
        return context.client(timeout=30.0).ask(request)
    except DaemonUnreachable:
        click.echo("no daemon runs: nothing is sent but a test", err=True)
        return _ask_alone(context, request)


def _ask_alone(context: Context, request: Notify) -> dict[str, Any]:
    import asyncio
    import os

    from queuepool.config.load import load
    from queuepool.controller.noticestate import NoticeStore
    from queuepool.controller.noticeview import report, try_targets
    from queuepool.system import commands
    from queuepool.system.rundir import RunDirectory

    path = context.config_path()
    settings, now = load(path, os.environ).notify, time.time()
    tests = []
    if request.test:
        tests = asyncio.run(try_targets(settings, request.targets, commands.run, config=path, now=now))
    kept = NoticeStore(RunDirectory(path).state).load()
    return {**report(settings, kept, now, None), "tests": tests}
