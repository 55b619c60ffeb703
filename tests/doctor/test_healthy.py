"""An installation in good health gives no finding, whatever runs."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation

pytestmark = pytest.mark.php


def test_a_healthy_installation_gives_no_finding_before_it_runs() -> None:
    with Installation() as it:
        report = it.doctor()
        assert (report["verdict"], report["findings"]) == ("ok", [])


def test_a_healthy_installation_gives_no_finding_while_it_runs() -> None:
    with Installation() as it:
        it.qp.up()
        it.qp.running("w", 1)
        report = it.doctor()
        assert (report["verdict"], report["findings"]) == ("ok", [])
