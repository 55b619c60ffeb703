"""How old the head of a queue is, told by watching a queue of which the true ages are known."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from queuepool.laravel.ages import MOST_MARKS, Ages

STEP = st.tuples(st.integers(0, 4), st.integers(0, 4))  # jobs pushed, jobs taken


@given(steps=st.lists(STEP, max_size=60), there=st.integers(0, 3))
def test_an_age_is_true_to_a_look_and_never_too_high(steps: list[tuple[int, int]], there: int) -> None:
    ages, looked = Ages(), 100.0
    queue = deque((f"old{n}", 0.0) for n in range(there))
    seen_at_tail = set()
    ages.saw(queue[0][0] if queue else None, queue[-1][0] if queue else None, looked)
    number = 0
    for pushed, taken in steps:
        now = looked + 1.0
        for _ in range(pushed):
            queue.append((f"job{number}", looked + 0.5))
            number += 1
        for _ in range(min(taken, len(queue))):
            queue.popleft()
        if queue:
            if pushed:
                seen_at_tail.add(queue[-1][0])
            head, arrived = queue[0]
            age = ages.saw(head, queue[-1][0], now)
            assert age is None or now - arrived - 1.0 <= age <= now - arrived
            assert ages.at_least(now) <= now - arrived
            assert (age is not None) == (head in seen_at_tail)
        else:
            assert ages.saw(None, None, now) is None
        looked = now


def test_a_queue_that_nobody_works_grows_old_though_its_jobs_were_there_before() -> None:
    ages = Ages()
    assert ages.saw("a", "z", 100.0) is None
    assert ages.saw("a", "z", 160.0) is None
    assert ages.at_least(160.0) == 60.0


def test_a_job_that_is_queued_twice_makes_no_age_too_high() -> None:
    """As when retry_after ends before the job does, which then releases itself as well."""
    ages = Ages()
    ages.saw(None, None, 0.0)
    for now, tail in enumerate(("x", "a", "b", "c", "a", "d"), start=1):
        ages.saw("x", tail, float(now))
    assert ages.saw("a", "d", 10.0) is None
    assert ages.saw("b", "d", 11.0) == 8.0
    assert ages.saw("c", "d", 12.0) == 8.0
    assert ages.saw("a", "d", 13.0) is None
    assert ages.saw("d", "d", 14.0) == 8.0


def test_memory_is_bounded_and_a_long_queue_still_meets_remembered_jobs() -> None:
    ages, jobs = Ages(), 20 * MOST_MARKS
    ages.saw(None, None, 0.0)
    for n in range(jobs):
        ages.saw("first", f"job{n}", float(n))
    assert len(ages._arrived) <= MOST_MARKS
    met = {n: age for n in range(jobs) if (age := ages.saw(f"job{n}", f"job{jobs - 1}", 1e6)) is not None}
    assert len(met) >= MOST_MARKS / 2
    assert max(b - a for a, b in zip(met, list(met)[1:], strict=False)) <= 80
    assert all(age == 1e6 - n for n, age in met.items())


def test_a_clock_that_is_set_back_makes_no_age_below_zero() -> None:
    ages = Ages()
    ages.saw(None, None, 100.0)
    ages.saw("a", "a", 100.0)
    assert ages.saw("a", "a", 50.0) == 0.0
    assert ages.at_least(50.0) == 0.0
