"""Redis goes and comes; the watch is driven by a Redis that is a variable, and by a loop whose time passes at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from queuepool.controller.journal import Journal
from queuepool.controller.watches import RETRY_SECONDS, RedisWatch, Target
from queuepool.domain.events import Kind
from tests.support.turns import leaping, passes


@dataclass(frozen=True)
class Server:
    where: str


class World:
    """Pools a and b need one Redis, c another, d none."""

    def __init__(self) -> None:
        one, two = Server("one"), Server("two")
        self.needs: dict[str, tuple[Target, ...]] = {"a": (one,), "b": (one,), "c": (two,), "d": ()}
        self.away: set[str] = set()
        self.blocked: dict[str, str] = {}
        self.asked = 0
        self.journal = Journal()
        self.watch = RedisWatch(self._targets, self._ping, lambda: list(self.needs), self._block, self.journal)

    async def _targets(self, pool: str) -> tuple[Target, ...]:
        return self.needs[pool]

    async def _ping(self, target: Target) -> str | None:
        self.asked += 1
        await asyncio.sleep(0)
        return f"redis at {target.where} refuses connections" if target.where in self.away else None

    def _block(self, pool: str, what: str) -> None:
        self.blocked[pool] = what

    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.journal.events]


def test_who_waits_for_a_redis_of_another_address_goes_on_when_the_configuration_is_mended() -> None:
    async def main() -> None:
        world = World()
        world.away.add("one")
        world.watch.suspect("a")
        await passes(3 * RETRY_SECONDS)
        assert set(world.blocked.values()) == {"redis at one: it refuses connections"}
        world.needs["a"] = world.needs["c"]
        await passes(3 * RETRY_SECONDS)
        assert world.blocked == {"a": "", "b": "redis at one: it refuses connections"}
        assert world.watch.away == {"one"}
        world.needs["b"] = world.needs["c"]
        await passes(3 * RETRY_SECONDS)
        assert (world.blocked, world.watch.away) == ({"a": "", "b": ""}, frozenset())
        assert world.journal.events[-1].fields["reason"] == "redis at one is not needed any more"
        assert await world.watch.blame("a") == ""

    leaping(main())


def test_while_redis_is_away_the_pools_that_need_it_wait_and_no_others() -> None:
    async def main() -> None:
        world = World()
        world.away.add("one")
        for _ in range(50):
            world.watch.suspect("a")
        await world.journal.saw(lambda event: event.kind is Kind.WAITING, 5)
        await passes(5 * RETRY_SECONDS)
        assert world.blocked == dict.fromkeys("ab", "redis at one: it refuses connections")
        world.away.clear()
        await world.journal.saw(lambda event: event.kind is Kind.RESUMED, 5)
        await asyncio.sleep(0)
        assert world.blocked == {"a": "", "b": ""}
        assert world.kinds() == [Kind.WAITING, Kind.RESUMED], "one line each, not one per look"
        assert [event.fields["redis"] for event in world.journal.events] == ["one", "one"]
        await world.watch.close()

    leaping(main())


def test_a_death_with_redis_there_blocks_nobody_and_asks_once() -> None:
    async def main() -> None:
        world = World()
        for _ in range(50):
            world.watch.suspect("a")
            world.watch.suspect("d")
            await asyncio.sleep(0)
        assert world.blocked == {}
        assert world.asked == 1
        await world.watch.close()

    leaping(main())


def test_closing_ends_every_watch() -> None:
    async def main() -> None:
        world = World()
        world.away.update({"one", "two"})
        world.watch.suspect("a")
        world.watch.suspect("c")
        await world.journal.saw(lambda event: event.kind is Kind.WAITING and "two" in str(event.fields), 5)
        await world.watch.close()
        assert len(asyncio.all_tasks()) == 1

    leaping(main())
