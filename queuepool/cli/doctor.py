"""`doctor`: what is wrong, the proof of it, and what mends it. The checks are in doctor/."""

from __future__ import annotations

import os

import click

from queuepool.cli.context import context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import complete_programs
from queuepool.errors import ExitCode


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=complete_programs)
@json_option
@click.pass_context
def doctor(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Find what is wrong, prove it, and say what mends it."""
    from queuepool.doctor.examine import examine
    from queuepool.doctor.finding import Severity
    from queuepool.doctor.report import report

    context = context_of(ctx)
    found = report(examine(context.config_path(), os.environ, names))
    if context.json:
        context.print_json(found.to_json())
    else:
        for finding in found.findings:
            click.echo(f"{finding.severity.value}: {finding.subject}: {finding.what}")
            for line in finding.evidence:
                click.echo(f"    {line}")
            click.echo(f"    -> {finding.remedy}")
    if found.verdict is Severity.ERROR:
        ctx.exit(ExitCode.FAILED)
