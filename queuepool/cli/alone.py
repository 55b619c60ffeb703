"""Answers about queues and Redis without a daemon: the command itself asks the applications and their Redis, once."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from queuepool.cli.context import Context
from queuepool.control.messages import Queues, Redis


def ask_alone(context: Context, request: Queues | Redis) -> dict[str, Any]:
    """What the daemon would reply, as far as it can be seen from outside. Raises ConfigError."""
    from queuepool.config.load import load
    from queuepool.controller.insight import Insight

    pools = load(context.config_path(), os.environ).pools

    async def look() -> dict[str, Any]:
        insight = Insight(lambda: pools)
        try:
            if isinstance(request, Redis):
                return await insight.redis()
            await insight.looked()
            return insight.queues(request.names)
        finally:
            await insight.close()

    return asyncio.run(look())
