"""Supervisor's face of the operations, over HTTP: POST /RPC2, GET /logtail/NAME[/CHANNEL] and GET /mainlogtail, for
supervisorctl and other clients of Supervisor. What a call does stands in the xmlrpc_*.py beside; they are loaded by the
first request, for most daemons never get one. Who may ask is the matter of whoever mounts these routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from queuepool.control.api import body_of
from queuepool.errors import UsageError

if TYPE_CHECKING:
    from queuepool.control.operations import Operator
    from queuepool.control.server import Peer
    from queuepool.control.xmlrpc_face import Face

MAX_CALLS = 256
"""Calls in progress, also those whose clients have gone."""

MAX_TAILS = 32
"""Logs followed at a time; each costs a descriptor and a look ten times a second."""

_SMALL = 64 * 1024


class XmlRpc:
    """The routes, to be mounted into an application. operator, main_log, on_defect: see Face."""

    def __init__(self, operator: Operator, main_log: str, on_defect: Callable[[BaseException], None]) -> None:
        self._given = (operator, main_log, on_defect)
        self._on_defect = on_defect
        self._made: Face | None = None
        self._calls = self._tails = 0
        self._ended = asyncio.Event()
        self.routes = [
            Route("/RPC2", self.call, methods=["POST"]),
            Route("/RPC2/", self.call, methods=["POST"]),
            Route("/logtail/{name:path}", self.logtail, methods=["GET"]),
            Route("/mainlogtail", self.mainlogtail, methods=["GET"]),
        ]

    def end_streams(self) -> None:
        """End the logs that are followed: the daemon is about to stop serving."""
        self._ended.set()

    async def _face(self) -> Face:
        if self._made is None:
            make = await asyncio.to_thread(_import_face)
            self._made = self._made or make(*self._given)
        return self._made

    async def call(self, request: Request) -> Response:
        """One call: 400 for a body that is none, as Supervisor says; a value or a fault for all else."""
        try:
            body = await body_of(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except UsageError as error:
            return PlainTextResponse(f"{error.message}\n", 413)
        if self._calls >= MAX_CALLS:
            return PlainTextResponse("too many calls are in progress\n", 503)
        face = await self._face()
        from queuepool.control import xmlrpc_wire as wire

        try:
            method, params = wire.read(body)
        except wire.Unreadable:
            return PlainTextResponse("not an XML-RPC call\n", 400)
        self._calls += 1
        try:
            answer = await self._answer(face, getattr(request.state, "peer", None), method, params)
        finally:
            self._calls -= 1
        return Response(answer, media_type="text/xml")

    async def _answer(self, face: Face, peer: Peer | None, method: str, params: tuple[Any, ...]) -> bytes:
        from queuepool.control import xmlrpc_wire as wire
        from queuepool.control.xmlrpc_faults import Code, RpcFault

        try:
            value = await _visit(face, peer, method, params)
            size = wire.weight(value)
            if size > wire.TOO_LARGE:
                raise RpcFault(Code.FAILED, "the answer is too large")
            return wire.answer(value) if size < _SMALL else await asyncio.to_thread(wire.answer, value)
        except RpcFault as fault:
            return wire.fault(fault.code, fault.text)
        except Exception as error:  # noqa: BLE001 - reported to the daemon; the client learns that it happened
            self._on_defect(error)
            return wire.fault(Code.FAILED, f"FAILED: the daemon has a defect: {type(error).__name__}")

    async def logtail(self, request: Request) -> Response:
        """The end of a process's log and what comes."""
        face = await self._face()
        from queuepool.control.xmlrpc_faults import RpcFault
        from queuepool.control.xmlrpc_logs import policy_of

        name, _, channel = request.path_params["name"].partition("/")
        try:
            member = face.roster().process(name)
        except RpcFault:
            return _nothing()
        policy = policy_of(face, member, channel or "stdout") if channel in ("", "stdout", "stderr") else None
        return self._follow(policy)

    async def mainlogtail(self, request: Request) -> Response:
        """The end of the daemon's log and what comes."""
        face = await self._face()
        from queuepool.domain.pool import LogPolicy

        return self._follow(LogPolicy(face.main_log))

    def _follow(self, policy: Any) -> Response:
        from queuepool.control.xmlrpc_logs import Tail

        if self._tails >= MAX_TAILS:
            return PlainTextResponse("too many logs are followed\n", 503)
        try:
            tail = Tail(policy) if policy is not None else None
        except OSError:
            tail = None
        if tail is None:
            return _nothing()
        headers = {"X-Accel-Buffering": "no"}  # let no proxy hold it back
        return StreamingResponse(self._pieces(tail), media_type="text/plain; charset=utf-8", headers=headers)

    async def _pieces(self, tail: Any) -> Any:
        self._tails += 1
        try:
            async for piece in tail.pieces(self._ended):
                yield piece
        finally:
            self._tails -= 1


async def _visit(face: Face, peer: Peer | None, method: str, params: tuple[Any, ...]) -> Any:
    """Make a call in the course of what its connection, and its process, have asked before."""
    from queuepool.control.xmlrpc_groups import settle
    from queuepool.control.xmlrpc_intents import Update
    from queuepool.control.xmlrpc_table import Caller

    if peer is None:
        return await face.call(Caller(), method, params)
    caller = Caller(peer.pid, fresh=not peer.patient, update=peer.memory or Update())
    peer.patient = True

    async def overdue() -> None:
        update, peer.memory = peer.memory, None
        if update is not None:
            await settle(face, update)

    face.calm(peer)
    try:
        return await face.call(caller, method, params)
    finally:
        peer.memory = caller.update
        if caller.update is not None and caller.update.parts:
            face.alarm(peer, overdue)


def _import_face() -> Any:
    from queuepool.control import xmlrpc_acting, xmlrpc_groups, xmlrpc_info, xmlrpc_logs  # noqa: F401 - fill the table
    from queuepool.control.xmlrpc_face import Face

    return Face


def _nothing() -> Response:
    return PlainTextResponse("there is no such log\n", 404)
