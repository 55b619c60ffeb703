"""PURE: the entries of database.redis in config/database.php, made into targets. Laravel merges options differently for
phpredis and predis, for clusters and single servers, and from version to version: all of that is here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from queuepool.laravel.target import RedisTarget, php_int


def targets_of(redis: Mapping[str, Any], laravel: str) -> dict[str, RedisTarget]:
    """Every connection with its options merged as the connector of its client does."""
    shared = dict(items(redis["options"]))
    common = dict(items(redis.get("cluster_options")))
    own_prefix_wins = version(laravel) >= (9, 12)
    predis = redis["client"] == "predis"
    targets = {}
    for name, entry in items(redis["clusters"]):
        nodes = _nodes(entry)
        own = dict(items(entry.get("options"))) if isinstance(entry, Mapping) else {}
        targets[name] = _cluster(nodes, {**shared, **common, **own}, predis)
    # A connection wins over a cluster of the same name (RedisManager::resolve).
    for name, entry in items(redis["connections"]):
        options = dict(items(_named(entry)))
        own = dict(items(options.pop("options", None)))
        if own_prefix_wins and options.get("prefix") is not None:
            own["prefix"] = options["prefix"]
        if predis:
            given = shared.get("parameters")
            defaults = dict(items(given))
            defaults = dict(items(defaults.get(name))) if isinstance(defaults.get(name), Mapping) else defaults
            targets[name] = _predis(options, {**shared, "parameters": defaults, **own})
        else:
            targets[name] = _phpredis({**options, **shared, **own})
    return targets


def _phpredis(options: Mapping[str, Any]) -> RedisTarget:
    """Options of namoshek/laravel-redis-sentinel, which makes phpredis ask sentinels, are understood too."""
    target = RedisTarget.from_options(options)
    if not options.get("sentinel_service") and not options.get("sentinel_host"):
        return target
    host, port = str(options.get("sentinel_host") or "127.0.0.1"), php_int(options.get("sentinel_port"), 26379)
    return replace(
        target,
        host=host,
        port=port,
        path=None,
        nodes=((host, port),),
        sentinel=str(options.get("sentinel_service") or "mymaster"),
        sentinel_username=text_or_none(options.get("sentinel_username")),
        sentinel_password=text_or_none(options.get("sentinel_password")),
    )


def _predis(connection: Mapping[str, Any], options: Mapping[str, Any]) -> RedisTarget:
    """There the options are the client's and cannot say where the server is, but `parameters` may say how to get in."""
    parameters = dict(items(options.get("parameters")))
    prefix = {"prefix": options.get("prefix")}
    nodes = _nodes(connection)
    if not nodes:
        return RedisTarget.from_options({**parameters, **connection, **prefix})
    if options.get("replication") == "sentinel" or (options.get("service") and options.get("replication")):
        sentinels = _addresses(nodes, 26379)
        return replace(
            RedisTarget.from_options({**parameters, **prefix}),
            host=sentinels[0][0],
            port=sentinels[0][1],
            path=None,
            nodes=sentinels,
            sentinel=str(options.get("service") or "mymaster"),
            sentinel_username=text_or_none(nodes[0].get("username")),
            sentinel_password=text_or_none(nodes[0].get("password")),
        )
    if options.get("replication"):
        master = next((node for node in nodes if "master" in (node.get("role"), node.get("alias"))), nodes[0])
        return RedisTarget.from_options({**parameters, **master, **prefix})
    return _cluster(nodes, options, predis=True)


def _cluster(nodes: list[dict[str, Any]], options: Mapping[str, Any], predis: bool) -> RedisTarget:
    """phpredis takes the password and the TLS context of a cluster from the options alone, predis from each node."""
    first = nodes[0] if nodes else {}
    prefix = {"prefix": options.get("prefix")}
    if predis:
        merged = {**dict(items(options.get("parameters"))), **first, **prefix}
    else:
        where = {key: first.get(key) for key in ("host", "port", "scheme")}
        inside = {key: options[key] for key in ("username", "password", "context") if key in options}
        merged = {**where, **inside, **prefix}
    sharded = predis and options.get("cluster") != "redis"
    target = RedisTarget.from_options(merged, cluster=not sharded)
    return replace(target, db=target.db if sharded else 0, nodes=_addresses(nodes, 6379), sharded=sharded)


def _named(entry: Any) -> Any:
    """A list as PHP has it: an array whose names are numbers."""
    return {str(number): value for number, value in enumerate(entry)} if isinstance(entry, list) else entry


def _nodes(connection: Any) -> list[dict[str, Any]]:
    """The servers of a connection that lists several: entries without a name. A text is an address as predis has it."""
    entries = [entry for key, entry in items(_named(connection)) if key.isdecimal()]
    if not entries:  # clusters may give their nodes names
        entries = [entry for _, entry in items(connection) if isinstance(entry, Mapping) and "host" in entry]
    return [address_options(entry) if isinstance(entry, str) else dict(items(entry)) for entry in entries]


def _addresses(nodes: list[dict[str, Any]], port: int) -> tuple[tuple[str, int], ...]:
    targets = (RedisTarget.from_options({"port": port, **node}) for node in nodes)
    return tuple((target.host, target.port) for target in targets) or (("127.0.0.1", port),)


def address_options(url: str) -> dict[str, Any]:
    """What a URL of a Redis says (Illuminate/Support/ConfigurationUrlParser.php); nothing for what is no URL."""
    try:
        parts = urlsplit(url)
        found = {
            "scheme": {"redis": "tcp", "rediss": "tls"}.get(parts.scheme, parts.scheme),
            "host": parts.hostname,
            "port": parts.port,
            "username": parts.username and unquote(parts.username),
            "password": parts.password and unquote(parts.password),
            "database": parts.path.strip("/") or None,
        }
    except ValueError:
        return {}
    return {key: value for key, value in found.items() if value} if parts.scheme else {}


def version(text: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) where there are none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def text_or_none(value: object) -> str | None:
    """The text of a scalar; None for nothing, which in PHP is null, false and the empty text."""
    return str(value) if isinstance(value, (str, int, float)) and value not in (False, "") else None


def items(value: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a PHP array by name: an empty one arrives as a JSON list."""
    return iter(value.items() if isinstance(value, Mapping) else ())
