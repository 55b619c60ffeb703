"""A report as JUnit XML, which every CI can show: each group of checks is a suite, each check a case. The form is that
of Jenkins' schema (github.com/jenkinsci/xunit-plugin, junit-10.xsd), with one failure in a case: GitLab shows one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from queuepool.doctor.checks.base import Check
from queuepool.doctor.finding import Finding, Severity
from queuepool.doctor.report import Report

_ILLEGAL = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(report: Report, checks: Iterable[Check], seconds: float) -> str:
    """The text of the file. checks: those that were run. seconds: what all of it took; it is not known of each check.
    Errors and warnings are failures, what is only worth knowing is output, and a defective check is an error."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        if check.id != "doctor.defect":
            groups.setdefault(check.group, []).append(check)
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        id_ = finding.subject.removeprefix("check ") if finding.id == "doctor.defect" else finding.id
        found.setdefault(id_, []).append(finding)
    root = ElementTree.Element("testsuites", name="queuepool doctor", time=f"{max(seconds, 0):.3f}")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for group, members in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", name=group)
        counts = {"tests": 0, "failures": 0, "errors": 0}
        for check in members:
            failed = _case(suite, check, found.get(check.id, ()))
            counts["tests"] += 1
            if failed:
                counts[failed] += 1
        for name, count in counts.items():
            suite.set(name, str(count))
            totals[name] += count
        suite.set("skipped", "0")
        suite.set("time", "0.000")
    for name, count in totals.items():
        root.set(name, str(count))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, check: Check, findings: Sequence[Finding]) -> str:
    """Add one case; the count that it belongs to when it failed, "" when it did not."""
    case = ElementTree.SubElement(suite, "testcase", name=check.id, classname=f"queuepool.{check.group}", time="0.000")
    bad = [finding for finding in findings if finding.severity in (Severity.ERROR, Severity.WARNING)]
    if not bad:
        if findings:
            ElementTree.SubElement(case, "system-out").text = _text(findings)
        return ""
    defects = [finding for finding in bad if finding.id == "doctor.defect"]
    shown = defects or bad
    tag = "error" if defects else "failure"
    first = f"{shown[0].subject}: {shown[0].what}"
    message = first if len(shown) == 1 else f"{first}, and {len(shown) - 1} more"
    element = ElementTree.SubElement(case, tag, type=shown[0].severity.value, message=_legal(message))
    element.text = _text(findings)
    return "errors" if defects else "failures"


def _text(findings: Iterable[Finding]) -> str:
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.severity.value}: {finding.subject}: {finding.what}")
        lines += [f"    {line}" for line in finding.evidence]
        lines += [f"    -> {finding.remedy}"] if finding.remedy else []
    return _legal("\n".join(lines))


def _legal(text: str) -> str:
    """Without characters that XML 1.0 cannot hold at all (section 2.2)."""
    return _ILLEGAL.sub("\ufffd", text)
