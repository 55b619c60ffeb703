"""The TCP listener: brings what `http:` of the file says into being, and follows its changes. A port that is taken, or
a certificate that is missing, is a problem that is shown, and tried again with the next update; nothing else waits for
it. What is served is web.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette

from queuepool.control.access import Access, Unusable, know
from queuepool.control.api import OtherFace
from queuepool.control.server import ControlServer
from queuepool.control.sessions import SessionStore
from queuepool.control.web import Guard, Web
from queuepool.domain.access import HttpSpec
from queuepool.domain.events import Kind
from queuepool.domain.throttle import Allowance, Ration

MAX_CONNECTIONS = 256
"""Connections at a time: a hundred open pages, and as many clients."""

WRITTEN_DOWN = Allowance(20, 5.0)
"""Refusals in the journal: what strangers do must not push out what happened."""

GRACE_SECONDS = 2.0

WebOf = Callable[[list[OtherFace]], OtherFace]
MakeApp = Callable[[WebOf], Starlette]
Note = Callable[[Kind, str, Mapping[str, Any]], object]


class HttpListener:
    """At most one listener. make_app(web_of): the application with all faces, and among them the one that `web_of`
    makes of them. note: the journal's `add`. problem: told what is wrong, "" when nothing is. on_defect: told of an
    exception that nobody foresaw. sessions: where they outlive the daemon; None: nowhere."""

    def __init__(
        self,
        make_app: MakeApp,
        note: Note,
        problem: Callable[[str], None],
        on_defect: Callable[[BaseException], None],
        sessions: SessionStore | None = None,
    ) -> None:
        self._sessions = sessions
        self._make_app = make_app
        self._note = note
        self._problem = problem
        self._on_defect = on_defect
        self._access = Access(store=sessions)
        self._took_up = False
        self._spec: HttpSpec | None = None
        self._stamp: object = None
        self._context: ssl.SSLContext | None = None
        self._server: ControlServer | None = None
        self._sockets: list[socket.socket] = []
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._closed = False
        self._ration = Ration()

    async def use(self, spec: HttpSpec | None) -> None:
        """Bring this into being, if it is not. What cannot be leaves what was."""
        async with self._turn:
            if self._closed:
                return
            try:
                await self._use(spec)
            except (Unusable, OSError) as error:
                assert spec is not None
                kept = f"; it goes on at {url(self._spec)} as before" if self._spec else ""
                text = f"cannot listen on {spec.listen}: {_reason(error)}{kept}"
                self._problem(text)
                self._note(Kind.CONFIG_REFUSED, "", {"reason": text})
            else:
                self._problem("")

    async def close(self) -> None:
        """End it."""
        async with self._turn:
            self._closed = True
            self._end()
            self._spec = None
            if self._ending:
                await asyncio.wait(self._ending)
            if self._took_up:
                self._access.save()

    async def _use(self, spec: HttpSpec | None) -> None:
        if spec is None:
            self._end()
            self._spec = None
            return
        stamp = await asyncio.to_thread(_stamp, spec)
        if spec == self._spec and stamp == self._stamp and self._server is not None:
            return
        if not self._took_up:
            if self._sessions is not None:
                self._access.take_up(await asyncio.to_thread(self._sessions.load))
            self._took_up = True
        known = await asyncio.to_thread(know, spec, self._access.known)
        context = await asyncio.to_thread(_tls, spec) if spec.tls_cert else None
        if self._spec is None or _place(self._spec) != _place(spec):
            sockets = self._sockets
            if self._spec is None or self._spec.listen != spec.listen:
                if self._spec is not None and self._spec.address[1] == spec.address[1]:
                    self._end()  # of two addresses with the same port, one may be part of the other
                    self._spec = None
                sockets = await asyncio.to_thread(bind, *spec.address)
            self._end(sockets)
            self._serve(spec)
        self._access.use(spec, known)
        self._context = context
        self._spec, self._stamp = spec, stamp

    def _serve(self, spec: HttpSpec) -> None:
        app = self._make_app(lambda faces: Web(spec, self._access, faces, self._accepted, self._refused))
        self._server = ControlServer(
            Guard(app, spec, self._access, self._refused, self._on_defect),
            *self._sockets,
            end_streams=app.state.end_streams,
            connections=MAX_CONNECTIONS,
            tls=self._tls if spec.tls_cert else None,
        )
        self._task = asyncio.get_running_loop().create_task(self._server.serve(), name="http")
        self._note(Kind.LISTENING, "", {"address": url(spec)})

    def _tls(self) -> ssl.SSLContext:
        assert self._context is not None
        return self._context

    def _end(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Serve no more, and go on with these sockets, which may be the same. Answers in progress are not waited for:
        one of them may be that of the update which this follows."""
        server, self._server = self._server, None
        for sock in self._sockets:
            if sock not in sockets:
                sock.close()
        self._sockets = list(sockets)
        if server is not None:
            server.close_doors()
            task = asyncio.get_running_loop().create_task(server.stop(GRACE_SECONDS), name="http ends")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _accepted(self, facts: Mapping[str, Any]) -> None:
        self._note(Kind.OPERATION, "", facts)

    def _refused(self, facts: Mapping[str, Any]) -> None:
        dropped = self._ration.dropped
        self._ration, written = self._ration.take(time.monotonic(), WRITTEN_DOWN)
        if written:
            self._note(
                Kind.REFUSED,
                "",
                {**{name: _plain(value) for name, value in facts.items()}, "unwritten": dropped or None},
            )


def _place(spec: HttpSpec) -> tuple[object, ...]:
    """What cannot be changed below a server that runs."""
    return spec.listen, bool(spec.tls_cert), spec.root_path, spec.allowed_hosts, spec.proxies


def url(spec: HttpSpec) -> str:
    """Where it is found."""
    return f"{'https' if spec.tls_cert else 'http'}://{spec.listen}{spec.root_path}/"


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    failed: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here
            failed = error
            continue
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # and so have the connections (Linux, macOS)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            sock.bind(address)
            sock.listen(128)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            failed = error
        else:
            sockets.append(sock)
    if not sockets:
        raise failed or OSError(f"{host} has no address")
    return sockets


def _stamp(spec: HttpSpec) -> object:
    """Changes when a file that the section names does."""
    paths = [a.secret.text for a in (*spec.users, *spec.tokens) if a.secret.kind == "file"]
    stamps = []
    for path in filter(None, [*paths, spec.tls_cert, spec.tls_key]):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            stamps.append((path, found.st_mtime_ns, found.st_ino, found.st_size))
    return stamps


def _tls(spec: HttpSpec) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in dict.fromkeys((spec.tls_cert, spec.tls_key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Unusable(f"cannot read {path}: {error.strerror}") from None
    try:
        context.load_cert_chain(spec.tls_cert, spec.tls_key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        what = getattr(error, "reason", None) or str(error)
        raise Unusable(f"cannot use {spec.tls_cert} with {spec.tls_key}: {what}") from None
    return context


def _plain(value: object) -> object:
    """What a stranger sent, without what would act on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in value) if isinstance(value, str) else value


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
