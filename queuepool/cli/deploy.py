"""`deploy`: plans, begins, follows and ends a deploy, which goes on in the daemon whatever becomes of this command.
What it shows meanwhile is deployshow.py's."""

from __future__ import annotations

import json
import signal
import time
from types import FrameType
from typing import Any, NoReturn

import click

from queuepool.cli import ci, deploylines
from queuepool.cli.context import Context, context_of
from queuepool.cli.deployshow import Show
from queuepool.cli.options import json_option
from queuepool.cli.selectors import names_argument
from queuepool.control.messages import (
    AbortDeploy,
    Deploy,
    DeployHistory,
    DeployStatus,
    FollowDeploy,
    PlanDeploy,
    Request,
)
from queuepool.domain import units
from queuepool.errors import ConfigError, DaemonUnreachable, ExitCode, Locked, UsageError

RETRY_SECONDS = 1.0
"""How often a deploy that waits for another one tries to begin."""


class _Duration(click.ParamType):  # type: ignore[type-arg]
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return units.duration(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


DURATION = _Duration()


@click.command()
@names_argument(required=False)
@click.option("--plan", "--dry-run", "plan", is_flag=True, help="Show what it would do; change nothing.")
@click.option("--detailed-exitcode", is_flag=True, help="With --plan: exit 0 for nothing to do, 2 for changes.")
@click.option("--stale", is_flag=True, help="Leave the file alone; replace only what runs an older release.")
@click.option("--force", is_flag=True, help="Restart what is fresh as well.")
@click.option("--batch", metavar="N|%", help="Processes to replace before looking whether all is well.")
@click.option("--max-surge", metavar="N|%", help="Workers above the wanted number meanwhile; 0: in place.")
@click.option("--max-unavailable", metavar="N|%", help="Workers that may be missing meanwhile.")
@click.option("--pause-between", type=DURATION, help="Time between two batches.")
@click.option("--canary/--no-canary", default=None, help="First let one new worker of each program do a job.")
@click.option("--observe", type=DURATION, help="Time without a crash after which new processes count as well.")
@click.option("--timeout", type=DURATION, help="Roll back when it is not done in this time.")
@click.option("--wait-drained", is_flag=True, help="Return only when the old processes have finished their jobs.")
@click.option("--lock-wait", type=DURATION, default="0", help="Wait so long for another deploy to end.")
@click.option("--status", is_flag=True, help="Show the deploy under way, or the last one.")
@click.option("--history", is_flag=True, help="Show the deploys that have ended, the last one first.")
@click.option("--follow", is_flag=True, help="Watch the deploy under way to its end.")
@click.option("--abort", is_flag=True, help="End the deploy under way and go back.")
@click.option("--output", type=click.Choice(["text", "ndjson"]), default="text", help="ndjson: every event as JSON.")
@json_option
@click.pass_context  # type: ignore[arg-type]
def deploy(ctx: click.Context, names: tuple[str, ...], **options: Any) -> None:
    """Bring all processes to the new release and settings, or back to what worked. It applies the file, replaces what
    is stale batch by batch with new processes first, looks after them, and rolls back when one of them fails. It goes
    on in the daemon when this command is ended; `--status`, `--follow` and `--abort` find it again."""
    context = context_of(ctx)
    modes = [name for name in ("plan", "status", "history", "follow", "abort") if options[name]]
    if len(modes) > 1:
        raise UsageError(f"cannot do --{modes[0]} and --{modes[1]} at once", "give one of them")
    if options["detailed_exitcode"] and not options["plan"]:
        raise UsageError("--detailed-exitcode goes with --plan", "queuepool deploy --plan --detailed-exitcode")
    if names and modes and modes != ["plan"]:
        raise UsageError(f"--{modes[0]} takes no names: there is one deploy at a time")
    if options["plan"]:
        _plan(
            ctx, context, PlanDeploy(names, options["stale"], options["force"], options["canary"]),
            detailed=options["detailed_exitcode"],
        )  # fmt: skip
    elif options["status"]:
        _show_last(ctx, context)
    elif options["history"]:
        found = context.client().ask(DeployHistory())
        if context.json:
            context.print_json(found)
        else:
            click.echo("\n".join(deploylines.history(found["deploys"])))
    else:
        _perform(ctx, context, _request(names, options), options)


def _request(names: tuple[str, ...], options: dict[str, Any]) -> Deploy | FollowDeploy | AbortDeploy:
    if options["follow"]:
        return FollowDeploy()
    if options["abort"]:
        return AbortDeploy()
    keys = ("stale", "force", "wait_drained", "timeout", "observe", "batch", "max_surge", "max_unavailable",
            "pause_between", "canary")  # fmt: skip
    return Deploy(names, **{key: options[key] for key in keys})


def _plan(ctx: click.Context, context: Context, request: PlanDeploy, *, detailed: bool) -> None:
    plan = context.client().ask(request)
    if context.json:
        context.print_json(plan)
    else:
        click.echo("\n".join(deploylines.plan(plan)))
    ctx.exit(ExitCode.USAGE if detailed and plan["changes"] else ExitCode.DONE)


def _show_last(ctx: click.Context, context: Context) -> None:
    report = context.client().ask(DeployStatus())
    if context.json:
        context.print_json(report)
    else:
        click.echo("\n".join(deploylines.report(report)))
    ctx.exit(report["exit_code"] or ExitCode.DONE)


def _perform(ctx: click.Context, context: Context, request: Request, options: dict[str, Any]) -> None:
    quiet = context.json
    systems = ci.here((lambda line: None) if quiet or options["output"] == "ndjson" else click.echo)
    show = Show(output=options["output"], quiet=quiet, ci=systems)
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        report = _ask(context, request, show, options["lock_wait"])
    except KeyboardInterrupt:
        show.close()
        alone = "the deploy stands still: `queuepool deploy --follow` goes on with it, `--abort` goes back"
        goes_on = "the deploy goes on in the daemon: `queuepool deploy --follow` shows it, `--abort` ends it"
        click.echo(alone if context.client().alone else goes_on, err=True)
        raise
    except DaemonUnreachable as error:
        if show.began:
            hint = "`queuepool up` goes on with the deploy, `queuepool deploy --status` shows what became of it"
            raise DaemonUnreachable(error.message, hint) from None
        raise
    except ConfigError as error:
        systems.refused(error.problems)
        raise
    finally:
        show.close()
    systems.failed(report)
    systems.summary(report)
    if context.json:
        context.print_json(report)
    elif options["output"] == "ndjson":
        if report["id"] is None:
            click.echo(
                json.dumps({"event": "ended", "time": time.time(), "message": "nothing to do", "report": report})
            )
    elif report["id"] is None:
        click.echo(deploylines.NOTHING)
    else:
        click.echo("\n".join(deploylines.report(report)))
    aborted = isinstance(request, AbortDeploy) and report["result"] == "aborted"
    ctx.exit(ExitCode.DONE if aborted else report["exit_code"])


def _ask(context: Context, request: Request, show: Show, lock_wait: float) -> dict[str, Any]:
    """The report. A deploy under way is waited for on this side, so that a command that was given up asks for nothing
    later."""
    until = time.monotonic() + lock_wait
    told = False
    while True:
        try:
            return context.client().ask(request, show.event, show.idle)
        except Locked as error:
            if time.monotonic() >= until:
                raise
            if not told:
                show.event({"event": "locked", "time": time.time(), "message": f"waiting: {error.message}"})
                told = True
            time.sleep(min(RETRY_SECONDS, max(0.05, until - time.monotonic())))


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
