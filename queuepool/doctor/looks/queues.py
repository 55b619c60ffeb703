"""Looks at the queues that programs serve, at their Redis, and at Horizon."""

from __future__ import annotations

import asyncio

from queuepool.doctor.facts.queues import QueuesFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.laravel.health import health


async def look(scene: Scene) -> QueuesFacts:
    """What they hold now, and how well each server is."""
    insight = scene.insight
    await insight.servers.prepare()
    await insight.monitor.look(wait=True)
    targets = insight.monitor.targets()
    servers = await asyncio.gather(*(health(insight.servers, target) for target in targets))
    return QueuesFacts(tuple(insight.monitor.views()), tuple(servers))
