"""Who may do what over `http:`: roles, visitors, and what each request needs. Whether a visitor is who he says is
control/access.py's matter; where a request may come from is origins.py's, how often one may try throttle.py's."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What a visitor may do. A viewer sees everything that is no secret; an operator also acts."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who made a request: `request.state.visitor`. by: how that is known: `session`, `basic`, `token`, `socket` (the
    unix socket, whose file permissions say who may ask) or `open` (nobody has to say who he is). address: where the
    request came from; "" for the unix socket."""

    name: str
    role: Role
    by: Literal["session", "basic", "token", "socket", "open"]
    address: str = ""

    def may(self, needed: Role) -> bool:
        """Whether the visitor has this role, or one above it."""
        return self.role is Role.OPERATOR or needed is Role.VIEWER

    @property
    def share(self) -> str:
        """Under which name he has his share of what is limited (control/shares.py)."""
        return self.name or self.address

    @property
    def facts(self) -> dict[str, str | None]:
        """Who it was, for an event of the journal."""
        return {"who": self.name or None, "from": self.address or None, "by": self.by}


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or token as the file gives it: itself, its hash, or the absolute path of a file that holds either."""

    kind: Literal["plain", "hash", "file"]
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody, or a program, that may come in."""

    name: str
    role: Role
    secret: Secret


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """The section `http:`, resolved. listen: `host:port`. users log in or send Basic credentials, tokens are sent as
    `Authorization: Bearer`. tls_cert, tls_key: absolute paths, "" for none. root_path: "" or `/queuepool`: where a
    proxy shows it. allowed_hosts: names by which it is called, beside addresses and the machine's own name.
    proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    listen: str
    users: tuple[Account, ...] = ()
    tokens: tuple[Account, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    root_path: str = ""
    allowed_hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether everybody who reaches it may look."""
        return not (self.users or self.tokens)

    @property
    def address(self) -> tuple[str, int]:
        """Host, without the brackets of IPv6, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


API = "/api/v1/"
ONLY_READS = frozenset(
    {"queues", "redis", "reread", "plandeploy", "deploystatus", "deployhistory", "followdeploy", "await"}
)
"""Operations of control/messages.py that change nothing, though they are POSTed."""

_PUBLIC = {
    "/login": ("GET", "HEAD", "POST"),
    "/favicon.ico": ("GET", "HEAD"),
    "/healthz": ("GET", "HEAD"),
    f"{API}openapi.json": ("GET", "HEAD"),
}


def is_public(method: str, path: str) -> bool:
    """Whether a request may be answered before it is known who asks. path: below the root path, decoded."""
    if path.startswith("/assets/") and ".." not in path:
        return method in ("GET", "HEAD")
    return method in _PUBLIC.get(path, ())


def needed(method: str, path: str) -> Role:
    """The role that a request needs: to look it is that of a viewer, and for a POST that of an operator unless it is
    known to change nothing. What a call of /RPC2 needs is known when it has been read (control/xmlrpc_table.py)."""
    if method in ("GET", "HEAD"):
        return Role.VIEWER
    reads = path.startswith(API) and path.removeprefix(API) in ONLY_READS
    return Role.VIEWER if reads or path in ("/RPC2", "/RPC2/", "/logout") else Role.OPERATOR
