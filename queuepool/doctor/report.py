"""A report: findings in the order in which a person wants to read them, and the verdict. PURE. How it looks on a screen
is cli/doctor.py's and cli/render.py's matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.base import Check
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Report:
    """findings: the worst first. passed: ids of the checks that found nothing."""

    findings: tuple[Finding, ...]
    passed: tuple[str, ...] = ()

    @property
    def verdict(self) -> Severity:
        """The worst of all; infos do not count."""
        found = (finding.severity for finding in self.findings)
        worst = min(found, key=lambda severity: severity.rank, default=Severity.OK)
        return worst if worst in (Severity.ERROR, Severity.WARNING) else Severity.OK

    def to_json(self) -> dict[str, Any]:
        """The object of `queuepool doctor --json`."""
        names = ("id", "subject", "what", "evidence", "remedy", "doc", "programs")
        findings = [
            {"severity": finding.severity.value, **{name: getattr(finding, name) for name in names}}
            for finding in self.findings
        ]
        return {"verdict": self.verdict.value, "findings": findings, "passed": list(self.passed)}


def report(facts: Facts, checks: Iterable[Check] = CHECKS) -> Report:
    """What these checks find. What another finding explains is left out."""
    by_check = {check: check.run(facts) for check in checks}
    told = [finding for found in by_check.values() for finding in found]
    findings = [
        finding
        for check, found in by_check.items()
        for finding in found
        if not any(_explains(cause, finding, check.unless) for cause in told)
    ]
    findings.sort(key=lambda finding: finding.severity.rank)
    return Report(tuple(findings), tuple(check.id for check, found in by_check.items() if not found))


def _explains(cause: Finding, finding: Finding, unless: tuple[str, ...]) -> bool:
    """A cause is never milder than what it explains: an info about PHP does not hide that a worker is dead."""
    if cause.severity.rank > finding.severity.rank:
        return False
    concerns = not cause.programs or not finding.programs or set(cause.programs) & set(finding.programs)
    return bool(concerns) and cause.id != finding.id and any(fnmatchcase(cause.id, pattern) for pattern in unless)
