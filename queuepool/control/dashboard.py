"""The web page, as one of the faces of the operations: the page itself, its files, what it is told while it is open,
and what it asks for. Who may see it, and the headers of every answer, is web.py's matter; what it does to processes, it
does through the JSON face, as any other client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from queuepool import __version__
from queuepool.control.client import error_to
from queuepool.control.dashboard_assets import answer, template
from queuepool.control.dashboard_hub import Hub, as_bytes
from queuepool.control.feed import State, deploy_row, state_of
from queuepool.control.shares import Shares
from queuepool.domain.access import Visitor
from queuepool.domain.names import UnknownName
from queuepool.domain.observed import Snapshot
from queuepool.errors import QueuepoolError, UsageError
from queuepool.system import procstat

if TYPE_CHECKING:
    from queuepool.control.dashboard_doctor import Examination
    from queuepool.control.dashboard_log import Subscribe
    from queuepool.control.operations import Operator
    from queuepool.control.server import Peer

MOST_PAGES, MOST_PAGES_EACH = 110, 100
"""Open at a time, of all visitors and of one."""

MOST_LOGS, MOST_LOGS_EACH = 32, 24
"""Logs followed at a time; each hears every chunk that any process prints."""

SEND_SECONDS = 30.0
"""A page that takes nothing for so long is dropped."""

MEASURED = 100
"""Processes whose memory and processor time are read at a time; of more, these take turns."""

LANGUAGES = {"en": "en", "zh": "zh-CN"}

_STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # let no proxy hold it back


class Dashboard:
    """The face. snapshot: of everything. subscribe: the pump's, None where there is none (see LogTail). config: path of
    the file. birth: when this daemon began, in unix seconds. on_defect: told of an exception that nobody foresaw."""

    def __init__(
        self,
        operator: Operator,
        snapshot: Callable[[], Snapshot],
        *,
        subscribe: Subscribe | None,
        config: str,
        birth: float,
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._operator = operator
        self._snapshot = snapshot
        self._subscribe = subscribe
        self._config = config
        self._on_defect = on_defect
        self._meter = Meter()
        self._ended = asyncio.Event()
        self._pages = Shares(MOST_PAGES, MOST_PAGES_EACH)
        self._logs = Shares(MOST_LOGS, MOST_LOGS_EACH)
        self._doctor: Examination | None = None
        self._recalled = False
        self.hub = Hub(self._look, operator.controller.journal, f"{birth:.3f}", on_defect=on_defect)
        self.routes = [
            Route("/", self.index, methods=["GET"]),
            Route("/assets/{name}", self.asset, methods=["GET"]),
            Route("/favicon.ico", self.favicon, methods=["GET"]),
            Route("/session", self.session, methods=["GET"]),
            Route("/live", self.live, methods=["GET"]),
            Route("/live/log", self.log, methods=["GET"]),
            Route("/doctor", self.doctor, methods=["POST"]),
        ]

    def end_streams(self) -> None:
        """End what would otherwise go on for ever: the daemon is about to stop serving."""
        self._ended.set()
        self.hub.end()
        if self._doctor is not None:
            self._doctor.end()

    # --- pages --------------------------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """The page."""
        if not request.scope.get("raw_path", b"/").endswith(b"/"):  # its own paths are relative to its directory
            return RedirectResponse(f"{request.scope.get('root_path', '')}/", 303)
        visitor = _visitor(request)
        return _page(
            "index.html",
            _language(request.headers.get("accept-language", "")),
            csrf=request.state.csrf,
            name=visitor["name"],
            role=visitor["role"],
            by=visitor["by"],
        )

    def login_page(self, error: str, next: str, root_path: str) -> Response:
        """The form to log in. error: why the last try failed. next: where to go afterwards. root_path: of no matter,
        since the page's own paths are relative."""
        return _page("login.html", "en", error=error, next=next)

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        return answer(request, request.path_params["name"])

    async def favicon(self, request: Request) -> Response:
        """The icon, where a browser looks for it unasked."""
        return answer(request, "icon.svg")

    async def session(self, request: Request) -> Response:
        """Who it is that asks: {"name", "role", "by", "csrf", "version"}. Another daemon may have taken over."""
        return _object({**_visitor(request), "csrf": request.state.csrf, "version": __version__})

    # --- streams ------------------------------------------------------------------------------------------------------

    async def live(self, request: Request) -> Response:
        """Everything, and what changes, for as long as the page is open."""
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        who = request.state.visitor.share
        if why := self._pages.refusal(who):
            return _refusal(QueuepoolError(f"cannot open another page: {why}", "close some of them"), 503)
        deploys = self._operator.deploys
        if not self._recalled:
            self._recalled = True
            await asyncio.to_thread(deploys.history.rows)
            if deploys.saved is None:
                await asyncio.to_thread(deploys.store.warm)
                deploys.recall()
        last = request.headers.get("last-event-id") or request.query_params.get("last", "")
        return EventStream(_held(self._pages, who, self.hub.frames(last)))

    async def log(self, request: Request) -> Response:
        """What one process prints: ?process=NAME."""
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        control = self._operator.controller
        who = request.state.visitor.share
        if why := self._logs.refusal(who):
            return _refusal(QueuepoolError(f"cannot follow another log: {why}", "close some of them"), 503)
        from queuepool.control.dashboard_log import LogTail

        try:
            names = control.select((request.query_params.get("process", ""),))
            if len(names) != 1:
                raise UsageError("a log is that of one process", "?process=laravel-worker:0")
            name = names[0]
            lives, spec = control.engine.lives.get(name), control.pools.get(name.pool)
            process = lives[-1].spec if lives else spec.process(name.slot) if spec else None
            if process is None:
                raise UsageError(f"cannot find {name}: there is no such process")
            tail = LogTail(self._subscribe, process.stdout, str(name))
        except UnknownName as error:
            return _refusal(UsageError(str(error)), 404)
        except QueuepoolError as error:
            return _refusal(error, 404)
        return EventStream(_held(self._logs, who, tail.frames(self._ended)))

    # --- what is asked ------------------------------------------------------------------------------------------------

    async def doctor(self, request: Request) -> Response:
        """What the doctor finds, now. As any POST, it is for operators: it boots the application."""
        if self._doctor is None:
            from queuepool.control.dashboard_doctor import Examination

            self._doctor = Examination(self._config)
        try:
            return _object(await self._doctor.report())
        except QueuepoolError as error:
            return _refusal(error, 500)

    def _look(self) -> State:
        """What every page shows now."""
        snapshot = self._snapshot()
        usage = self._meter.measure([view.pid for view in snapshot.processes if view.pid])
        deploys = self._operator.deploys
        deploy = deploy_row(deploys.report(), deploys.story.events) if deploys.saved is not None else None
        past = deploys.history.rows()
        return state_of(snapshot, self._operator.look.queues(()), deploy, past, usage)


class Meter:
    """Memory and processor time of processes, read of so many at a time that nobody waits for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, tuple[int, float | None]] = {}
        self._before: dict[int, tuple[float, float]] = {}
        self._turn = 0

    def measure(self, pids: list[int]) -> dict[int, tuple[int, float | None]]:
        """pid -> (bytes resident, share of a core since it was last read, None the first time)."""
        living = set(pids)
        for gone in [pid for pid in self._known if pid not in living]:
            self._known.pop(gone)
            self._before.pop(gone, None)
        start = self._turn % len(pids) if len(pids) > MEASURED else 0
        chosen = [*pids[start:], *pids[:start]][:MEASURED]
        self._turn = start + MEASURED
        now = self._clock()
        for pid in chosen:
            if (seen := procstat.usage(pid)) is None:
                continue
            at, seconds = self._before.get(pid, (now, seen.cpu))
            share = max(0.0, seen.cpu - seconds) / (now - at) if now - at > 0.2 else None
            self._known[pid] = (seen.rss, share)
            self._before[pid] = (now, seen.cpu)
        return dict(self._known)


class EventStream(StreamingResponse):
    """Server-sent events to one page; ended when it does not take them."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames, headers=_STREAM)
        self._frames = frames
        self._peer: Peer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._peer = scope["state"].get("peer")
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the frames, each within SEND_SECONDS."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._frames) as frames:  # type: ignore[type-var]
            async for frame in frames:
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": frame, "more_body": True})
                except TimeoutError:
                    if self._peer is not None:
                        self._peer.cut()
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _held(shares: Shares, who: str, frames: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames, which count as one of `who` for as long as they last."""
    with shares.hold(who):
        async with aclosing(frames) as found:  # type: ignore[type-var]
            async for frame in found:
                yield frame


def _visitor(request: Request) -> dict[str, str]:
    visitor: Visitor = request.state.visitor
    return {"name": visitor.name, "role": visitor.role.value, "by": visitor.by}


def _page(file: str, language: str, **facts: str) -> Response:
    """A page, filled in."""
    facts |= {"lang": LANGUAGES[language], "version": __version__}
    text = Template(template(file)).substitute({key: escape(value) for key, value in facts.items()})
    return Response(text, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-store"})


def _language(accepted: str) -> str:
    """The first of ours that a browser's Accept-Language names; English without any."""
    ranges = []
    for at, part in enumerate(accepted.split(",")[:20]):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        ranges.append((-weight, at, tag.strip().lower().split("-")[0]))
    return next((tag for weight, _, tag in sorted(ranges) if tag in LANGUAGES and weight < 0), "en")


def _object(value: Any, status: int = 200) -> Response:
    return Response(as_bytes(value), status, media_type="application/json", headers={"Cache-Control": "no-store"})


def _refusal(error: QueuepoolError, status: int) -> Response:
    return _object({"error": error_to(error)}, status)
