"""What is said of the supervisord of `engine: supervisord`; nothing where all is well, or where it is not used."""

from __future__ import annotations

import pytest

from queuepool.doctor.checks.supervised import CHECKS
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import FileFacts
from queuepool.doctor.facts.supervised import SupervisedFacts
from queuepool.doctor.finding import Finding

WELL = SupervisedFacts(
    config="/etc/supervisord.conf",
    where="unix:///run/supervisor.sock",
    patterns=("/etc/supervisord.d/*.ini",),
    file="/etc/supervisord.d/queuepool-app.ini",
    written=True,
)


def findings(seen: SupervisedFacts | None) -> list[Finding]:
    facts = Facts(0.0, 0, FileFacts("queuepool.yml"), supervised=seen)
    return [finding for check in CHECKS for finding in check.run(facts)]


@pytest.mark.parametrize("seen", [None, WELL], ids=["another engine", "well"])
def test_nothing_is_found_where_all_is_well(seen: SupervisedFacts | None) -> None:
    assert findings(seen) == []


@pytest.mark.parametrize(
    ("change", "id_", "evidence", "remedy"),
    [
        ({"trouble": "cannot read /x", "remedy": "sudo"}, "found", "cannot read /x", "sudo"),
        ({"where": "", "away": "refused"}, "answers", "refused", "supervisorctl -c /etc/supervisord.conf status"),
        (
            {"file": "/srv/q.conf", "covered": False},
            "included",
            "[include] files of /etc/supervisord.conf: /etc/supervisord.d/*.ini",
            "add /srv/*.conf to its files",
        ),
        ({"refused": "edited", "remedy": "rm it"}, "file", "edited", "rm it"),
        ({"foreign": (("w_00", "/x.ini"),)}, "names", "[program:w_00] is in /x.ini", "rename the program"),
        ({"missing": ("w_01",)}, "loaded", "holds w_01", "queuepool update"),
    ],
)
def test_each_trouble_has_its_proof_and_its_remedy(
    change: dict[str, object], id_: str, evidence: str, remedy: str
) -> None:
    from dataclasses import replace

    [finding] = findings(replace(WELL, **change))  # type: ignore[arg-type]
    assert finding.id == f"supervisord.{id_}"
    assert evidence in "\n".join(finding.evidence)
    assert remedy in finding.remedy
