"""The real server on a real socket, in a thread, over operations and a snapshot that a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

from queuepool.control import messages
from queuepool.domain.names import ProcessName, select
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot

Progress = Callable[[dict[str, Any]], None]


def process(slot: int = 0, state: str = "RUNNING", program: str = "laravel-worker", **more: Any) -> ProcessView:
    codes = {"STOPPED": 0, "STARTING": 10, "RUNNING": 20, "BACKOFF": 30, "STOPPING": 40, "EXITED": 100, "FATAL": 200}
    alive = state in ("RUNNING", "STARTING", "STOPPING")
    values: dict[str, Any] = {"pid": 100 + slot, "uptime": 12.0, "started_at": 1000.0} if alive else {}
    return ProcessView(
        name=f"{program}:{slot}",
        display=f"{program}:{program}_{slot:02}",
        program=program,
        slot=slot,
        state=state,
        statecode=codes[state],
        **(values | more),
    )


def snapshot(
    *processes: ProcessView, programs: tuple[ProgramView, ...] | None = None, problems: tuple[str, ...] = ()
) -> Snapshot:
    if programs is None:
        names = dict.fromkeys(view.program for view in processes)
        programs = tuple(
            ProgramView(
                name=name,
                kind="worker",
                numprocs=sum(view.program == name for view in processes),
                wanted=sum(view.program == name and view.wanted for view in processes),
                running=sum(view.program == name and view.state == "RUNNING" for view in processes),
                reason="numprocs",
            )
            for name in names
        )
    daemon = DaemonView(
        pid=41, version="0.1.0", config="/srv/app/queuepool.yml", socket="/s", state="RUNNING", problems=problems
    )
    return Snapshot(daemon, programs, processes)


class FakeDaemon:
    """What the handlers work on, and what the test looks at afterwards."""

    def __init__(self) -> None:
        self.shown = snapshot(process(0), process(1))
        self.asked: list[Any] = []
        self.replies: dict[str, Any] = {}
        self.progress: list[dict[str, Any]] = []
        self.defects: list[BaseException] = []
        self.journal: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.go_on = threading.Event()
        self.finished = threading.Event()
        self.server: Any = None
        self.stopped = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.others: list[Any] = []
        """Further faces that are served."""
        self.face: Any = None

    def stop(self, grace: float) -> None:
        """Stop the server; once."""
        self.stopped = True
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self.server.stop(grace), self.loop).result(20)

    def snapshot(self, names: tuple[str, ...]) -> Snapshot:
        if not names:
            return self.shown
        displays = {ProcessName.parse(view.name): view.display for view in self.shown.processes}
        chosen = {str(name) for name in select(names, displays, {})}
        views = tuple(view for view in self.shown.processes if view.name in chosen)
        programs = tuple(item for item in self.shown.programs if any(view.program == item.name for view in views))
        return Snapshot(self.shown.daemon, programs, views)

    async def events(self, since: int, follow: bool) -> AsyncIterator[dict[str, Any]]:
        while True:
            for event in [event for event in self.journal if event["seq"] > since]:
                since = event["seq"]
                yield event
            if not follow:
                return
            self.news.clear()
            await self.news.wait()

    def happens(self, line: str) -> None:
        """Add an event; its sentence is `line` in capitals. Also from the test's thread."""
        event = {"seq": len(self.journal) + 1, "time": 1000.0, "event": "running", "process": "laravel-worker:0"}
        self.journal.append({**event, "fields": {}, "line": line, "sentence": line.upper()})
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.news.set)

    def operations(self) -> dict[str, tuple[type[Any], Callable[..., Awaitable[dict[str, Any]]]]]:
        types = [
            messages.Start, messages.Stop, messages.Restart, messages.Signal, messages.Pause, messages.Continue,
            messages.Scale, messages.Reread, messages.Update, messages.Queues, messages.Redis,
            messages.Await, messages.Shutdown, messages.Upgrade, messages.Reopen, messages.PlanDeploy, messages.Deploy,
            messages.DeployStatus, messages.DeployHistory, messages.FollowDeploy, messages.AbortDeploy, messages.Notify,
        ]  # fmt: skip
        return {type_.__name__.lower(): (type_, self._handler(type_.__name__.lower())) for type_ in types}

    def _handler(self, name: str) -> Callable[[Any, Any, Progress], Awaitable[dict[str, Any]]]:
        async def handle(operator: Any, request: Any, progress: Progress) -> dict[str, Any]:
            assert operator is self
            self.asked.append(request)
            for what in self.progress:
                progress(what)
            reply = self.replies.get(name, {})
            if isinstance(reply, BaseException):
                raise reply
            if reply == "wait":
                await asyncio.to_thread(self.go_on.wait, 20)
                self.finished.set()
                return {"request": asdict(request)}
            result: dict[str, Any] = reply
            return result

        return handle


@contextlib.contextmanager
def serving(path: str, daemon: FakeDaemon) -> Iterator[FakeDaemon]:
    """Serve `daemon` on a socket at `path` until the block ends."""
    ready = threading.Event()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(128)

    async def serve() -> None:
        from queuepool.control.api import build_app
        from queuepool.control.server import ControlServer

        app = build_app(
            daemon, daemon.operations(), daemon.snapshot, daemon.events, daemon.defects.append, daemon.others
        )
        daemon.server = ControlServer(app, listener, end_streams=app.state.end_streams)
        daemon.loop = asyncio.get_running_loop()
        daemon.news = asyncio.Event()
        daemon.loop.call_soon(ready.set)
        await daemon.server.serve()

    def run() -> None:
        asyncio.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield daemon
    finally:
        daemon.go_on.set()
        if not daemon.stopped:
            daemon.stop(1.0)
        thread.join(20)
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        assert not thread.is_alive()
