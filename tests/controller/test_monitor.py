"""What the monitor makes of queues: which there are, what they hold, how fast they move."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from queuepool.controller.monitor import Monitor, served
from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueDepth, QueueName, QueueView, Serving
from queuepool.laravel.away import Away
from queuepool.laravel.config import HorizonConfig, HorizonSupervisor
from queuepool.laravel.depth import Ask
from tests.controller.making import CACHE, REDIS, applications, config, pools

FILE = """
programs:
  web: {queue: [high, default], numprocs: 2}
  mail: {connection: redis, queue: default}
  slow: {connection: database, queue: imports}
  never: {connection: sync}
  gone: {connection: nowhere}
  tool: {command: sleep 9}
"""


class World:
    """Queues that a test fills, and workers of which it says what they do."""

    def __init__(self, found: Mapping[str, PoolSpec], **more: Any) -> None:
        self.pools = dict(found)
        self.now = 1000.0
        self.app = found["web"].app or ""
        self.depths: dict[str, QueueDepth] = {}
        self.away = ""
        self.sizes: dict[str, QueueDepth | str] = {}
        self.asked: list[tuple[Ask, ...]] = []
        self.sized: list[str] = []
        self.servings: dict[str, Serving] = {}
        self.troubled: list[str] = []
        self.monitor = Monitor(
            lambda: self.pools,
            applications(config(**more)),
            read_depths=self.read_depths,
            read_sizes=self.read_sizes,
            servings=lambda program, queues: self.servings.get(program),
            clock=lambda: self.now,
            troubled=self.troubled.append,
        )

    async def read_depths(self, asks: Sequence[Ask]) -> dict[QueueName, QueueDepth | Away]:
        self.asked.append(tuple(asks))
        if self.away:
            return {ask.name: Away("127.0.0.1:6390", self.away) for ask in asks}
        return {ask.name: self.depths.get(ask.name.queue, QueueDepth()) for ask in asks}

    async def read_sizes(self, pool: PoolSpec, names: Sequence[QueueName]) -> Mapping[QueueName, QueueDepth | str]:
        self.sized.append(pool.name)
        return {name: self.sizes[name.queue] for name in names if name.queue in self.sizes}

    def name(self, queue: str, connection: str = "redis") -> QueueName:
        return QueueName(connection, queue, self.app)

    def look(self, seconds: float = 0.0) -> dict[str, QueueView]:
        self.now += seconds
        asyncio.run(self.monitor.look(wait=True))
        return {f"{view.connection}:{view.queue}": view for view in self.monitor.views()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(pools(tmp_path, FILE))


def test_each_queue_of_each_program_is_read_once_and_with_what_it_needs(world: World) -> None:
    world.depths = {
        "high": QueueDepth(ready=3, oldest=1.5),
        "default": QueueDepth(ready=1, delayed=5, due=2, reserved=1),
    }
    world.sizes = {"imports": QueueDepth(ready=9)}
    views = world.look()
    assert list(views) == ["redis:high", "redis:default", "database:imports", "sync:default", "nowhere:default"]
    (asks,) = world.asked
    assert [str(ask.name) for ask in asks] == ["redis:high", "redis:default"]
    assert {(ask.target, ask.laravel, ask.retry_after, ask.cache, ask.cache_prefix) for ask in asks} == {
        (REDIS, "8.83.26", 90, CACHE, "cache:")
    }
    assert (views["redis:high"].ready, views["redis:high"].oldest) == (3, 1.5)
    assert views["database:imports"].ready == 9
    assert "sync" in views["sync:default"].why
    assert views["nowhere:default"].why == "config/queue.php has no connection nowhere"


def test_queues_that_php_has_to_size_are_looked_at_less_often_and_keep_their_last_size(world: World) -> None:
    world.sizes = {"imports": QueueDepth(ready=9)}
    for _ in range(21):
        views = world.look(1.0)
    assert world.sized == ["slow"] * 3
    assert views["database:imports"].ready == 9
    world.sizes = {"imports": "cannot connect to the database"}
    assert world.look(10.0)["database:imports"].why == "cannot connect to the database"


def test_a_redis_that_is_away_is_said_of_its_queues_and_its_programs(world: World) -> None:
    world.depths = {"high": QueueDepth(ready=3)}
    world.look()
    world.away = "redis at 127.0.0.1:6390 refuses connections"
    view = world.look(1.0)["redis:high"]
    assert (view.ready, view.why) == (None, "redis at 127.0.0.1:6390 refuses connections")
    assert world.monitor.away == {"127.0.0.1:6390": "redis at 127.0.0.1:6390 refuses connections"}
    assert world.troubled == ["web", "mail"]
    world.away = ""
    assert world.look(1.0)["redis:high"].ready == 3
    assert world.monitor.away == {}


def test_rates_workers_and_waits_come_from_what_the_workers_do(world: World) -> None:
    high, default = world.name("high"), world.name("default")

    def serve(done: int) -> None:
        world.servings = {
            "web": Serving("web", (high, default), 2, 2, 0.5, {high: done, default: 0}, {high: 1}),
            "mail": Serving("mail", (default,), 1, 1, 2.0, {default: done}),
        }

    serve(100)
    world.depths = {"high": QueueDepth(ready=4)}
    world.look()
    serve(150)
    world.depths = {"high": QueueDepth(ready=14), "default": QueueDepth(ready=2)}
    views = world.look(10.0)
    assert (views["redis:high"].rate_in, views["redis:high"].rate_done) == (6.0, 5.0)
    assert (views["redis:high"].workers, views["redis:high"].busy, views["redis:high"].failed) == (2, 2, 1)
    assert views["redis:high"].wait == pytest.approx(15 * 0.5 / 2)
    assert (views["redis:default"].workers, views["redis:default"].busy) == (3, 3)
    assert views["redis:default"].wait == pytest.approx(17 * 2.0 / 3), "the more urgent queue comes first"
    assert views["redis:default"].programs == ("web", "mail")
    assert views["database:imports"].workers is None, "nobody knows"


def test_a_paused_queue_promises_nothing(world: World) -> None:
    high = world.name("high")
    world.servings = {"web": Serving("web", (high, world.name("default")), 2)}
    world.depths = {"high": QueueDepth(paused=True)}
    view = world.look()["redis:high"]
    assert view.paused
    assert view.wait is None


def test_names_are_programs_queues_or_both_parts(world: World) -> None:
    world.look()
    for names, queues in (
        (["mail"], ["default"]),
        (["web"], ["high", "default"]),
        (["high"], ["high"]),
        (["database:imports"], ["imports"]),
        (["nothing"], []),
    ):
        assert [view.queue for view in world.monitor.views(names)] == queues


def test_a_program_that_is_gone_takes_its_queues_with_it(world: World) -> None:
    world.look()
    world.pools = {"mail": world.pools["mail"]}
    assert list(world.look(1.0)) == ["redis:default"]


def test_every_redis_is_known_with_its_uses(world: World) -> None:
    world.look()
    assert world.monitor.targets() == {REDIS: ("queue redis",), CACHE: ("cache",)}


def test_horizon_serves_what_its_supervisors_do(tmp_path: Path) -> None:
    supervisors = (
        HorizonSupervisor("one", "redis", ("high", "default"), max_processes=3),
        HorizonSupervisor("two", "redis", ("default",), max_processes=1),
        HorizonSupervisor("off", "redis", ("never",), max_processes=0),
    )
    horizon = HorizonConfig("5.22", "default", "h:", CACHE, "production", {"production": supervisors})
    found = pools(tmp_path, "programs: {horizon: {type: horizon}}\n")
    app = config(horizon=True, horizon_config=horizon)
    assert [str(name) for name in served(found["horizon"], app)] == ["redis:high", "redis:default"]
