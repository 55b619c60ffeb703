"""Who makes the request that is being answered, for those that write down what was asked: the middleware of each socket
says it, and operations.py reads it. Finding out who it is, is web.py's matter for TCP, and the kernel's for the unix
socket."""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from queuepool.domain.access import Role, Visitor

visitor: ContextVar[Visitor | None] = ContextVar("visitor", default=None)
"""Copied into the task of an operation, which goes on when its request has ended. None: nobody, such as a signal."""


def facts() -> dict[str, str | int | float | bool | None]:
    """Who asked, as fields of an event; none where nobody did."""
    found = visitor.get()
    return {**found.facts} if found else {}


class FromUnixSocket:
    """The application of the unix socket, where every visitor is an operator: the socket's mode lets in nobody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = scope.setdefault("state", {})
        peer = state.get("peer")
        uid = getattr(peer, "uid", -1)
        state["visitor"] = Visitor(_name_of(uid), Role.OPERATOR, "socket")
        state["csrf"] = ""
        visitor.set(state["visitor"])
        await self._app(scope, receive, send)


@lru_cache(maxsize=100)
def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        return f"uid {uid}" if uid >= 0 else ""
