"""A real application, broken in each way that its checks look for."""

from __future__ import annotations

import pytest

from tests.support.installation import Break, Installation

pytestmark = pytest.mark.php


def a_provider_with_a_parse_error(it: Installation) -> None:
    (it.root / "app/bootstrap/app.php").write_text("<?php\noops(\n")


BREAKS = [
    Break("application.boots", a_provider_with_a_parse_error, r"Unclosed.*bootstrap/app.php:2"),
]


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_application_is_found(broken: Break) -> None:
    broken.prove()
