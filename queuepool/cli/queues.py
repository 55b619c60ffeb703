"""`queues` and `redis`: how deep the queues are, and how their Redis is. Both work without a daemon, which then cannot
tell of workers and rates."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from queuepool.cli import queue_table, render
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import Count, Seconds, json_option
from queuepool.cli.selectors import complete_programs
from queuepool.cli.watching import watch as keep_watching
from queuepool.control.messages import Queues, Redis
from queuepool.domain.amounts import count
from queuepool.errors import DaemonUnreachable, ExitCode, UsageError


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=complete_programs)
@click.option("-w", "--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option("--max-depth", type=Count(), metavar="N", help="Exit 3 when more jobs than N could start now.")
@click.option(
    "--max-wait",
    type=Seconds(),
    metavar="SECONDS",
    help="Exit 3 when the oldest has waited, or a new one would, longer.",
)
@json_option
@click.pass_context
def queues(
    ctx: click.Context, names: tuple[str, ...], watch: bool, max_depth: int | None, max_wait: float | None
) -> None:
    """How deep the queues are and how fast they move. NAME is a program, a queue or connection:queue. Exit 3 when a
    limit given here is exceeded, or a queue cannot be asked."""
    context = context_of(ctx)
    if watch:
        if context.json:
            raise UsageError("cannot watch as JSON", "ask again and again: `queuepool queues --json`")
        keep_watching(context, lambda: queue_table.queues(context.client().ask(Queues(names))))
    reply = _ask(context, Queues(names))
    if context.json:
        context.print_json(reply)
    else:
        click.echo("\n".join(queue_table.queues(reply)))
    found = list(exceeded(reply["queues"], max_depth, max_wait))
    for sentence in found:
        click.echo(click.style("! ", fg="yellow") + render.clean(sentence), err=True)
    if found or any(row["why"] for row in reply["queues"]):
        ctx.exit(ExitCode.NOT_AS_WANTED)


@click.command()
@json_option
@click.pass_context
def redis(ctx: click.Context) -> None:
    """PING and health of every Redis that the application uses. Exit 1 when one cannot serve workers."""
    context = context_of(ctx)
    reply = _ask(context, Redis())
    if context.json:
        context.print_json(reply)
    else:
        click.echo("\n".join(queue_table.servers(reply)))
    if any(server["why"] for server in reply["servers"]) or reply["problems"]:
        ctx.exit(ExitCode.FAILED)


def exceeded(rows: Sequence[Mapping[str, Any]], max_depth: int | None, max_wait: float | None) -> list[str]:
    """A sentence for each queue that is beyond a limit. One that could not be asked is no such queue."""
    found = []
    for row in rows:
        name = f"{row['connection']}:{row['queue']}"
        backlog = sum(row[key] or 0 for key in ("ready", "due", "expired"))
        if max_depth is not None and backlog > max_depth:
            found.append(f"{name} holds {count(backlog, 'job')} that could start now, more than {max_depth}")
        longest = max(row["oldest"] or 0.0, row["wait"] or 0.0)
        if max_wait is not None and longest > max_wait:
            found.append(f"a job in {name} waits {render.short(longest)}, longer than {render.short(max_wait)}")
    return found


def _ask(context: Context, request: Queues | Redis) -> dict[str, Any]:
    """What the daemon says, or where none runs what can be seen without it."""
    try:
        return context.client(timeout=30.0).ask(request)
    except DaemonUnreachable:
        from queuepool.cli.alone import ask_alone

        reply = ask_alone(context, request)
        click.echo("no daemon runs: workers and rates are not known", err=True)
        sys.stderr.flush()
        return reply
