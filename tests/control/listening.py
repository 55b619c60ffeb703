"""The real TCP listener beside the real unix socket, in one loop, over operations that a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from queuepool.control.client import Client
from queuepool.domain.access import Account, HttpSpec, Role, Secret
from tests.support.ports import free_port

from .fake import FakeDaemon

TOKEN = "0123456789abcdef" * 3
USERS = (
    Account("ann", Role.OPERATOR, Secret("plain", "right")),
    Account("bob", Role.VIEWER, Secret("plain", "looks")),
)
TOKENS = (
    Account("ci", Role.OPERATOR, Secret("plain", TOKEN)),
    Account("eye", Role.VIEWER, Secret("plain", TOKEN + "x")),
)
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
VIEWER = {"Authorization": f"Bearer {TOKEN}x"}


def spec(port: int, **more: Any) -> HttpSpec:
    """Ann may act and Bob may look; so may the tokens OPERATOR and VIEWER."""
    values: dict[str, Any] = {"listen": f"127.0.0.1:{port}", "users": USERS, "tokens": TOKENS}
    return HttpSpec(**(values | more))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        error = self.json["error"]
        return f"{error['message']} | {error['hint']}"


@dataclass
class Served:
    """What is served, and what came of it. facts: events of the journal; problem: the last that was told."""

    fake: FakeDaemon
    port: int
    socket_path: str
    facts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    problem: str = ""
    loop: asyncio.AbstractEventLoop | None = None
    listener: Any = None

    def use(self, spec: HttpSpec | None) -> None:
        """Have the listener follow a changed file."""
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self.listener.use(spec), self.loop).result(30)

    def request(
        self, method: str, path: str, body: bytes | None = None, *, tls: ssl.SSLContext | None = None, **headers: str
    ) -> Answer:
        """One request; the names of headers with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection: http.client.HTTPConnection
        if tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        else:
            connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=tls)
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def raw(self, data: bytes, enough: bytes | None = None) -> bytes:
        """What comes for these bytes, until the server closes, we have waited enough, or `enough` is in it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            received = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
                while piece := connection.recv(65536):
                    received += piece
                    if enough is not None and enough in received:
                        break
            return received

    def log_in(self, name: str = "ann", password: str = "right") -> tuple[str, str]:
        """Cookie and csrf token of a new session."""
        body = f"username={name}&password={password}".encode()
        answer = self.request("POST", "/login", body, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 303, answer
        cookie = answer.headers["set-cookie"].partition(";")[0]
        told = self.request("GET", "/whoami", Cookie=cookie)
        return cookie, told.json["csrf"]

    @property
    def unix(self) -> Client:
        return Client(self.socket_path)


class WhoAmI:
    """A face that tells what the guard says of the visitor."""

    def __init__(self) -> None:
        from starlette.requests import Request
        from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
        from starlette.routing import Route

        async def who(request: Request) -> Response:
            visitor = request.state.visitor
            said = {"csrf": request.state.csrf, "scheme": request.url.scheme, "root": request.scope["root_path"]}
            if visitor is not None:
                said |= {"name": visitor.name, "role": visitor.role, "by": visitor.by, "address": visitor.address}
            return JSONResponse(said)

        async def live(request: Request) -> Response:
            async def lines() -> Any:
                yield b"begin\n"
                await self.ended.wait()

            return StreamingResponse(lines())

        async def act(request: Request) -> Response:
            self.acted.append((await request.body()).decode())
            return PlainTextResponse("done")

        self.acted: list[str] = []
        self.ended = asyncio.Event()
        self.routes = [
            Route("/whoami", who, methods=["GET"]),
            Route("/live", live, methods=["GET"]),
            Route("/act", act, methods=["POST"]),
            Route("/assets/{name:path}", who, methods=["GET"]),
        ]

    def end_streams(self) -> None:
        self.ended.set()


@contextlib.contextmanager
def listening(first: HttpSpec | None = None) -> Iterator[Served]:
    """Serve a FakeDaemon by TCP and by unix socket until the block ends."""
    from queuepool.control import passwords
    from queuepool.control.api import build_app
    from queuepool.control.server import ControlServer
    from queuepool.control.tcp import HttpListener
    from queuepool.control.visiting import FromUnixSocket

    cost, passwords.COST = passwords.COST, (2, 1, 1)
    port = int(first.listen.rpartition(":")[2]) if first is not None else free_port()
    directory = tempfile.mkdtemp(prefix="qp", dir="/tmp")
    served = Served(FakeDaemon(), port, f"{directory}/s")
    fake, ready, done = served.fake, threading.Event(), threading.Event()
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(served.socket_path)
    unix.listen(128)

    def build(others: list[Any]) -> Any:
        return build_app(fake, fake.operations(), fake.snapshot, fake.events, fake.defects.append, others)

    def problem(text: str) -> None:
        served.problem = text

    async def serve() -> None:
        served.loop = asyncio.get_running_loop()
        fake.news = asyncio.Event()
        app = build([])
        server = ControlServer(FromUnixSocket(app), unix, end_streams=app.state.end_streams)
        task = asyncio.create_task(server.serve())
        served.listener = HttpListener(
            lambda web_of: build([*(faces := [fake.face]), web_of(faces)]),
            lambda kind, subject, facts: served.facts.append((kind.value, dict(facts))),
            problem,
            fake.defects.append,
        )
        fake.face = WhoAmI()
        await served.listener.use(first or spec(port))
        ready.set()
        await asyncio.to_thread(done.wait)
        await served.listener.close()
        await server.stop(1.0)
        await task

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield served
    finally:
        fake.go_on.set()
        done.set()
        thread.join(30)
        unix.close()
        os.unlink(served.socket_path)
        os.rmdir(directory)
        passwords.COST = cost
        assert not thread.is_alive()
