"""What a Laravel application is configured to do, as values. probe.py asks the application for them, secondhand.py
guesses them from .env where PHP cannot run; answer.py reads the answer of probe.php."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.laravel.target import RedisTarget

APPLICATION = "application"
"""AppConfig.source: the booted application said so."""
DOTENV = ".env"
"""AppConfig.source: a guess from the files, with Laravel's own config/ in mind."""

RETRY_AFTER = 60
"""Seconds where a connection gives no retry_after (Illuminate/Queue/Connectors/*Connector.php)."""


@dataclass(frozen=True, slots=True)
class QueueConnection:
    """An entry of queue.connections. queue: the default queue; custom drivers may have none. retry_after, block_for:
    seconds, None where they are not given. connection: name of the Redis or database connection behind it. table: of
    the database driver. host: of beanstalkd, `name:port`. region: of SQS."""

    driver: str
    queue: str | None = None
    retry_after: int | None = None
    block_for: int | None = None
    connection: str | None = None
    table: str | None = None
    host: str | None = None
    region: str | None = None

    @property
    def expires(self) -> int:
        """Seconds after which a job that was taken and not done is there again."""
        return self.retry_after or RETRY_AFTER


@dataclass(frozen=True, slots=True)
class CacheStore:
    """The default cache store, through which `queue:restart` and `queue:pause` speak to workers.

    prefix: what stands before a key, its colon included; with the redis driver the prefix of the Redis connection
    stands before that. connection: of redis or database. path: of file.
    """

    name: str
    driver: str
    prefix: str = ""
    connection: str | None = None
    path: str | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes see what one writes; else queue:restart and queue:pause have no effect."""
        return self.driver not in ("array", "null", "apc", "session", "")

    @property
    def restart_key(self) -> str:
        """Key of the time of the last `queue:restart`."""
        return f"{self.prefix}illuminate:queue:restart"


@dataclass(frozen=True, slots=True)
class FailedStore:
    """Where failed jobs go. driver: database, database-uuids, dynamodb, file or null. connection, table: of the
    database. path: of the file."""

    driver: str
    connection: str | None = None
    table: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class HorizonSupervisor:
    """An entry of an environment of config/horizon.php, the defaults merged in. max_processes 0: it is off. timeout:
    seconds after which a job is killed."""

    name: str
    connection: str
    queues: tuple[str, ...]
    balance: str = "off"
    min_processes: int = 1
    max_processes: int = 1
    timeout: int = 60
    sleep: float = 3.0
    tries: int = 0
    memory: int = 128


@dataclass(frozen=True, slots=True)
class HorizonConfig:
    """config/horizon.php. version: of the package, None when it cannot be told. redis: where Horizon keeps what it
    knows, its own prefix included; None when `use` names no connection. environment: the one that is in force here.
    environments: supervisors by environment, whose name may be a pattern such as `prod*`. memory_limit: MB, of the
    master."""

    version: str | None
    use: str
    prefix: str
    redis: RedisTarget | None
    environment: str
    environments: Mapping[str, tuple[HorizonSupervisor, ...]]
    fast_termination: bool = False
    memory_limit: int = 64

    @property
    def supervisors(self) -> tuple[HorizonSupervisor, ...]:
        """Those that `artisan horizon` starts here: of the first environment whose name matches (ProvisioningPlan)."""
        for pattern, supervisors in self.environments.items():
            if _matches(pattern, self.environment):
                return tuple(one for one in supervisors if one.max_processes > 0)
        return ()


def _matches(pattern: str, name: str) -> bool:
    """Laravel's Str::is(): `*` stands for anything, all else for itself."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class WritePath:
    """A directory or file that Laravel writes to. writable: whether the user who asked may do so, or may make it where
    it does not exist."""

    path: str
    exists: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A cached configuration, list of routes or of events. modified: seconds since the epoch. newer: files that were
    changed after it was made, relative to the application, and so have no effect yet."""

    path: str
    modified: float
    newer: tuple[str, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether it is older than what it was made from."""
        return bool(self.newer)


@dataclass(frozen=True, slots=True)
class PhpRuntime:
    """The PHP that runs the workers. memory_limit: bytes, None for no limit. disabled: functions that
    disable_functions takes away. opcache_cli: opcache.enable_cli. file_cache: opcache.file_cache, "" for none."""

    version: str
    binary: str = ""
    sapi: str = "cli"
    ini: str = ""
    extensions: frozenset[str] = frozenset()
    memory_limit: int | None = None
    disabled: frozenset[str] = frozenset()
    opcache_cli: bool = False
    file_cache: str = ""


@dataclass(frozen=True, slots=True)
class AppConfig:
    """The configuration in force in an application.

    source: "application" when it was asked itself, ".env" when its files were read instead; then what is not in .env
    is Laravel's default, `php` is "" and `writes` is empty. laravel: version, "" when it is not known.
    connections: queue connections by name. redis: Redis connections by name, clusters too. redis_client: phpredis or
    predis; redis_client_ready: whether its class is there, None: not known. cache: the default store, None when there
    is no such entry. horizon: whether the application has it; horizon_config: None when it has not. writes: by name
    (storage, logs, log, cache, bootstrap/cache). caches: by name (config, routes, events), those that are there.
    environment_file: path of the .env; environment_file_seen: whether the user who asked can read it, None when there
    is none: then the application runs with its defaults and the real environment. down: maintenance mode. scheduled:
    number of scheduled tasks, None when not asked for. errors: what else went wrong while asking, in PHP's words.
    blind: not even .env could be read, so that addresses are Laravel's defaults, which nobody may have asked for.
    """

    laravel: str
    php: str
    extensions: frozenset[str]
    base_path: str
    storage_path: str
    environment: str
    default_connection: str | None
    connections: Mapping[str, QueueConnection]
    redis: Mapping[str, RedisTarget]
    redis_client: str
    horizon: bool
    source: str = APPLICATION
    runtime: PhpRuntime | None = None
    redis_client_ready: bool | None = None
    cache: CacheStore | None = None
    failed: FailedStore | None = None
    horizon_config: HorizonConfig | None = None
    writes: Mapping[str, WritePath] = field(default_factory=dict)
    caches: Mapping[str, CacheFile] = field(default_factory=dict)
    environment_file: str = ""
    environment_file_seen: bool | None = None
    debug: bool = False
    down: bool = False
    scheduled: int | None = None
    errors: tuple[str, ...] = ()
    blind: bool = False

    @property
    def config_cached(self) -> bool:
        """Whether `config:cache` is in force, so that neither .env nor config/ is read."""
        return "config" in self.caches

    @property
    def horizon_version(self) -> str | None:
        """Version of Horizon; None without it, or when it cannot be told."""
        return self.horizon_config.version if self.horizon_config else None

    def redis_of(self, connection: str | None = None) -> RedisTarget | None:
        """The Redis behind a queue connection (None: the default one); None when it is no Redis connection."""
        queue = self.connections.get(connection or self.default_connection or "")
        if queue is None or queue.driver != "redis":
            return None
        return self.redis.get(queue.connection or "default")

    def cache_redis(self) -> RedisTarget | None:
        """The Redis behind the cache store; None when it is no Redis."""
        if self.cache is None or self.cache.driver != "redis":
            return None
        return self.redis.get(self.cache.connection or "default")
