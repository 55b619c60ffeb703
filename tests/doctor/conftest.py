"""The installation that tests share ends with the last of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installation import KEPT


@pytest.fixture(scope="session", autouse=True)
def _close_kept() -> Iterator[None]:
    yield
    while KEPT:
        KEPT.pop().close()
