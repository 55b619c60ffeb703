"""`doctor`: what is wrong, the proof of it, and what mends it. The checks are in doctor/, how they look on a screen in
doctor_report.py, how fixes are done in doctor/fixes.py."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from queuepool.cli.context import Context, context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import complete_names
from queuepool.errors import ExitCode, QueuepoolError, UsageError

if TYPE_CHECKING:
    from queuepool.doctor.checks.base import Check
    from queuepool.doctor.report import Report


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=complete_names)
@json_option
@click.option("--only", metavar="CHECK", multiple=True, help="Run only these checks: ids, groups or globs, by comma.")
@click.option("--skip", metavar="CHECK", multiple=True, help="Leave these checks out.")
@click.option("--strict", is_flag=True, help="Exit 3 when there are warnings.")
@click.option("--junit", metavar="FILE", help="Write the result as JUnit XML as well.")
@click.option("--fix", is_flag=True, help="Do what is safe to do, after asking.")
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("--dry-run", is_flag=True, help="With --fix: only show what would be done.")
@click.option("--list", "list_", is_flag=True, help="List all checks.")
@click.option("--explain", metavar="CHECK", help="Explain one check: what goes wrong, why, and what mends it.")
@click.pass_context
def doctor(
    ctx: click.Context,
    names: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    strict: bool,
    junit: str | None,
    fix: bool,
    yes: bool,
    dry_run: bool,
    list_: bool,
    explain: str | None,
) -> None:
    """Find what is wrong, prove it, and say what mends it. Exit 1 when there are errors. Needs neither a daemon nor
    root, but root sees more."""
    from queuepool.doctor.finding import Severity

    context = context_of(ctx)
    if explain is not None:
        _explain(context, explain)
        return
    checks = _chosen(only, skip)
    if list_:
        _list(context, checks)
        return
    if (yes or dry_run) and not fix:
        raise UsageError(f"{'--yes' if yes else '--dry-run'} goes with --fix", "`queuepool doctor --fix`")
    if fix and not (yes or dry_run or (_at_terminal() and not context.json)):
        raise UsageError(
            "cannot ask what to fix: this is no terminal, and nothing was done",
            "`queuepool doctor --fix --dry-run` shows what would be done, `--fix --yes` does it",
        )
    session = _Session(context.config_path(), names, checks)
    found = session.examine()
    done: list[dict[str, Any]] = []
    if fix:
        done = _fix(context, found, yes=yes, dry_run=dry_run)
        if any(item["result"] == "done" for item in done):
            found = session.examine()
    if junit is not None:
        _write(junit, session.to_xml(found))
    if context.json:
        context.print_json(found.to_json() | ({"fixed": done} if fix else {}))
    elif not dry_run:
        _show(found, hint=not fix)
    if found.verdict is Severity.ERROR:
        ctx.exit(ExitCode.FAILED)
    if found.verdict is Severity.WARNING and strict:
        ctx.exit(ExitCode.NOT_AS_WANTED)


class _Session:
    """One call of the doctor: it looks once, and once more when something was mended."""

    def __init__(self, path: str, names: Sequence[str], checks: Sequence[Check]) -> None:
        self._path, self._names, self._checks = path, names, checks
        self.seconds = 0.0

    def examine(self) -> Report:
        """Look, and judge."""
        from queuepool.doctor.examine import examine, needed
        from queuepool.doctor.report import report

        began = time.monotonic()
        with _Note() as note:
            facts = examine(self._path, os.environ, self._names, needed(self._checks), note.show)
        self.seconds = time.monotonic() - began
        return report(facts, self._checks)

    def to_xml(self, found: Report) -> str:
        """The report for a CI."""
        from queuepool.doctor.junit import to_xml

        return to_xml(found, self._checks, self.seconds)


class _Note:
    """The line at a terminal that says what is still looked at."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    @property
    def show(self) -> Callable[[Sequence[str]], None] | None:
        """What `examine` calls; None where nobody would see it."""
        return self._show if self._live else None

    def _show(self, what: Sequence[str]) -> None:
        from queuepool.cli.doctor_report import looking

        sys.stderr.write("\r\x1b[K" + looking(what, _width()))
        sys.stderr.flush()
        self._shown = True

    def __enter__(self) -> _Note:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _chosen(only: Iterable[str], skip: Iterable[str]) -> tuple[Check, ...]:
    from queuepool.doctor.report import UnknownCheck, choose

    def patterns(given: Iterable[str]) -> list[str]:
        return [part.strip() for text in given for part in text.split(",") if part.strip()]

    try:
        return choose(patterns(only), patterns(skip))
    except UnknownCheck as unknown:
        raise _no_such(unknown.text, unknown.near) from None


def _no_such(text: str, near: str) -> UsageError:
    meant = f"did you mean {near}? " if near else ""
    return UsageError(f"no such check: {text}", f"{meant}`queuepool doctor --list` shows all")


def _list(context: Context, checks: Sequence[Check]) -> None:
    if context.json:
        context.print_json({"checks": [_plain(check) for check in checks]})
        return
    from queuepool.cli.doctor_report import catalogue

    for line in catalogue(checks):
        click.echo(line)


def _explain(context: Context, id_: str) -> None:
    from queuepool.doctor.report import UnknownCheck, named

    try:
        check = named(id_)
    except UnknownCheck as unknown:
        raise _no_such(unknown.text, unknown.near) from None
    if context.json:
        context.print_json(_plain(check) | {"explanation": check.explanation})
        return
    from queuepool.cli.doctor_report import explained

    click.echo("\n".join(explained(check, _width())))


def _plain(check: Check) -> dict[str, str]:
    return {"id": check.id, "severity": check.severity.value, "title": check.title, "doc": check.doc}


def _show(found: Report, *, hint: bool) -> None:
    from queuepool.cli.doctor_report import lines

    for line in lines(found, _width()):
        click.echo(line)
    fixable = sum(finding.fix is not None for finding in found.findings)
    if hint and fixable:
        what = "one of these" if fixable == 1 else f"{fixable} of these"
        click.echo(f"`queuepool doctor --fix` mends {what}, after asking")


def _fix(context: Context, found: Report, *, yes: bool, dry_run: bool) -> list[dict[str, Any]]:
    """Do the fixes that the person wants; what became of each."""
    from queuepool.cli import doctor_report
    from queuepool.doctor.finding import as_command
    from queuepool.doctor.fixes import fixes_of, perform

    todo = [(finding, fix, as_command(fix)) for finding, fix in fixes_of(found.findings)]
    quiet = context.json
    if not quiet:
        for line in doctor_report.plan([(finding, command) for finding, _, command in todo]):
            click.echo(line)
        if not todo:
            click.echo("there is nothing that can be mended safely")
    results = []
    wanted = "all" if yes else ""
    for finding, fix, command in [] if dry_run else todo:
        if wanted != "all":
            wanted = _ask(command)
        if wanted == "quit":
            break
        if wanted == "no":
            continue
        outcome = perform(fix)
        if not quiet:
            click.echo(doctor_report.done(command, outcome.what, failed=outcome.failed))
        result = "failed" if outcome.failed else "done"
        results.append({"id": finding.id, "command": command, "result": result, "what": outcome.what})
    if dry_run:
        return [{"id": f.id, "command": command, "result": "planned", "what": ""} for f, _, command in todo]
    if not quiet and todo:
        click.echo("")
    return results


def _ask(command: str) -> str:
    """all, yes, no or quit. Enter means no."""
    answers = {"a": "all", "y": "yes", "n": "no", "q": "quit"}
    answer = click.prompt(
        f"{command}\n  do it?", type=click.Choice([*answers]), default="n", show_choices=False,
        prompt_suffix=" [y/N, a: all, q: quit] ", show_default=False,
    )  # fmt: skip
    return answers[answer]


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise QueuepoolError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}", "name another file with `--junit FILE`"
        ) from None


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _width() -> int:
    return shutil.get_terminal_size((80, 24)).columns
