"""A job whose worker died is given back, patiently, and never one that somebody else has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from queuepool.controller import requeuer
from queuepool.controller.journal import Journal
from queuepool.controller.requeuer import Requeuer
from queuepool.domain.events import Event, Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec
from queuepool.domain.work import Job
from queuepool.laravel.away import Away
from queuepool.laravel.requeue import Requeued
from queuepool.laravel.target import RedisTarget
from tests.controller.making import REDIS, applications, config, pools

FILE = """
programs:
  web: {queue: [high, default]}
  slow: {connection: database}
  off: {requeue: false}
  tool: {command: sleep 9}
"""
JOB = Job("App\\Jobs\\Mail", "abc", None, None, since=1000.0)


class World:
    """A Redis whose answers the test decides, in turn; the last one stays."""

    def __init__(self, found: dict[str, PoolSpec], *answers: Requeued | Away) -> None:
        self.answers = list(answers) or [Requeued(True, attempts=1)]
        self.asked: list[tuple[Any, ...]] = []
        self.living: set[str] = set()
        self.journal = Journal()
        self.requeuer = Requeuer(
            lambda: found, applications(config()), self.give_back, lambda id: id in self.living, self.journal
        )

    async def give_back(self, target: RedisTarget, queue: str, laravel: str, id: str, latest: float) -> Requeued | Away:
        self.asked.append((target, queue, laravel, id, latest))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def crashed(self, program: str, job: Job = JOB) -> list[Event]:
        async def story() -> None:
            self.requeuer.crashed(ProcessName(program, 0), job, -9)
            tasks = set(self.requeuer._tasks)
            if tasks:
                await asyncio.wait(tasks, timeout=20)
            await self.requeuer.close()

        asyncio.run(story())
        return list(self.journal.events)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeuer, "RETRY_SECONDS", 0.001)


@pytest.fixture
def found(tmp_path: Path) -> dict[str, PoolSpec]:
    return pools(tmp_path, FILE)


def test_it_is_looked_for_in_each_queue_of_its_program_and_told_where_it_was(found: dict[str, PoolSpec]) -> None:
    world = World(found, Requeued(False), Requeued(True, attempts=2))
    (event,) = world.crashed("web")
    assert event.kind is Kind.REQUEUED
    assert event.fields == {"job": "App\\Jobs\\Mail", "id": "abc", "queue": "default", "attempts": 2}
    latest = 1000.0 + requeuer.CLOCK_SECONDS + 90
    assert world.asked == [(REDIS, "high", "8.83.26", "abc", latest), (REDIS, "default", "8.83.26", "abc", latest)]
    assert event.sentence() == "web:0 died in App\\Jobs\\Mail: the job is back on default"


def test_where_the_line_told_the_queue_only_that_is_looked_at(found: dict[str, PoolSpec]) -> None:
    world = World(found)
    world.crashed("web", Job("X", "abc", "other", "redis", 1000.0))
    assert [asked[1] for asked in world.asked] == ["other"]


def test_one_that_its_worker_had_ended_is_no_news(found: dict[str, PoolSpec]) -> None:
    world = World(found, Requeued(False))
    assert world.crashed("web") == []
    assert len(world.asked) == 2


def test_one_that_another_worker_has_begun_by_now_is_not_touched(found: dict[str, PoolSpec]) -> None:
    world = World(found)
    world.living.add("abc")
    assert world.crashed("web") == []
    assert world.asked == []


def test_a_redis_that_is_away_is_waited_for(found: dict[str, PoolSpec]) -> None:
    away = Away("127.0.0.1:6390", "redis at 127.0.0.1:6390 refuses connections")
    world = World(found, *[away] * 8, Requeued(True, attempts=1))
    (event,) = world.crashed("web")
    assert event.kind is Kind.REQUEUED


def test_patience_has_an_end_which_is_said(found: dict[str, PoolSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeuer, "PATIENCE_SECONDS", 0.01)
    world = World(found, Away("127.0.0.1:6390", "redis at 127.0.0.1:6390 refuses connections"))
    (event,) = world.crashed("web")
    assert event.kind is Kind.JOB_LEFT
    assert "refuses connections" in str(event.fields["reason"])


@pytest.mark.parametrize(
    ("program", "job", "reason"),
    [
        ("slow", JOB, "database driver"),
        ("off", JOB, "requeue is off"),
        ("web", Job("X", None, None, None, 1.0), "did not print"),
    ],
)
def test_what_is_left_to_retry_after_is_said_with_the_reason(
    found: dict[str, PoolSpec], program: str, job: Job, reason: str
) -> None:
    world = World(found)
    (event,) = world.crashed(program, job)
    assert event.kind is Kind.JOB_LEFT
    assert reason in str(event.fields["reason"])
    assert world.asked == []


def test_a_poison_job_is_given_back_ten_times_and_then_left(found: dict[str, PoolSpec]) -> None:
    world = World(found)
    kinds = [world.crashed("web")[-1].kind for _ in range(11)]
    assert kinds == [Kind.REQUEUED] * 10 + [Kind.JOB_LEFT]


def test_commands_have_no_jobs(found: dict[str, PoolSpec]) -> None:
    assert World(found).crashed("tool") == []
