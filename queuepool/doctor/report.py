"""A report: which checks were run, their findings in the order in which a person wants to read them, and the verdict.
PURE. How it looks on a screen is cli/doctor_report.py's matter, in a CI junit.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.base import Check
from queuepool.doctor.checks.itself import defect_of
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Finding, Severity, as_command
from queuepool.domain.amounts import count

STOPS = (
    "file.valid", "file.empty", "php.found", "php.cli", "php.version", "php.pcntl", "php.disabled",
    "application.directory", "application.artisan", "application.vendor", "application.boots",
    "application.connection", "application.option", "permissions.user", "permissions.switch", "permissions.traverse",
    "permissions.command",
)  # fmt: skip
"""Patterns of ids: a program with such an error does not run at all."""


@dataclass(frozen=True, slots=True)
class Report:
    """findings: the worst first. passed: ids of the checks that found nothing. programs: those that were looked at;
    running: those of them with a process that is RUNNING."""

    findings: tuple[Finding, ...]
    passed: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    running: frozenset[str] = frozenset()

    @property
    def verdict(self) -> Severity:
        """The worst of all; infos do not count."""
        found = (finding.severity for finding in self.findings)
        worst = min(found, key=lambda severity: severity.rank, default=Severity.OK)
        return worst if worst in (Severity.ERROR, Severity.WARNING) else Severity.OK

    @property
    def checks(self) -> int:
        """How many checks were run."""
        return len({*self.passed, *(finding.id for finding in self.findings)} - {"doctor.defect"})

    def by_subject(self) -> dict[str, list[Finding]]:
        """The findings by what they are about, the subject with the worst first."""
        groups: dict[str, list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault(finding.subject, []).append(finding)
        return groups

    def sentence(self) -> str:
        """The verdict in one line: "2 errors, 1 warning: laravel-worker cannot run"."""
        counts = {severity: sum(finding.severity is severity for finding in self.findings) for severity in Severity}
        told = ", ".join(
            count(counts[severity], word)
            for severity, word in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"))
            if counts[severity]
        )
        infos = counts[Severity.INFO]
        more = f"{count(infos, 'thing')} worth knowing" if infos else ""
        if not told:
            checks = f"{self.checks} {'checks' if self.checks != 1 else 'check'} found nothing wrong"
            return f"healthy: {checks}" + (f", and {more}" if more else "")
        suffering = self._suffering()
        return told + (f", {more}" if more else "") + (f": {suffering}" if suffering else "")

    def _suffering(self) -> str:
        errors = [finding for finding in self.findings if finding.severity is Severity.ERROR]
        stopped = [finding for finding in errors if any(fnmatchcase(finding.id, pattern) for pattern in STOPS)]
        for found, what in ((stopped, "cannot run"), (errors, "suffers")):
            names = self._programs_of(found)
            if what == "cannot run":
                names = [name for name in names if name not in self.running]
            if names:
                return f"{_listed(names)} {'suffer' if len(names) > 1 and what == 'suffers' else what}"
        return ""

    def _programs_of(self, findings: Sequence[Finding]) -> list[str]:
        if any(not finding.programs for finding in findings):
            return list(self.programs)
        named = {name for finding in findings for name in finding.programs}
        return [name for name in self.programs if name in named] or sorted(named)

    def to_json(self) -> dict[str, Any]:
        """The object of `queuepool doctor --json`."""
        return {
            "verdict": self.verdict.value,
            "findings": [to_json(finding) for finding in self.findings],
            "passed": list(self.passed),
        }


def to_json(finding: Finding) -> dict[str, Any]:
    """A finding as a plain object; its fix as the command that does the same."""
    names = ("id", "subject", "what", "evidence", "remedy", "doc", "programs")
    values = {name: getattr(finding, name) for name in names}
    return {"severity": finding.severity.value, **values, "fix": finding.fix and as_command(finding.fix)}


def report(facts: Facts, checks: Iterable[Check] = CHECKS) -> Report:
    """What these checks find. What another finding explains is left out; a check that fails is a finding too."""
    by_check = {check: _run(check, facts) for check in checks}
    told = [finding for found in by_check.values() for finding in found]
    findings = [
        finding
        for check, found in by_check.items()
        for finding in found
        if not any(_explains(cause, finding, check.unless) for cause in told)
    ]
    findings = sorted(_joined(findings), key=lambda finding: finding.severity.rank)
    passed = tuple(check.id for check, found in by_check.items() if not found and check.id != "doctor.defect")
    processes = facts.running.processes if facts.running else ()
    running = frozenset(process.program for process in processes if process.state == "RUNNING")
    return Report(tuple(findings), passed, tuple(program.name for program in facts.programs), running)


def _run(check: Check, facts: Facts) -> list[Finding]:
    found: list[Finding] = []  # what it finds before it fails counts
    try:
        for note in check.find(facts):
            found.append(check.finding(note))
    except Exception as error:  # noqa: BLE001 - a defect of one check hides nothing else
        found.append(defect_of(check, error))
    return found


def _joined(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same of different programs as one: an application may be looked at as several users."""
    same: dict[Finding, list[str]] = {}
    for finding in findings:
        same.setdefault(replace(finding, programs=()), []).extend(finding.programs or ("",))
    return [
        replace(finding, programs=() if "" in programs else tuple(dict.fromkeys(programs)))
        for finding, programs in same.items()
    ]


def _explains(cause: Finding, finding: Finding, unless: tuple[str, ...]) -> bool:
    """A cause is never milder than what it explains: an info about PHP does not hide that a worker is dead."""
    if cause.severity.rank > finding.severity.rank:
        return False
    concerns = not cause.programs or not finding.programs or set(cause.programs) & set(finding.programs)
    return bool(concerns) and cause.id != finding.id and any(fnmatchcase(cause.id, pattern) for pattern in unless)


class UnknownCheck(ValueError):
    """A pattern that no check has; `text` is what was typed, `near` the id or group most like it, or ""."""

    def __init__(self, text: str, near: str) -> None:
        super().__init__(f"no such check: {text}")
        self.text, self.near = text, near


def choose(only: Iterable[str], skip: Iterable[str], checks: Sequence[Check] = CHECKS) -> tuple[Check, ...]:
    """The checks that `only` names (all, when it names none) without those that `skip` does. Each is an id, a group or
    a glob. The doctor's own are among them unless they are skipped. Raises UnknownCheck where nothing matches."""
    chosen = _matching(only, checks) or set(checks)
    chosen |= {check for check in checks if check.group == "doctor"}
    chosen -= _matching(skip, checks)
    return tuple(check for check in checks if check in chosen)


def named(id_: str, checks: Sequence[Check] = CHECKS) -> Check:
    """The check of this id. Raises UnknownCheck."""
    for check in checks:
        if check.id == id_:
            return check
    raise UnknownCheck(id_, _near(id_, [check.id for check in checks]))


def _matching(patterns: Iterable[str], checks: Sequence[Check]) -> set[Check]:
    found: set[Check] = set()
    for pattern in patterns:
        matching = {check for check in checks if pattern == check.group or fnmatchcase(check.id, pattern)}
        if not matching:
            groups = dict.fromkeys(check.group for check in checks)
            raise UnknownCheck(pattern, _near(pattern, [*groups, *(check.id for check in checks)]))
        found |= matching
    return found


def _near(text: str, known: Sequence[str]) -> str:
    ends: Mapping[str, str] = {name.rpartition(".")[2]: name for name in known}
    near = get_close_matches(text, known, 1) or [ends[end] for end in get_close_matches(text, list(ends), 1)]
    return near[0] if near else ""


def _listed(names: Sequence[str], most: int = 3) -> str:
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
