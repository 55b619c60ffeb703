"""An application is asked once, and again when it has changed; one that cannot be asked is not asked all the time."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from queuepool.config.load import load
from queuepool.controller import applications
from queuepool.controller.applications import Applications, application_of
from queuepool.domain.pool import PoolSpec
from queuepool.errors import QueuepoolError
from queuepool.laravel.config import DOTENV
from tests.controller.making import config


class World:
    """Applications with a clock of the test's own, and somebody who answers for them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.failure: str | None = None
        self.hold: asyncio.Event | None = None
        self.all = Applications(self.ask, lambda: self.now)

    async def ask(self, who: applications.Application) -> Any:
        self.asked.append(who.app)
        if self.hold is not None:
            await self.hold.wait()
        if self.failure:
            raise QueuepoolError(self.failure)
        return f"configuration {len(self.asked)}"


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, PoolSpec]:
    (tmp_path / "artisan").touch()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "queue.php").write_text("<?php return [];")
    text = "programs:\n  one: {queue: a}\n  two: {queue: b}\n  other: {user: '65534'}\n  tool: {command: sleep 9}\n"
    (tmp_path / "queuepool.yml").write_text(text)
    return load(str(tmp_path / "queuepool.yml"), {}).pools


def test_pools_of_one_application_share_an_answer_and_commands_have_none(pools: dict[str, PoolSpec]) -> None:
    async def story() -> None:
        world = World()
        assert await world.all.of(pools["one"]) == "configuration 1"
        assert await world.all.of(pools["two"]) == "configuration 1"
        assert await world.all.of(pools["other"]) == "configuration 2", "asked as another user, it may say otherwise"
        assert await world.all.of(pools["tool"]) is None
        assert len(world.asked) == 2
        assert world.all.known(pools["one"]) == "configuration 1"

    asyncio.run(story())


@pytest.mark.parametrize("change", [".env", "config/queue.php", "bootstrap/cache/config.php", "current"])
def test_it_is_asked_again_when_something_that_shapes_it_changed(
    pools: dict[str, PoolSpec], tmp_path: Path, change: str
) -> None:
    async def story() -> None:
        world = World()
        app = tmp_path / "current"
        app.symlink_to(tmp_path)
        pool = replace(pools["one"], app=str(app))
        await world.all.of(pool)
        world.now += applications.LOOK_SECONDS
        await world.all.of(pool)
        assert len(world.asked) == 1, "nothing has changed"
        if change == "current":
            (tmp_path / "release").mkdir()
            app.unlink()
            app.symlink_to(tmp_path / "release")
        else:
            (tmp_path / change).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / change).write_text("changed")
        await world.all.of(pool)
        assert len(world.asked) == 1, "it is not looked at all the time"
        world.now += applications.LOOK_SECONDS
        assert await world.all.of(pool) == "configuration 1", "the former answer serves until there is a new one"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await world.all.of(pool) == "configuration 2"

    asyncio.run(story())


def test_one_that_fails_says_why_and_is_tried_again_now_and_then(pools: dict[str, PoolSpec]) -> None:
    async def story() -> None:
        world = World()
        world.failure = "cannot boot the application"
        for _ in range(5):
            assert await world.all.of(pools["one"]) is None
        assert world.all.why(pools["one"]) == "cannot boot the application"
        assert len(world.asked) == 1
        world.failure = None
        world.now += applications.RETRY_SECONDS
        assert await world.all.of(pools["one"]) == "configuration 2"
        assert world.all.why(pools["one"]) == ""

    asyncio.run(story())


def test_where_it_cannot_be_asked_its_files_are_read_and_that_is_said(pools: dict[str, PoolSpec]) -> None:
    async def story() -> None:
        world = World()
        world.all = Applications(world.ask, lambda: world.now, lambda who: config(source=DOTENV))
        world.failure = "cannot run php"
        found = await world.all.of(pools["one"])
        assert found is not None
        assert found.source == DOTENV
        assert world.all.why(pools["one"]).startswith("cannot run php; what its .env says is shown instead")
        world.failure = None
        world.now += applications.RETRY_SECONDS
        await world.all.of(pools["one"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await world.all.of(pools["one"]) == "configuration 2"
        assert world.all.why(pools["one"]) == ""

    asyncio.run(story())


def test_those_who_ask_at_once_wait_for_one_answer(pools: dict[str, PoolSpec]) -> None:
    async def story() -> None:
        world = World()
        world.hold = asyncio.Event()
        both = asyncio.gather(world.all.of(pools["one"]), world.all.of(pools["two"]))
        await asyncio.sleep(0)
        world.hold.set()
        assert await both == ["configuration 1", "configuration 1"]
        assert len(world.asked) == 1

    asyncio.run(story())


def test_what_no_pool_has_any_more_is_forgotten_and_its_asking_ended(pools: dict[str, PoolSpec]) -> None:
    async def story() -> None:
        world = World()
        await world.all.of(pools["one"])
        world.hold = asyncio.Event()
        waiting = asyncio.ensure_future(world.all.of(pools["other"]))
        await asyncio.sleep(0)
        world.all.keep([pools["one"]])
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert world.all.known(pools["one"]) == "configuration 1"
        assert world.all.known(pools["other"]) is None
        await world.all.close()

    asyncio.run(story())


def test_no_password_of_the_environment_shows(tmp_path: Path) -> None:
    (tmp_path / "artisan").touch()
    (tmp_path / "queuepool.yml").write_text("programs: {w: {environment: {DB_PASSWORD: hidden-words}}}\n")
    pool = load(str(tmp_path / "queuepool.yml"), dict(os.environ)).pools["w"]
    assert "hidden-words" not in repr(application_of(pool))
