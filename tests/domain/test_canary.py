"""How a canary is launched, and what its end means."""

from __future__ import annotations

import pytest

from queuepool.domain.canary import Flight, as_canary, queue_of, verdict
from queuepool.domain.pool import Launch
from queuepool.domain.rollout import Failure
from queuepool.domain.work import What


def argv(text: str, laravel: str = "12.60.0") -> list[str]:
    launch = Launch(tuple(text.split()), "/srv/releases/2", user="www-data")
    made = as_canary(launch, "canary", laravel, 12.5)
    assert (made.directory, made.user) == ("/srv/releases/2", "www-data")
    return list(made.argv)


def test_a_canary_works_like_its_program_but_one_job_of_its_own_queue() -> None:
    assert argv("/usr/bin/php8.3 -d x=1 artisan queue:work redis --queue=high,default --timeout=60 --memory=256") == [
        *("/usr/bin/php8.3", "-d", "x=1", "artisan", "queue:work", "redis"),
        *("--queue=canary", "--tries=1", "--timeout=60", "--memory=256", "--sleep=0.2", "--max-jobs=1"),
        *("--max-time=18", "--force", "-v"),
    ]


def test_what_would_let_it_end_early_or_say_nothing_is_left_out() -> None:
    made = argv(
        "php artisan queue:work --once --stop-when-empty --stop-when-empty-for=5 --max-jobs=500 --max-time=60 --rest=5 "
        "--name=special --quiet --silent --tries=3 --json --env=staging"
    )
    assert made[2:] == [
        *("queue:work", "--queue=canary", "--tries=1", "--sleep=0.2", "--max-jobs=1", "--max-time=18", "--force"),
        *("--json", "--env=staging"),
    ]


def test_an_old_laravel_ends_when_its_queue_is_empty() -> None:
    assert argv("php artisan queue:work", "7.30.6")[3:] == [
        "--queue=canary", "--tries=1", "--sleep=0.2", "--stop-when-empty", "--force", "-v",
    ]  # fmt: skip


def test_every_canary_has_a_queue_of_its_own_that_every_driver_takes() -> None:
    names = {queue_of("0123456789ab", program, attempt) for program in range(3) for attempt in range(1, 4)}
    assert len(names) == 9
    assert all(len(name) <= 75 and name.replace("-", "").isalnum() for name in names)


@pytest.mark.parametrize(
    "flight",
    [
        Flight({What.STARTED, What.DONE}, 0, left=0),
        Flight({What.STARTED, What.DONE}, 12),
        Flight({What.STARTED, What.DONE}, None, late=True),
        Flight((), 0, left=0),
        Flight((), None, left=0),
    ],
)
def test_a_canary_that_did_its_job_opens_the_gate(flight: Flight) -> None:
    assert verdict("w", flight, 30) == ""


@pytest.mark.parametrize(
    ("flight", "what", "code"),
    [
        (Flight((), 255, lines=("PHP Fatal error: oh",)), "ended: 255: PHP fatal error: oh", 255),
        (Flight({What.STARTED}, 3, left=1), "ended: ", 3),
        (Flight({What.STARTED}, -11, left=1), "ended: ", -11),
        (Flight({What.STARTED, What.FAILED}, 0, exception="E: oh"), "failed its job: E: oh", 0),
        (Flight({What.STARTED, What.RELEASED}, 0, left=1), "failed its job", 0),
        (Flight((), 0, left=0, exception="E: oh"), "failed its job: E: oh", 0),
        (Flight((), -15, late=True, left=1), "did not begin its job within 30 s", None),
        (Flight({What.STARTED}, -15, late=True, left=1), "did not finish its job within 30 s", None),
        (Flight({What.DONE}, 139), "did its job and then ended: ", 139),
        (Flight((), 0, left=1), "ended without doing its job", 0),
        (Flight((), 0), "ended without doing its job", 0),
        (Flight({What.STARTED}, 0, left=0), "ended without doing its job", 0),
    ],
)
def test_any_other_shuts_it_and_the_reason_says_how(flight: Flight, what: str, code: int | None) -> None:
    failure = verdict("w", flight, 30)
    assert isinstance(failure, Failure)
    assert failure.what.startswith(f"the canary of w {what}")
    assert (failure.gate, failure.process, failure.exit_code) == ("canary", "w:canary", code)
