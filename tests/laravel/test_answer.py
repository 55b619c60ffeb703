"""What an AppConfig makes of the probe's answer: how Laravel's connectors and Horizon merge their options."""

import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, dictionaries, integers, lists, none, sampled_from

from queuepool.laravel.answer import config_of, php_bytes
from queuepool.laravel.target import RedisTarget

FACTS = {
    "laravel": "12.0.0", "php": "8.3.0", "extensions": [], "base": "/a", "storage": "/a/storage", "environment": "x",
    "queue": {"default": "redis", "connections": {"redis": {"driver": "redis", "connection": "q"}, "sync": []}},
    "horizon": True, "horizon_version": "v5.30", "config_cached": False, "down": False, "scheduled": None, "errors": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("laravel", "client", "shared", "entry", "host", "prefix"),
    [
        ("12.0.0", "phpredis", {"prefix": "all_"}, {"host": "h", "prefix": "own_"}, "h", "own_"),
        ("9.11.0", "phpredis", {"prefix": "all_"}, {"host": "h", "prefix": "own_"}, "h", "all_"),
        ("8.83.0", "phpredis", {"prefix": "all_"}, {"host": "h", "options": {"prefix": "opt_"}}, "h", "opt_"),
        ("8.83.0", "phpredis", {"prefix": "all_", "host": "g"}, {"host": "h"}, "g", "all_"),
        ("8.83.0", "predis", {"prefix": "all_", "host": "g"}, {"host": "h"}, "h", "all_"),
        ("8.83.0", "phpredis", [], {"host": "h", "options": []}, "h", ""),
    ],
)  # fmt: skip
def test_options_of_redis_are_merged_as_laravels_connectors_do(
    laravel: str, client: str, shared: object, entry: object, host: str, prefix: str
) -> None:
    redis = {"client": client, "options": shared, "connections": {"q": entry}, "clusters": []}
    config = config_of({**FACTS, "laravel": laravel, "redis": redis})
    target = config.redis_of()
    assert target is not None
    assert (target.host, target.prefix, target.cluster) == (host, prefix, False)


def test_a_cluster_is_known_as_one() -> None:
    redis = {"client": "phpredis", "options": [], "connections": [], "clusters": {"q": [{"host": "n1", "port": 7000}]}}
    target = config_of({**FACTS, "redis": redis}).redis_of("redis")
    assert target is not None
    assert (target.cluster, target.where) == (True, "n1:7000")


def redis_of(client: str, *, options: object = (), laravel: str = "12.0.0", **kinds: object) -> RedisTarget:
    redis = {"client": client, "options": options, "connections": [], "clusters": [], "cluster_options": [], **kinds}
    target = config_of({**FACTS, "laravel": laravel, "redis": redis}).redis_of("redis")
    assert target is not None
    return target


NODES = [{"host": "n1", "port": "7001", "password": "in-node"}, {"host": "tls://n2", "port": 7002}]


def test_a_cluster_of_phpredis_has_its_nodes_and_the_password_of_the_options() -> None:
    target = redis_of(
        "phpredis",
        options={"prefix": "p_", "cluster": "redis"},
        cluster_options={"password": "s3cret", "context": {"verify_peer": False}},
        clusters={"q": NODES},
    )
    assert (target.cluster, target.sharded, target.nodes) == (True, False, (("n1", 7001), ("n2", 7002)))
    assert (target.password, target.prefix, target.tls_verify) == ("s3cret", "p_", False)
    assert redis_of("phpredis", clusters={"q": NODES}).password is None
    named = redis_of("phpredis", clusters={"q": {"a": NODES[0], "b": NODES[1]}})
    assert named.nodes == target.nodes


def test_predis_spreads_keys_itself_unless_it_is_told_of_a_cluster() -> None:
    native = redis_of("predis", options={"cluster": "redis", "prefix": "p_"}, clusters={"q": NODES})
    assert (native.cluster, native.sharded, native.password, native.prefix) == (True, False, "in-node", "p_")
    own = redis_of("predis", clusters={"q": {"0": "tcp://n1:7001?database=3", "1": "tcp://n2:7002"}})
    assert (own.cluster, own.sharded, own.nodes) == (False, True, (("n1", 7001), ("n2", 7002)))


@pytest.mark.parametrize(
    ("options", "connection"),
    [
        ([], {"0": "tcp://s1", "1": "tcp://s2:26380", "options": {"replication": "sentinel", "service": "main",
              "parameters": {"password": "s3cret", "database": 5}}}),
        ({"replication": "sentinel", "service": "main", "parameters": {"password": "s3cret", "database": 5}},
         [{"host": "s1", "port": 26379}, {"host": "s2", "port": "26380"}]),
        ({"replication": "sentinel", "service": "main", "parameters": {"q": {"password": "s3cret", "database": 5},
          "other": {"database": 1}}}, [{"host": "s1", "port": 26379}, {"host": "s2", "port": "26380"}]),
    ],
)  # fmt: skip
def test_sentinels_of_predis_are_told_from_the_master(options: object, connection: object) -> None:
    target = redis_of("predis", options=options, connections={"q": connection})
    assert (target.sentinel, target.nodes) == ("main", (("s1", 26379), ("s2", 26380)))
    assert (target.password, target.db, target.sentinel_password) == ("s3cret", 5, None)
    assert target.where == "s1:26379"


def test_sentinels_with_a_password_of_their_own_and_those_of_the_package_for_phpredis() -> None:
    predis = redis_of(
        "predis",
        options={"replication": "sentinel", "parameters": {"password": "master"}},
        connections={"q": [{"host": "s1", "password": "sentinel"}]},
    )
    assert (predis.sentinel, predis.sentinel_password, predis.password) == ("mymaster", "sentinel", "master")
    phpredis = redis_of(
        "phpredis-sentinel",
        options={"prefix": "p_"},
        connections={"q": {"sentinel_host": "s1", "sentinel_port": "26380", "sentinel_service": "main",
                           "sentinel_password": "sentinel", "password": "master", "database": 2}},
    )  # fmt: skip
    assert (phpredis.sentinel, phpredis.nodes, phpredis.sentinel_password) == ("main", (("s1", 26380),), "sentinel")
    assert (phpredis.password, phpredis.db, phpredis.prefix) == ("master", 2, "p_")
    for target in (predis, phpredis):
        assert "password='" not in repr(target)


def test_replicas_of_predis_are_passed_over_for_the_master() -> None:
    nodes = [{"host": "r1", "role": "slave"}, {"host": "m1", "role": "master", "port": 6380}]
    target = redis_of("predis", options={"replication": True}, connections={"q": nodes})
    assert (target.where, target.sentinel, target.nodes) == ("m1:6380", None, ())


@pytest.mark.parametrize(
    ("client", "entry"),
    [
        ("phpredis", {"host": "tls://h", "context": {"stream": {"verify_peer": False, "cafile": "/ca.pem"}}}),
        ("phpredis", {"scheme": "tls", "host": "h", "context": {"ssl": {"verify_peer": False, "cafile": "/ca.pem"}}}),
        ("phpredis", {"scheme": "tls", "host": "h", "context": {"verify_peer": False, "cafile": "/ca.pem"}}),
        ("predis", {"scheme": "tls", "host": "h", "ssl": {"verify_peer": False, "cafile": "/ca.pem"}}),
        ("predis", {"scheme": "rediss", "host": "h", "ssl": {"verify_peer": 0, "cafile": "/ca.pem"}}),
    ],
)
def test_tls_is_understood_where_either_client_wants_it(client: str, entry: dict[str, object]) -> None:
    target = redis_of(client, connections={"q": entry})
    assert (target.host, target.tls, target.tls_verify, target.tls_ca) == ("h", True, False, "/ca.pem")
    plain = redis_of(client, connections={"q": {"scheme": "tls", "host": "h"}})
    assert (plain.tls, plain.tls_verify, plain.tls_ca) == (True, True, None)


def test_horizon_says_how_long_its_workers_may_take() -> None:
    horizon = {
        "use": "q", "prefix": "app_horizon:", "fast_termination": True, "memory_limit": "96",
        "defaults": {"one": {"connection": "redis", "queue": ["a", "b"], "timeout": 60, "balance": "auto",
                             "maxProcesses": 1, "tries": 1}},
        "environments": {
            "local": {"one": {"max_processes": 3}},
            "prod*": {"one": {"maxProcesses": 10, "timeout": 300, "queue": ["c"]},
                      "two": {"queue": "x,y", "sleep": 0.5}, "off": {"maxProcesses": 0, "timeout": 9000}},
        },
    }  # fmt: skip
    redis = {"client": "phpredis", "options": {"prefix": "p_"}, "connections": {"q": {"host": "h"}}, "clusters": []}
    facts = {**FACTS, "redis": redis, "horizon_config": horizon, "environment": "production"}
    config = config_of(facts).horizon_config
    assert config is not None
    assert config.redis is not None
    assert (config.version, config.redis.host, config.redis.prefix) == ("5.30", "h", "app_horizon:")
    assert (config.memory_limit, config.fast_termination) == (96, True)
    one, two = config.supervisors
    # array_replace_recursive replaces a list position by position, so "b" stays.
    assert (one.name, one.queues, one.max_processes, one.balance, one.tries) == ("one", ("c", "b"), 10, "auto", 1)
    assert (two.queues, two.sleep, two.timeout, two.max_processes) == (("x", "y"), 0.5, 60, 1)
    local = config_of({**facts, "horizon_config": {**horizon, "env": "local"}}).horizon_config
    assert local is not None
    assert [one.max_processes for one in local.supervisors] == [3]
    assert config_of({**facts, "horizon": False}).horizon_config is None


@pytest.mark.parametrize(
    ("entry", "driver"),
    [
        ({"driver": "database-uuids", "database": "mysql", "table": "failed_jobs"}, "database-uuids"),
        ({"driver": None, "table": "failed_jobs"}, "null"),
        ({"driver": "null"}, "null"),
        ({"database": "mysql", "table": "failed_jobs"}, "database"),
        ({}, "null"),
    ],
)
def test_where_failed_jobs_go_is_read_as_laravel_reads_it(entry: dict[str, object], driver: str) -> None:
    redis = {"client": "phpredis", "options": [], "connections": [], "clusters": []}
    failed = config_of({**FACTS, "redis": redis, "failed": entry}).failed
    assert failed is not None
    assert failed.driver == driver


@pytest.mark.parametrize(
    ("entry", "laravel", "key"),
    [
        ({"driver": "redis", "prefix": "c"}, "10.48.0", "c:illuminate:queue:restart"),
        ({"driver": "redis", "prefix": "c"}, "11.0.0", "cilluminate:queue:restart"),
        ({"driver": "redis", "prefix": ""}, "8.0.0", "illuminate:queue:restart"),
        ({"driver": "database", "prefix": "c"}, "8.0.0", "cilluminate:queue:restart"),
    ],
)
def test_the_separator_of_cache_keys_depends_on_the_version(entry: dict[str, object], laravel: str, key: str) -> None:
    redis = {"client": "phpredis", "options": [], "connections": [], "clusters": []}
    cache = config_of({**FACTS, "laravel": laravel, "redis": redis, "cache": {"name": "x", **entry}}).cache
    assert cache is not None
    assert cache.restart_key == key


@pytest.mark.parametrize(
    ("text", "size"), [("128M", 128 << 20), ("-1", None), ("1g", 1 << 30), ("64k", 65536), ("100", 100), ("", 0)]
)
def test_sizes_of_php_ini_are_bytes(text: str, size: int | None) -> None:
    assert php_bytes(text) == size


def test_drivers_tell_where_they_keep_their_jobs() -> None:
    connections = {
        "b": {"driver": "beanstalkd", "host": "q1", "queue": "default", "retry_after": "60", "block_for": 0},
        "s": {"driver": "sqs", "queue": "https://sqs/x", "region": "eu-west-1"},
        "d": {"driver": "database", "connection": None, "table": "jobs", "retry_after": None},
    }
    redis = {"client": "phpredis", "options": [], "connections": [], "clusters": []}
    found = config_of({**FACTS, "redis": redis, "queue": {"default": "b", "connections": connections}}).connections
    assert (found["b"].host, found["b"].retry_after, found["b"].block_for) == ("q1:11300", 60, 0)
    assert (found["s"].region, found["s"].queue) == ("eu-west-1", "https://sqs/x")
    assert (found["d"].table, found["d"].retry_after, found["d"].connection) == ("jobs", None, None)


NAMES = sampled_from([
    "0", "1", "host", "port", "path", "database", "password", "username", "prefix", "options", "context", "ssl",
    "stream", "parameters", "cluster", "replication", "service", "sentinel_host", "sentinel_port", "scheme", "role",
    "driver", "queue", "retry_after", "connection", "table", "timeout", "maxProcesses", "sleep", "q", "url",
])  # fmt: skip
SCALARS = none() | booleans() | integers() | sampled_from([1.5, float("inf"), "", "h", "tls://x:1", "[::1", "7x"])
ANYTHING = SCALARS | lists(SCALARS, max_size=2) | dictionaries(NAMES, SCALARS | lists(SCALARS, max_size=1), max_size=3)
ENTRIES = dictionaries(NAMES, ANYTHING, max_size=3)
PLANS = dictionaries(NAMES, ENTRIES, max_size=2)


@settings(max_examples=150)
@given(
    connections=PLANS | ENTRIES,
    clusters=PLANS | ENTRIES,
    options=ANYTHING | ENTRIES,
    client=sampled_from(["predis", "p"]),
)
def test_whatever_stands_in_the_config_of_redis_is_no_exception(
    connections: object, clusters: object, options: object, client: str
) -> None:
    redis = {"client": client, "options": options, "cluster_options": options}
    config_of({**FACTS, "redis": {**redis, "connections": connections, "clusters": clusters}}).redis_of()


@settings(max_examples=150)
@given(queues=PLANS | ENTRIES, defaults=PLANS | ANYTHING, plan=PLANS | ANYTHING, entry=ANYTHING | ENTRIES)
def test_whatever_stands_in_other_config_is_no_exception(
    queues: object, defaults: object, plan: object, entry: object
) -> None:
    config = config_of({
        **FACTS, "redis": {"client": "p", "options": [], "connections": [], "clusters": []}, "cache": entry,
        "failed": entry, "queue": {"default": "q", "connections": queues},
        "horizon_config": {"defaults": defaults, "environments": {"*": plan}},
    })  # fmt: skip
    assert config.horizon_config is not None
    assert isinstance(config.horizon_config.supervisors, tuple)
