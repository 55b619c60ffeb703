"""docs/doctor.md is the one that the checks make."""

from __future__ import annotations

from pathlib import Path

from queuepool.doctor import reference
from queuepool.doctor.checks import CHECKS

DOCS = Path(reference.__file__).parents[2] / "docs"


def test_the_reference_is_current() -> None:
    assert (DOCS / "doctor.md").read_text() == reference.checks(), "run `python -m queuepool.doctor.reference`"


def test_every_check_is_where_its_findings_say() -> None:
    text = reference.checks()
    for check in CHECKS:
        file, _, anchor = check.doc.partition("#")
        assert file == "docs/doctor.md"
        assert f'<a id="{anchor}"></a>' in text
        assert f"| [{check.id}](#{check.id}) | {check.severity.value} |" in text
