"""Queues, the Redis servers behind them, and Horizon. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.domain.queues import QueueView, RedisHealth


@dataclass(frozen=True, slots=True)
class QueuesFacts:
    """queues: those that programs serve. servers: every Redis that the applications use."""

    queues: tuple[QueueView, ...] = ()
    servers: tuple[RedisHealth, ...] = ()
