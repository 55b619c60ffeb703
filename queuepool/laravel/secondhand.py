"""What an application is probably configured to do, where PHP cannot be asked: its .env read into the config/ that
Laravel itself comes with. An application whose config/ says otherwise is misjudged, so the answer tells that it is
second-hand, and everything that can wait should wait for probe.py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from queuepool.laravel import dotenv
from queuepool.laravel.answer import config_of
from queuepool.laravel.app import AppFacts, environment_file, inspect, redis_options, redis_prefix, slug, variables_of
from queuepool.laravel.config import DOTENV, AppConfig
from queuepool.laravel.redisconfig import version


def second_hand(root: str, environment: Mapping[str, str]) -> AppConfig:
    """The configuration of the application in `root` as its files let one guess. environment: of the workers; it wins
    over .env. Never raises: what cannot be read is among the errors, none of which holds a secret."""
    app = inspect(root, environment)
    base = Path(app.root)
    errors = list(app.problems)
    unread: list[str] = []  # told by inspect() too
    variables = variables_of(base, environment, unread, app.phpdotenv)
    file = environment_file(base, environment)
    facts = _facts(app, variables)
    caches = _caches(base, file)
    if caches:
        errors.append("the configuration is cached: what .env says is not in force, and only PHP can read the cache")
    facts |= {
        "base": app.release,
        "storage": variables.get("LARAVEL_STORAGE_PATH") or os.path.join(app.release, "storage"),
        "down": (base / "storage/framework/down").exists(),
        "environment_file": str(file),
        "environment_file_seen": os.access(file, os.R_OK) if file.exists() else None,
        "caches": caches,
        "errors": errors,
    }
    return replace(config_of(facts), source=DOTENV, blind=bool(unread))


def _facts(app: AppFacts, variables: Mapping[str, str]) -> dict[str, Any]:
    """In the form of probe.php's answer. Defaults are those of laravel/laravel; a variable that only newer ones know is
    taken for what it says, since nobody writes it down for nothing."""

    def env(name: str, default: str | None = None) -> str | None:
        found = dotenv.value(variables, name)
        return default if found is None else found

    slim = version(app.laravel or "") >= (11, 0)  # since then a new application keeps queue and cache in a database
    retry_after = "90"
    connections = {
        "sync": {"driver": "sync"},
        "database": {
            "driver": "database",
            "connection": env("DB_QUEUE_CONNECTION"),
            "table": env("DB_QUEUE_TABLE", "jobs"),
            "queue": env("DB_QUEUE", "default"),
            "retry_after": env("DB_QUEUE_RETRY_AFTER", retry_after),
        },
        "beanstalkd": {
            "driver": "beanstalkd",
            "host": env("BEANSTALKD_QUEUE_HOST", "localhost"),
            "queue": env("BEANSTALKD_QUEUE", "default"),
            "retry_after": env("BEANSTALKD_QUEUE_RETRY_AFTER", retry_after),
            "block_for": 0,
        },
        "sqs": {
            "driver": "sqs",
            "queue": env("SQS_QUEUE", "default"),
            "region": env("AWS_DEFAULT_REGION", "us-east-1"),
        },
        "redis": {
            "driver": "redis",
            "connection": env("REDIS_QUEUE_CONNECTION", "default"),
            "queue": env("REDIS_QUEUE", "default"),
            "retry_after": env("REDIS_QUEUE_RETRY_AFTER", retry_after),
        },
    }
    store = env("CACHE_STORE", env("CACHE_DRIVER", "database" if slim else "file"))
    stores: dict[str | None, dict[str, Any]] = {
        "redis": {"driver": "redis", "connection": env("REDIS_CACHE_CONNECTION", "cache")},
        "database": {"driver": "database", "connection": env("DB_CACHE_CONNECTION")},
        "file": {"driver": "file", "path": os.path.join(app.release, "storage/framework/cache/data")},
    }
    redis = {
        "client": env("REDIS_CLIENT", "phpredis"),
        "options": {"prefix": redis_prefix(variables, app.laravel), "cluster": env("REDIS_CLUSTER", "redis")},
        "connections": {
            "default": redis_options(variables, "REDIS_DB", "0"),
            "cache": redis_options(variables, "REDIS_CACHE_DB", "1"),
        },
        "clusters": {},
    }
    return {
        "laravel": app.laravel or "",
        "php": "",
        "extensions": [],
        "environment": env("APP_ENV", "production"),
        "debug": env("APP_DEBUG") == "true",
        "queue": {"default": env("QUEUE_CONNECTION", "database" if slim else "sync"), "connections": connections},
        "redis": redis,
        "cache": {"name": store, "prefix": _cache_prefix(app, variables), **stores.get(store, {"driver": store})},
        "failed": {
            "driver": env("QUEUE_FAILED_DRIVER", "database-uuids" if version(app.laravel or "8.0") >= (8, 0) else None)
            or "database",
            "database": env("DB_CONNECTION", "sqlite" if slim else "mysql"),
            "table": "failed_jobs",
        },
        "horizon": app.horizon is not None,
        "horizon_version": app.horizon,
        "horizon_config": {"prefix": env("HORIZON_PREFIX", slug(variables, None, "horizon").removesuffix("_") + ":")},
        "scheduled": None,
    }


def _cache_prefix(app: AppFacts, variables: Mapping[str, str]) -> str:
    given = dotenv.value(variables, "CACHE_PREFIX")
    if given is not None:
        return given
    prefix = slug(variables, app.laravel, "cache")
    # laravel/laravel 9.0.1 added the separator at the end.
    return prefix if version(app.laravel or "9.1") >= (9, 0) else prefix[:-1]


def _caches(base: Path, environment: Path) -> dict[str, Any]:
    """The cached configuration, in the form of probe.php's answer, where it has its usual place."""
    path = base / "bootstrap/cache/config.php"
    try:
        modified = path.stat().st_mtime
        sources = [environment, *sorted((base / "config").glob("*.php"))]
        newer = [os.path.relpath(file, base) for file in sources if file.exists() and file.stat().st_mtime > modified]
    except OSError:
        return {}
    return {"config": {"path": str(path), "modified": modified, "newer": newer[:10]}}
