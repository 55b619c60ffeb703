"""Rates of queues from what they hold and what workers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.flow import SHORTEST_SECONDS, WINDOW_SECONDS, Flow, Rates, Sample, rates
from queuepool.domain.queues import expected_wait


def test_what_came_is_what_is_more_and_what_was_finished() -> None:
    assert rates([Sample(0, 10, 100), Sample(10, 30, 180)]) == Rates(came=10.0, done=8.0)


def test_jobs_that_nobody_pushed_again_are_no_negative_rate() -> None:
    assert rates([Sample(0, 50, 100), Sample(10, 0, 120)]) == Rates(came=0.0, done=2.0), "30 went to another host"


def test_where_workers_say_nothing_the_queue_alone_is_looked_at_and_that_is_said() -> None:
    seen = rates([Sample(0, 10, None), Sample(5, 20, None), Sample(10, 5, None)])
    assert seen == Rates(came=1.0, done=1.5, guessed=True)


def test_a_count_that_began_anew_is_not_taken_for_a_rate() -> None:
    assert rates([Sample(0, 10, 500), Sample(10, 10, 3)]).guessed


@pytest.mark.parametrize("seconds", [0.0, 0.5, SHORTEST_SECONDS - 0.1])
def test_of_a_short_time_nothing_is_said(seconds: float) -> None:
    assert rates([Sample(0, 0, 0), Sample(seconds, 5, 5)]) == Rates()
    assert rates([]) == Rates()


def test_a_minute_is_kept_and_no_more() -> None:
    flow = Flow()
    for second in range(300):
        flow.add(Sample(float(second), 0, second * 2 if second > 200 else 0))
    assert flow.rates.done == pytest.approx(2.0)
    assert len(flow._samples) <= WINDOW_SECONDS + 2


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 10**6), st.none() | st.integers(0, 10**6)), max_size=50))
def test_no_rate_is_ever_negative(steps: list[tuple[float, int, int | None]]) -> None:
    flow, now = Flow(), 0.0
    for pause, held, finished in steps:
        now += pause
        flow.add(Sample(now, held, finished))
        seen = flow.rates
        assert seen.came is None or seen.came >= 0
        assert seen.done is None or seen.done >= 0


@pytest.mark.parametrize(
    ("backlog", "workers", "busy", "seconds", "wait"),
    [
        (0, 4, 3, 2.0, 0.0),
        (0, 4, 3, None, 0.0),
        (0, 4, 4, 2.0, 0.5),
        (7, 4, 4, 2.0, 4.0),
        (7, 4, 0, 2.0, 4.0),
        (7, 4, 4, None, None),
        (7, 0, 0, 2.0, None),
        (0, 0, 0, None, None),
    ],
)
def test_how_long_a_job_pushed_now_would_wait(
    backlog: int, workers: int, busy: int, seconds: float | None, wait: float | None
) -> None:
    assert expected_wait(backlog, workers, busy, seconds) == wait
