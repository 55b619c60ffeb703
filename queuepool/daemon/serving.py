"""What the daemon answers, and where: the control socket, and TCP where the file has `http:`. Which faces there are is
said here; what each does is queuepool.control's matter. Its code is loaded when the first workers have been started."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from queuepool.control.api import OtherFace
    from queuepool.control.operations import Operator
    from queuepool.control.server import ControlServer
    from queuepool.control.tcp import HttpListener, WebOf
    from queuepool.daemon.daemon import Daemon

LISTEN_SECONDS = 5.0
"""How long a start, or an update, waits for the TCP listener; a name that must be looked up may take longer."""


class Serving:
    """The servers of one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._code = SimpleNamespace()
        self._operator: Operator | None = None
        self._unix: ControlServer | None = None
        self._tcp: HttpListener | None = None
        self._following: asyncio.Task[None] | None = None

    async def begin(self, listener: socket.socket) -> None:
        """Answer on the control socket."""
        daemon = self._daemon
        self._code = code = await asyncio.to_thread(import_code)
        self._operator = code.operations.Operator(
            daemon.controller,
            daemon.insight,
            load=daemon.load,
            shutdown=daemon.shutdown,
            upgrade=daemon.upgrade,
            reopen=daemon.reopen,
            deploys=daemon.deploys,
            listen=self.listened,
            notices=daemon.telling.begun,
        )
        app = self._app(self._faces())
        unix = code.visiting.FromUnixSocket(app)
        self._unix = code.server.ControlServer(unix, listener, end_streams=app.state.end_streams)
        daemon.spawn(self._unix.serve())

    def follow(self) -> None:
        """Bring what `http:` says into being. Nothing of it is loaded for a file that has no such section."""
        if self._operator is not None and (self._tcp is not None or self._daemon.controller.loaded.http is not None):
            self._following = self._daemon.spawn(self._use_http())

    async def listened(self) -> str:
        """What is wrong with `http:`, once it has been followed, or soon; "" for nothing."""
        if self._following is not None:
            await asyncio.wait({self._following}, timeout=LISTEN_SECONDS)
        return self._daemon.problems.get("http", "")

    async def close(self) -> None:
        """Answer nobody any more; what is being answered has 2 s."""
        ends = [self._tcp.close()] if self._tcp else []
        if self._unix:
            ends.append(self._unix.stop(grace=2.0))
        await asyncio.gather(*ends)

    def _faces(self) -> list[OtherFace]:
        """What is served beside the JSON API, on the unix socket and, as objects of their own, on TCP."""
        daemon, code = self._daemon, self._code
        told = code.metrics.Sources(
            daemon.controller, daemon.insight, daemon.deploys, daemon.pump, daemon.tally, started_at=daemon.started_at
        )
        supervisor = code.xmlrpc.XmlRpc(self._operator, daemon.directory.log, daemon.defect)
        return [supervisor, code.metrics.Metrics(told, daemon.defect)]

    def _app(self, others: list[OtherFace]) -> Starlette:
        daemon, code = self._daemon, self._code
        asked = self._operator, code.operations.OPERATIONS, daemon.snapshot, daemon.journal.stream
        app: Starlette = code.api.build_app(*asked, daemon.defect, others)
        return app

    def _web_app(self, web_of: WebOf) -> Starlette:
        from queuepool.control.dashboard import Dashboard

        daemon = self._daemon
        assert self._operator is not None
        page = Dashboard(
            self._operator,
            lambda: daemon.snapshot((), usage=False),
            subscribe=(lambda hear: daemon.pump.subscribe(hear, prompt=False)) if daemon.local is not None else None,
            config=daemon.directory.config,
            birth=daemon.started_at,
            on_defect=daemon.defect,
        )
        others = [*self._faces(), page]
        app = self._app([*others, web_of(others)])
        gc.freeze()  # what there is now stays: else each full collection holds up the loop, 60 ms at 500 processes
        return app

    async def _use_http(self) -> None:
        daemon = self._daemon
        if self._tcp is None:
            tcp = await asyncio.to_thread(_import_tcp)
            self._tcp = self._tcp or tcp.HttpListener(
                self._web_app,
                daemon.journal.add,
                self._problem,
                daemon.defect,
                tcp.SessionStore(daemon.directory.state, daemon.complain, daemon.recovered),
            )
        await self._tcp.use(daemon.controller.loaded.http)

    def _problem(self, text: str) -> None:
        self._daemon.problems.pop("http", None)
        if text:
            self._daemon.problems["http"] = text


_CODE = (
    "h11", "starlette.datastructures", "starlette.applications", "uvicorn", "queuepool.control.server",
    "queuepool.control.messages", "queuepool.control.api", "queuepool.control.operations", "queuepool.control.xmlrpc",
    "queuepool.controller.applications", "queuepool.controller.insight", "queuepool.control.metrics",
    "queuepool.controller.deploys", "queuepool.controller.requeuer",
)  # fmt: skip
"""The most needed first, and in pieces that take 15 ms at most. Some are for later."""


def load_while(idle: Callable[[], bool]) -> None:
    """Load of the servers' code what there is time for."""
    for name in _CODE:
        if idle():
            import_module(name)


def import_code() -> SimpleNamespace:
    """The servers' code, and that of the parts that they ask."""
    load_while(lambda: True)
    from queuepool.control import api, metrics, operations, server, visiting, xmlrpc

    return SimpleNamespace(
        api=api, metrics=metrics, operations=operations, server=server, visiting=visiting, xmlrpc=xmlrpc
    )


def import_reader() -> None:
    """The code that reads the file, which is much: an update is not to load it first, nor from another version."""
    import queuepool.controller.versions  # noqa: F401 - loaded, for later


def _import_tcp() -> Any:
    import queuepool.control.dashboard  # noqa: F401 - loaded, for later
    from queuepool.control import tcp

    return tcp
