from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.logs.rotating import next_turn


@pytest.fixture
def berlin() -> Iterator[ZoneInfo]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield ZoneInfo("Europe/Berlin")
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize("day", ["2026-01-15", "2026-03-29", "2026-06-01", "2026-10-25"])
@pytest.mark.parametrize("hour", [0, 1, 4, 23])
def test_a_day_ends_at_midnight_also_when_the_clocks_change(berlin: ZoneInfo, day: str, hour: int) -> None:
    at = datetime.fromisoformat(f"{day}T{hour:02}:30:00").replace(tzinfo=berlin)
    turn = datetime.fromtimestamp(next_turn(at.timestamp(), 86400), berlin)
    assert (turn.hour, turn.minute, turn.second) == (0, 0, 0)
    assert 0 < turn.timestamp() - at.timestamp() <= 25 * 3600


@settings(deadline=None)
@given(at=st.floats(0, 4e9), seconds=st.sampled_from([60, 3600, 86400]))
def test_the_next_turn_is_later_and_at_most_a_period_away(at: float, seconds: int) -> None:
    turn = next_turn(at, seconds)
    assert at < turn <= at + seconds + 3600
