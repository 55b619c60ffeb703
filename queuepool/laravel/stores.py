"""Asks a booted application about what lies outside of Redis: its failed jobs and its databases (stores.php)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from queuepool.laravel.probe import ask

STORES = Path(__file__).with_name("stores.php")


async def stores(
    php: tuple[str, ...],
    app: str,
    connections: Sequence[str],
    *,
    user: str | None = None,
    group: str | None = None,
    environment: Mapping[str, str],
    timeout: float = 10.0,  # noqa: ASYNC109 - bounds a process, which then is killed
) -> dict[str, Any]:
    """What stores.php says of these queue connections ("": the default one): {"databases": {connection: [driver,
    version]}, "read_timeouts": {redis connection: seconds, 0: none}, "elastic": [connections], "horizon_lacks":
    [options], "failed": {"driver", "day", "hour", "newest", "queue", "at", "exception", "why"}}. Raises QueuepoolError.
    The rest is as for probe()."""
    options = {"connections": ",".join(connections)}
    return await ask(STORES, options, php, app, user=user, group=group, environment=environment, timeout=timeout)
