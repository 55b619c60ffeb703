"""Looks at what lies outside of Redis, by asking the application: failed jobs, databases, time limits of PHP."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from queuepool.controller.applications import Application
from queuepool.controller.asking import environment_of
from queuepool.doctor.facts.queues import FailedJobs, StoreFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import PoolSpec
from queuepool.errors import QueuepoolError
from queuepool.laravel.stores import stores


async def look(scene: Scene) -> tuple[StoreFacts, ...]:
    """Each application that answers, once. What its configuration says is not waited for: PHP needs long to boot."""
    found = await asyncio.gather(*(_of(who, pools) for who, pools in scene.by_application().items()))
    return tuple(each for each in found if each is not None)


async def _of(who: Application, pools: Sequence[PoolSpec]) -> StoreFacts | None:
    names = {pool.connection or "" for pool in pools if pool.kind != "horizon"}
    try:
        environment = environment_of(who)
        told = await stores(who.php, who.app, sorted(names), user=who.user, group=who.group, environment=environment)
    except QueuepoolError:
        return None  # why it does not boot is what looks/application.py tells
    return store_facts(who.app, tuple(pool.name for pool in pools), told)


def store_facts(app: str, programs: tuple[str, ...], told: Mapping[str, Any]) -> StoreFacts:
    """The facts in the answer of stores.php."""
    databases = told.get("databases") or {}
    timeouts = told.get("read_timeouts") or {}
    return StoreFacts(
        app=app,
        programs=programs,
        failed=_failed(told.get("failed") or {}),
        databases={name: (str(one[0]), str(one[1])) for name, one in databases.items()} if databases else {},
        read_timeouts={name: float(seconds) for name, seconds in timeouts.items()} if timeouts else {},
        elastic=frozenset(map(str, told.get("elastic") or ())),
        horizon_lacks=tuple(map(str, told.get("horizon_lacks") or ())),
    )


def _failed(told: Mapping[str, Any]) -> FailedJobs:
    def number(name: str) -> int | None:
        value = told.get(name)
        return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None

    return FailedJobs(
        driver=str(told.get("driver") or ""),
        why=str(told.get("why") or ""),
        day=number("day"),
        hour=number("hour"),
        newest=str(told.get("newest") or ""),
        queue=str(told.get("queue") or ""),
        at=number("at"),
        exception=str(told.get("exception") or ""),
    )
