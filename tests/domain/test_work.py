from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.work import LARGEST_COUNT, MEMORY, OTHER, Runtimes, Said, What, Window, Work, bucket, moment


def runtimes(*seconds: float) -> Runtimes:
    found = Runtimes()
    for one in seconds:
        found.add(one, bucket(one))
    return found


@given(st.lists(st.floats(0.001, 5000), min_size=1, max_size=300))
def test_runtimes_are_those_of_the_jobs(seconds: list[float]) -> None:
    view = runtimes(*seconds).view()
    assert view is not None
    ordered = sorted(seconds)
    assert view.count == len(seconds)
    assert view.mean == pytest.approx(statistics.fmean(seconds), rel=1e-3, abs=1e-6)
    variance = statistics.pvariance(seconds) / statistics.fmean(seconds) ** 2
    assert view.cv2 == pytest.approx(variance, rel=0.01, abs=0.001)
    for share, value in ((0.5, view.p50), (0.95, view.p95)):
        exact = ordered[max(0, -(-int(share * len(seconds) * 1000) // 1000) - 1)]
        near = [one for one in ordered if one / 1.2 <= value <= one * 1.2]
        assert near or exact == pytest.approx(value, rel=0.1)


def test_runtimes_follow_what_happens_now() -> None:
    found = runtimes(*[10.0] * MEMORY, *[1.0] * (4 * MEMORY))
    view = found.view()
    assert view is not None
    assert view.count <= MEMORY
    assert view.mean < 2
    assert view.p50 == pytest.approx(1.0, rel=0.1)


def test_a_job_of_no_time_and_one_of_a_year_are_counted() -> None:
    view = runtimes(0.0, 3e7).view()
    assert view is not None
    assert (view.p50, view.count) == (0.0, 2)
    assert Runtimes().view() is None


def test_rates_are_those_of_the_last_minute() -> None:
    window = Window()
    assert window.total(5.0) == 0
    for second in range(100):
        for _ in range(3):
            window.add(1000.0 + second)
    assert window.total(1099.5) == 180
    assert window.seconds(1099.5) == 60
    assert window.total(1129.0) == 90
    assert window.total(5000.0) == 0
    window.add(4000.0)  # the clock was set back
    assert window.total(5000.0) == 1


def test_what_ended_is_counted_by_class_and_queue() -> None:
    work = Work()
    for n in range(30):
        work.ended(What.DONE, "A", "high", 0.1, 100.0 + n)
    work.ended(What.FAILED, "B", "low", None, 110.0)
    work.ended(What.RELEASED, "B", None, 2.0, 110.0)
    view = work.view(130.0)
    assert (view.all.done, view.all.failed, view.all.released) == (30, 1, 1)
    assert view.all.per_second == pytest.approx(32 / 30, rel=0.01)
    assert (view.classes["B"].failed, view.classes["B"].released) == (1, 1)
    assert set(view.queues) == {"high", "low"}
    assert json.loads(json.dumps(view.to_json()))["classes"]["A"]["runtime"]["p95"] == pytest.approx(0.1, rel=0.1)


def test_any_number_of_classes_takes_little_room() -> None:
    work = Work()
    for n in range(10_000):
        work.ended(What.DONE, f"Class{n}", f"q{n}", 0.1, 100.0)
    view = work.view(100.0)
    assert len(view.classes) == len(view.queues) == LARGEST_COUNT + 1
    assert view.classes[OTHER].done == 10_000 - LARGEST_COUNT
    assert view.all.done == 10_000


@pytest.mark.parametrize("zone", [-11, -3.5, 0, 5.75, 14])
@pytest.mark.parametrize("late", [0.0, 0.9, 90.0, 400.0])
def test_a_time_without_zone_is_brought_next_to_now(zone: float, late: float) -> None:
    now = 1_790_000_000.3
    stamp = float(int(now - late)) + zone * 3600
    at = moment(Said(What.STARTED, stamp=stamp), now)
    assert at == pytest.approx(now - late, abs=1.0 if late > 2 else 2.0)
    assert at <= now
    assert moment(Said(What.STARTED), now) == now
    assert moment(Said(What.STARTED, stamp=now - 1000, zoned=True), now) == now - 1000
