"""Which jobs are given back at once."""

from __future__ import annotations

from queuepool.domain.requeueing import MOST_TIMES, REMEMBERED, Deaths, why_not


def test_a_job_on_redis_is_given_back() -> None:
    assert why_not(wanted=True, driver="redis", id_known=True, deaths=1) == ""


def test_each_reason_not_to_is_said() -> None:
    assert "requeue is off" in why_not(wanted=False, driver="redis", id_known=True, deaths=1)
    assert "database driver" in why_not(wanted=True, driver="database", id_known=True, deaths=1)
    assert "unknown" in why_not(wanted=True, driver="", id_known=True, deaths=1)
    assert "did not print" in why_not(wanted=True, driver="redis", id_known=False, deaths=1)


def test_a_job_that_takes_worker_after_worker_with_it_is_left_to_retry_after() -> None:
    deaths = Deaths()
    reasons = [
        why_not(wanted=True, driver="redis", id_known=True, deaths=deaths.again("poison"))
        for _ in range(MOST_TIMES + 1)
    ]
    assert set(reasons[:-1]) == {""}
    assert reasons[-1] == f"it took {MOST_TIMES + 1} workers with it: it runs again after retry_after"
    assert deaths.again("another") == 1


def test_memory_of_deaths_is_bounded_and_forgets_the_oldest() -> None:
    deaths = Deaths()
    deaths.again("first")
    for number in range(REMEMBERED):
        deaths.again(str(number))
    assert deaths.again("first") == 1
    assert deaths.again(str(REMEMBERED - 1)) == 2
