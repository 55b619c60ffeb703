"""Where a Redis is and how to get in, as Laravel's configuration means it. Nothing connects here: see ping.py."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One Redis connection of an application.

    path: unix socket, used instead of host and port. prefix: what the client puts before every key. password: never
    shown. cluster: host and port are one node of a Redis Cluster. nodes: all nodes of the cluster, or the sentinels.
    sentinel: name of the master that the sentinels are asked for, in place of host and port, which are the first of
    them; sentinel_username, sentinel_password: for the sentinels themselves. sharded: nodes are single servers over
    which predis spreads the keys itself. tls_verify, tls_ca: whether the certificate is checked, and the file of the
    authority; tls_cert, tls_key: files of our own certificate.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    prefix: str = ""
    tls: bool = False
    cluster: bool = False
    nodes: tuple[tuple[str, int], ...] = ()
    sentinel: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sharded: bool = False
    tls_verify: bool = True
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    @property
    def where(self) -> str:
        """`127.0.0.1:6379` or the path of the socket; holds no secret."""
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, cluster: bool = False) -> RedisTarget:
        """The target in the merged options of a connection of config/database.php, read as PhpRedisConnector does.

        A scheme may stand alone or before the host (`tls://...`); a host that begins with `/` is a unix socket; numbers
        may be text; a password may be phpredis' list of user and password.
        """
        scheme, _, bare = str(options.get("host") or "127.0.0.1").rpartition("://")
        scheme = (scheme or str(options.get("scheme") or "")).lower()
        path = bare if bare.startswith("/") else None
        if scheme == "unix":
            path = str(options.get("path") or bare)
        stream = _stream_options(options)
        username, password = options.get("username"), options.get("password")
        if isinstance(password, list):
            *names, password = password or [None]
            username = names[0] if names else username
        return cls(
            host=bare.strip("[]") or "127.0.0.1",
            port=php_int(options.get("port"), 6379),
            path=path,
            db=php_int(options.get("database"), 0),
            username=_text(username) if password else None,
            password=_text(password),
            prefix=_text(options.get("prefix")) or "",
            tls=scheme in ("tls", "ssl", "rediss"),
            cluster=cluster,
            tls_verify=stream.get("verify_peer") not in (False, 0, "0", ""),
            tls_ca=_text(stream.get("cafile")),
            tls_cert=_text(stream.get("local_cert")),
            tls_key=_text(stream.get("local_pk")),
        )


def _stream_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """PHP's SSL context options, where phpredis (`context`, perhaps one level deeper) and predis (`ssl`) have them."""
    for found in (options.get("context"), options.get("ssl")):
        if isinstance(found, Mapping):
            inner = found.get("stream", found.get("ssl"))
            return inner if isinstance(inner, Mapping) else found
    return {}


def php_int(value: object, default: int) -> int:
    """A number as PHP's (int) makes it: the digits in front count, other text is 0; `default` for nothing at all."""
    if value is None or value == "":
        return default
    if isinstance(value, (int, float)):
        return int(value) if math.isfinite(value) else 0
    digits = re.match(r"\s*([+-]?\d+)", str(value))
    return int(digits[1]) if digits else 0


def _text(value: object) -> str | None:
    return None if value is None or value is False or value == "" else str(value)
