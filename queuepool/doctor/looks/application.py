"""Looks at the applications of the programs: asks them, and tries what their users may do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from queuepool.controller.applications import Application, application_of
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import PoolSpec


async def look(scene: Scene) -> tuple[ApplicationFacts, ...]:
    """Each application as each user and PHP that programs run it with, in the order of the file."""
    users: dict[Application, list[PoolSpec]] = {}
    for pool in scene.pools.values():
        if (who := application_of(pool)) is not None:
            users.setdefault(who, []).append(pool)
    return tuple(await asyncio.gather(*(_look_at(scene, who, pools) for who, pools in users.items())))


async def _look_at(scene: Scene, who: Application, pools: Sequence[PoolSpec]) -> ApplicationFacts:
    config = await scene.insight.applications.of(pools[0])
    return ApplicationFacts(
        root=who.app,
        release=os.path.realpath(who.app),
        php=who.php,
        user=who.user,
        programs=tuple(pool.name for pool in pools),
        config=config,
        failure=scene.insight.applications.why(pools[0]),
    )
