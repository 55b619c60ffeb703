"""How a report of the doctor looks: by subject, the worst first, in at most 80 columns, the verdict last. What is in it
is doctor/report.py's matter; the ways of colours are render.py's."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from queuepool.cli.render import clean

if TYPE_CHECKING:
    from queuepool.doctor.checks.base import Check
    from queuepool.doctor.finding import Finding
    from queuepool.doctor.report import Report

WIDTH = 80
COLORS = {"error": "red", "warning": "yellow", "info": "cyan", "ok": "green"}

_COMMANDS = frozenset((
    "apt", "apt-get", "cd", "chgrp", "chmod", "chown", "composer", "crontab", "docker", "dnf", "getfacl", "groupadd",
    "install", "journalctl", "kill", "ln", "ls", "mkdir", "mv", "php", "ps", "queuepool", "redis-cli", "rm",
    "runuser", "semanage", "service", "setfacl", "su", "sudo", "supervisorctl", "sysctl", "systemctl", "timedatectl",
    "truncate", "ulimit", "useradd", "usermod",
))  # fmt: skip
_WORD = re.compile(r"[a-z][a-z-]*$")


def lines(report: Report, width: int = WIDTH) -> Iterator[str]:
    """The whole report for a person. width: columns of the screen."""
    width = min(max(width, 40), WIDTH)
    for subject, findings in report.by_subject().items():
        yield from _wrapped(click.style(clean(subject), bold=True), clean(subject), width, "", "  ")
        for finding in findings:
            yield from _finding(finding, width)
        yield ""
    verdict = report.sentence()
    yield from (
        click.style(line, fg=COLORS[report.verdict.value], bold=True) for line in textwrap.wrap(clean(verdict), width)
    )


def _finding(finding: Finding, width: int) -> Iterator[str]:
    word = finding.severity.value
    label = click.style(word, fg=COLORS[word], bold=True)
    for line in _wrapped("", f"{word}: {clean(finding.what)}", width, "  ", "    "):
        yield line.replace(f"  {word}:", f"  {label}:", 1) if line.startswith(f"  {word}:") else line
    for line in finding.evidence:
        for piece in line.splitlines() or [""]:
            yield from _wrapped("", clean(piece), width, "    | ", "    |   ", dim=True)
    for line in finding.remedy.splitlines():
        if is_command(line):
            yield "    " + click.style("-> ", fg="cyan") + clean(line)  # never broken: it is copied
        else:
            for at, piece in enumerate(
                textwrap.wrap(clean(line), width - 7, break_on_hyphens=False, break_long_words=False)
            ):
                yield "    " + (click.style("-> ", fg="cyan") if at == 0 else "   ") + piece
    yield click.style(f"    ({finding.id})", dim=True)


def _wrapped(styled: str, text: str, width: int, first: str, rest: str, *, dim: bool = False) -> Iterator[str]:
    """The text in lines no longer than `width`; longer words stay whole. styled: the text, for when it fits."""
    pieces = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    if styled and len(pieces) <= 1:
        yield first + styled
        return
    for piece in pieces or [first.rstrip()]:
        yield click.style(piece, dim=True) if dim else piece


def is_command(remedy: str) -> bool:
    """Whether this is to be typed, and not only to be read."""
    first, _, rest = remedy.strip().partition(" ")
    if "`" in remedy or first.endswith(":"):
        return False
    return (first in _COMMANDS or (first.startswith(("/", "./")) and bool(rest))) and not _prose(rest)


def _prose(text: str) -> bool:
    return sum(bool(_WORD.match(word)) for word in text.split()) >= 4


def plan(fixes: Sequence[tuple[Finding, str]]) -> Iterator[str]:
    """What `--fix` would do: each command below what it mends."""
    for finding, command in fixes:
        yield f"{clean(finding.subject)}: {clean(finding.what)}"
        yield "    " + click.style("$ ", fg="cyan") + clean(command)


def done(command: str, what: str, *, failed: bool) -> str:
    """What became of one fix."""
    word = click.style("failed", fg="red") if failed else click.style("done", fg="green")
    return f"{word}: {clean(command)}" + (f": {clean(what)}" if what else "")


def looking(what: Sequence[str], width: int) -> str:
    """One line that says what is still looked at."""
    return f"still looking at {', '.join(what)}"[: max(width - 1, 1)] if what else ""


def catalogue(checks: Iterable[Check]) -> Iterator[str]:
    """Every check: id, severity and title."""
    checks = list(checks)
    width = max((len(check.id) for check in checks), default=0)
    for check in checks:
        severity = check.severity.value
        yield f"{check.id.ljust(width)}  {click.style(severity.ljust(7), fg=COLORS[severity])}  {check.title}"


def explained(check: Check, width: int = WIDTH) -> Iterator[str]:
    """One check in full."""
    severity = check.severity.value
    yield click.style(check.id, bold=True) + f"  {click.style(severity, fg=COLORS[severity])}"
    yield from textwrap.wrap(f"{check.title}.", min(width, WIDTH))
    yield ""
    yield from paragraphs(check.explanation, min(width, WIDTH))


def paragraphs(text: str, width: int) -> Iterator[str]:
    """Text in paragraphs, wrapped anew; lines that are indented stay as they are."""
    for at, block in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if at:
            yield ""
        if block.startswith(" "):
            yield from block.splitlines()
        else:
            yield from textwrap.wrap(block, width, break_long_words=False, break_on_hyphens=False)
