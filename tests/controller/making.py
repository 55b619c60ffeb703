"""Pools and configurations for tests of what is known of applications."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queuepool.config.load import load
from queuepool.controller.applications import Application, Applications
from queuepool.domain.pool import PoolSpec
from queuepool.laravel.config import AppConfig, CacheStore, QueueConnection
from queuepool.laravel.target import RedisTarget

REDIS = RedisTarget(port=6390, prefix="demo_")
CACHE = RedisTarget(port=6391)


def pools(tmp_path: Path, text: str) -> dict[str, PoolSpec]:
    """The pools of a queuepool.yml in a directory that has an artisan."""
    (tmp_path / "artisan").touch()
    (tmp_path / "queuepool.yml").write_text(text)
    return load(str(tmp_path / "queuepool.yml"), {}).pools


def config(**more: Any) -> AppConfig:
    """An application with a redis, a database and a sync connection; redis is the default."""
    values: dict[str, Any] = {
        "laravel": "8.83.26",
        "php": "8.2",
        "extensions": frozenset(),
        "base_path": "/srv/app",
        "storage_path": "/srv/app/storage",
        "environment": "production",
        "default_connection": "redis",
        "connections": {
            "redis": QueueConnection("redis", "default", 90, None, "default"),
            "database": QueueConnection("database", "default", 60, None, None),
            "sync": QueueConnection("sync"),
        },
        "redis": {"default": REDIS, "cache": CACHE},
        "redis_client": "phpredis",
        "horizon": False,
        "cache": CacheStore("redis", "redis", "cache:", "cache"),
    }
    return AppConfig(**(values | more))


def applications(answer: AppConfig) -> Applications:
    """Every application answers with `answer`."""

    async def ask(_: Application) -> AppConfig:
        return answer

    return Applications(ask, lambda: 0.0)
