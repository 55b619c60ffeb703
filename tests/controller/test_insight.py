"""What follows from what applications are configured to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from queuepool.controller.applications import Application, Applications
from queuepool.controller.asking import guess_application
from queuepool.controller.insight import Insight
from queuepool.domain.horizon import MARGIN
from queuepool.domain.pool import PoolSpec
from queuepool.errors import QueuepoolError, UsageError
from queuepool.laravel.config import AppConfig, HorizonConfig, HorizonSupervisor, QueueConnection
from tests.controller.making import REDIS, applications, config, pools


def patience(found: dict[str, PoolSpec], answer: AppConfig) -> dict[str, float]:
    async def story() -> dict[str, float]:
        insight = Insight(lambda: found)
        insight.applications = applications(answer)
        for pool in found.values():
            await insight.applications.of(pool)
        return insight.patience()

    return asyncio.run(story())


def test_a_worker_that_blocks_in_redis_is_given_that_time_too(tmp_path: Path) -> None:
    found = pools(
        tmp_path, "programs: {w: {timeout: 60, sleep: 3}, own: {stopwaitsecs: 70}, plain: {connection: other}}"
    )
    answer = config(
        connections={
            "redis": QueueConnection("redis", "default", 90, 30, "default"),
            "other": QueueConnection("redis", "default", 90, None, "default"),
        }
    )
    before = found["w"].process(0).policy.stop_seconds
    assert patience(found, answer) == {"w": before + 30}


def test_nothing_is_guessed_of_an_application_whose_env_cannot_be_read(tmp_path: Path) -> None:
    """Each worker dies of that, and Redis may be anywhere: nothing is to be waited for at Laravel's default address."""
    (tmp_path / "artisan").touch()
    found = pools(tmp_path, "programs: {mail: {connection: redis}}")

    async def fail(who: Application) -> AppConfig:
        raise QueuepoolError("it does not boot")

    async def needed(text: str) -> tuple[tuple[object, ...], str]:
        (tmp_path / ".env").write_text(text)
        insight = Insight(lambda: found)
        insight.applications = Applications(fail, lambda: 0.0, guess_application)
        return await insight.redis_of("mail"), insight.applications.why(found["mail"])

    targets, why = asyncio.run(needed("QUEUE_CONNECTION=redis\nREDIS_PORT=7000\n"))
    assert targets
    assert "what its .env says is shown" in why
    assert asyncio.run(needed(""))[0], "Laravel's default is in force"
    assert asyncio.run(needed('REDIS_PORT=7000\nBROKEN "quote\n')) == ((), "it does not boot")


def test_a_name_that_no_queue_has_is_refused_but_not_where_the_queues_are_not_known(tmp_path: Path) -> None:
    found = pools(tmp_path, "programs: {mail: {queue: [high, default]}, tool: {command: sleep 9}}")

    async def story() -> Insight:
        insight = Insight(lambda: found)
        insight.applications = insight.monitor._applications = applications(config())
        for pool in found.values():
            await insight.applications.of(pool)
        return insight

    insight = asyncio.run(story())
    for name in ("mail", "high", "redis:default", "tool"):
        insight.queues([name])
    with pytest.raises(UsageError, match="cannot find defualt") as told:
        insight.queues(["high", "defualt"])
    assert told.value.hint == "did you mean default?"
    insight.monitor.problems = lambda: ["cannot boot the application"]  # type: ignore[method-assign]
    assert insight.queues(["defualt"])["queues"] == []


@pytest.mark.parametrize(("timeouts", "seconds"), [((60, 600), 600 + MARGIN), ((60, 0), 3600.0)])
def test_horizon_is_given_the_longest_timeout_of_its_supervisors(
    tmp_path: Path, timeouts: tuple[int, ...], seconds: float
) -> None:
    supervisors = tuple(
        HorizonSupervisor(f"s{at}", "redis", ("default",), timeout=timeout) for at, timeout in enumerate(timeouts)
    )
    horizon = HorizonConfig("5.22", "default", "h:", REDIS, "production", {"production": supervisors})
    found = pools(tmp_path, "programs: {horizon: {type: horizon}, fixed: {type: horizon, stopwaitsecs: 5}}")
    assert patience(found, config(horizon=True, horizon_config=horizon)) == {"horizon": seconds}
