"""PURE: what probe.php prints, made into an AppConfig. The part about Redis is redisconfig.py's matter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queuepool.laravel.config import (
    AppConfig,
    CacheFile,
    CacheStore,
    FailedStore,
    HorizonConfig,
    HorizonSupervisor,
    PhpRuntime,
    QueueConnection,
    WritePath,
)
from queuepool.laravel.redisconfig import items, targets_of, text_or_none, version
from queuepool.laravel.target import RedisTarget, php_int

_BEANSTALKD_PORT = 11300


def config_of(facts: Mapping[str, Any]) -> AppConfig:
    """The AppConfig in probe.php's answer. What an answer lacks is left at its default; laravel, php, base, storage,
    queue and redis are always there."""
    queue, laravel = facts["queue"], str(facts["laravel"])
    redis = targets_of(facts["redis"], laravel)
    return AppConfig(
        laravel=laravel,
        php=str(facts["php"]),
        extensions=frozenset(facts["extensions"]),
        runtime=_runtime(facts),
        base_path=str(facts["base"]),
        storage_path=str(facts["storage"]),
        environment=str(facts["environment"]),
        default_connection=text_or_none(queue["default"]),
        connections={name: queue_connection(dict(items(entry))) for name, entry in items(queue["connections"])},
        redis=redis,
        redis_client=str(facts["redis"]["client"]),
        redis_client_ready=facts["redis"].get("ready"),
        cache=cache_store(dict(items(facts.get("cache"))), laravel),
        failed=_failed(dict(items(facts.get("failed")))),
        horizon=bool(facts["horizon"]),
        horizon_config=_horizon(facts, redis) if facts["horizon"] else None,
        writes={
            name: WritePath(entry["path"], entry["exists"], entry["writable"])
            for name, entry in items(facts.get("writes"))
        },
        caches={
            name: CacheFile(entry["path"], float(entry["modified"]), tuple(entry["newer"]))
            for name, entry in items(facts.get("caches"))
        },
        environment_file=str(facts.get("environment_file") or ""),
        environment_file_seen=facts.get("environment_file_seen"),
        debug=bool(facts.get("debug")),
        down=bool(facts["down"]),
        scheduled=facts["scheduled"],
        errors=tuple(str(error) for error in facts["errors"]),
    )


def _runtime(facts: Mapping[str, Any]) -> PhpRuntime | None:
    runtime = facts.get("runtime")
    if not isinstance(runtime, Mapping):
        return None
    return PhpRuntime(
        version=str(facts["php"]),
        binary=str(runtime["binary"]),
        sapi=str(runtime["sapi"]),
        ini=str(runtime["ini"] or ""),
        extensions=frozenset(facts["extensions"]),
        memory_limit=php_bytes(str(runtime["memory_limit"])),
        disabled=frozenset(filter(None, re.split(r"[,\s]+", str(runtime["disabled"] or "")))),
        opcache_cli=str(runtime["opcache_cli"] or "").lower() in ("1", "on", "yes", "true"),
        file_cache=str(runtime["file_cache"] or ""),
    )


def php_bytes(text: str) -> int | None:
    """Bytes in a size of php.ini such as `128M`; None for -1, which is no limit."""
    number = php_int(text, 0)
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(text.strip()[-1:].lower(), 1)
    return None if number < 0 else number * factor


def queue_connection(entry: Mapping[str, Any]) -> QueueConnection:
    """The connection in an entry of queue.connections."""

    def seconds(key: str) -> int | None:
        return None if entry.get(key) is None else php_int(entry[key], 0)

    driver = str(entry.get("driver") or "")
    host = text_or_none(entry.get("host"))
    if driver == "beanstalkd":
        host = f"{host or 'localhost'}:{php_int(entry.get('port'), _BEANSTALKD_PORT)}"
    return QueueConnection(
        driver=driver,
        queue=text_or_none(entry.get("queue")),
        retry_after=seconds("retry_after"),
        block_for=seconds("block_for"),
        connection=text_or_none(entry.get("connection")),
        table=text_or_none(entry.get("table")),
        host=host,
        region=text_or_none(entry.get("region")),
    )


def cache_store(entry: Mapping[str, Any], laravel: str) -> CacheStore | None:
    """The default cache store. entry: of cache.stores, with `name`, and `prefix` where it has none of its own."""
    if not entry.get("driver"):
        return None
    driver, prefix = str(entry["driver"]), str(entry.get("prefix") or "")
    # RedisStore, MemcachedStore and DynamoDbStore put a colon behind it until Laravel 11.
    if prefix and driver in ("redis", "memcached", "dynamodb") and (0, 0) < version(laravel) < (11, 0):
        prefix += ":"
    return CacheStore(
        name=str(entry.get("name") or ""),
        driver=driver,
        prefix=prefix,
        connection=text_or_none(entry.get("connection")) or ("default" if driver == "redis" else None),
        path=text_or_none(entry.get("path")),
    )


def _failed(entry: Mapping[str, Any]) -> FailedStore | None:
    # QueueServiceProvider: `null` and a missing driver with no table mean that failed jobs are dropped.
    table, driver = text_or_none(entry.get("table")), text_or_none(entry.get("driver"))
    if driver is None or driver == "null":
        driver = "database" if driver is None and table and "driver" not in entry else "null"
    return FailedStore(driver, text_or_none(entry.get("database")), table, text_or_none(entry.get("path")))


def _horizon(facts: Mapping[str, Any], redis: Mapping[str, RedisTarget]) -> HorizonConfig:
    entry = dict(items(facts.get("horizon_config")))
    use, prefix = str(entry.get("use") or "default"), str(entry.get("prefix") or "horizon:")
    target = redis.get(use)
    defaults = entry.get("defaults")
    return HorizonConfig(
        version=text_or_none((facts.get("horizon_version") or "").removeprefix("v")),
        use=use,
        prefix=prefix,
        # Horizon::use() makes a connection of its own, whose prefix takes the place of the application's.
        redis=redis.get("horizon") or (replace(target, prefix=prefix) if target else None),
        environment=str(entry.get("env") or facts["environment"]),
        environments={
            name: tuple(
                _supervisor(key, options) for key, options in items(_merged(dict(items(defaults)), dict(items(plan))))
            )
            for name, plan in items(entry.get("environments"))
        },
        fast_termination=bool(entry.get("fast_termination")),
        memory_limit=php_int(entry.get("memory_limit"), 64),
    )


def _merged(base: Any, over: Any) -> Any:
    """PHP's array_replace_recursive: also a list is replaced position by position."""
    if isinstance(base, Mapping) and over == []:
        return base
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in over.items()}}
    if isinstance(base, list) and isinstance(over, list):
        return [*over, *base[len(over) :]]
    return over


def _supervisor(name: str, options: Any) -> HorizonSupervisor:
    entry = {re.sub(r"_(\w)", lambda found: found[1].upper(), key): value for key, value in items(options)}
    queues = entry.get("queue")
    listed = queues if isinstance(queues, list) else str(queues or "default").split(",")
    return HorizonSupervisor(
        name=name,
        connection=str(entry.get("connection") or "redis"),
        queues=tuple(str(queue) for queue in listed),
        balance=str(entry.get("balance") or "off"),
        min_processes=php_int(entry.get("minProcesses"), 1),
        max_processes=php_int(entry.get("maxProcesses", entry.get("processes")), 1),
        timeout=php_int(entry.get("timeout"), 60),
        sleep=_seconds(entry.get("sleep", 3.0)),
        tries=php_int(entry.get("tries", entry.get("maxTries")), 0),
        memory=php_int(entry.get("memory"), 128),
    )


def _seconds(value: object) -> float:
    """A number that may have a fraction, as text too; what is no number is 0."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        return 0.0
