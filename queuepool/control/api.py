"""The JSON face of the operations: what arrives is checked against control/messages.py, what leaves is one object or a
stream of JSON lines. Connections and their limits are server.py's; what an operation does is operations.py's; the
description of it all for other programs is openapi.py's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import fields
from functools import cached_property
from math import isfinite
from typing import Any, Protocol

import pydantic  # what of it is used is loaded when it is used
from pydantic_core import ValidationError, from_json, to_json
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from queuepool.control.client import error_to
from queuepool.control.messages import PREFIX, Request
from queuepool.domain.access import ONLY_READS
from queuepool.domain.names import UnknownName
from queuepool.domain.observed import Snapshot
from queuepool.errors import ConfigError, QueuepoolError, UsageError

MAX_BODY = 1024 * 1024
"""Bytes of a request: some 20,000 names."""

MAX_WAITING_LINES = 1000
"""Progress lines kept for a client that does not read them; further ones are dropped, the reply never."""

LINES = "application/x-ndjson"
JSON = "application/json"
UNBUFFERED = {"X-Accel-Buffering": "no"}
"""Let no proxy hold lines back until there are many."""

Progress = Callable[[dict[str, Any]], None]
Handler = Callable[[Any, Any, Progress], Awaitable[dict[str, Any]]]
Operations = Mapping[str, tuple[type[Any], Handler]]
TakeSnapshot = Callable[[tuple[str, ...]], Snapshot | dict[str, Any]]
OnDefect = Callable[[BaseException], None]


class OtherFace(Protocol):
    """What may be served beside the JSON face."""

    routes: list[Route]

    def end_streams(self) -> None:
        """End the answers that would otherwise go on for ever."""


def build_app(
    operator: Any,
    operations: Operations,
    snapshot: TakeSnapshot,
    events: Callable[[int, bool], AsyncIterator[dict[str, Any]]],
    on_defect: OnDefect,
    others: Iterable[OtherFace] = (),
) -> Starlette:
    """The application of the control socket.

    operator: passed to every handler, as it is. operations: name of the path -> (request type, handler); a handler
    raises QueuepoolError, or UnknownName. snapshot: names -> Snapshot, or its JSON, raising the same. events: (number
    of the last event seen, follow) -> the events after it. on_defect: told of an exception that nobody foresaw; the
    client only learns that it happened. others: what else is served here.
    """
    others = tuple(others)
    api = _Api(operator, operations, snapshot, events, on_defect)
    app = Starlette(
        routes=[
            Route(f"{PREFIX}/status", api.status, methods=["GET"]),
            Route(f"{PREFIX}/events", api.events, methods=["GET"]),
            Route(f"{PREFIX}/queues", api.queues, methods=["GET"]),
            Route(f"{PREFIX}/deploy", api.deploy, methods=["GET"]),
            Route(f"{PREFIX}/deploys", api.deploys, methods=["GET"]),
            Route(f"{PREFIX}/openapi.json", api.description, methods=["GET"]),
            Route(PREFIX + "/{operation}", api.operation, methods=["POST"]),
            *(route for other in others for route in other.routes),
        ],
        exception_handlers={404: _no_such_thing, 405: _no_such_thing, Exception: api.defect},
    )
    ends = [api.end_streams, *(other.end_streams for other in others)]
    app.state.end_streams = lambda: [end() for end in ends]
    return app


class _Api:
    def __init__(
        self,
        operator: Any,
        operations: Operations,
        snapshot: TakeSnapshot,
        events: Callable[[int, bool], AsyncIterator[dict[str, Any]]],
        on_defect: OnDefect,
    ) -> None:
        self._operator = operator
        self._operations = {name: (_Reader(name, type_), handler) for name, (type_, handler) in operations.items()}
        self._types = {name: type_ for name, (type_, _) in operations.items()}
        self._described: bytes | None = None
        self._snapshot = snapshot
        self._journal = events
        self._on_defect = on_defect
        self._running: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()

    async def status(self, request: HttpRequest) -> Response:
        try:
            return _object(self._snapshot(tuple(request.query_params.getlist("name"))))
        except Exception as error:  # noqa: BLE001 - explained to the client, reported to the daemon
            return self._refusal(error)

    async def queues(self, request: HttpRequest) -> Response:
        """What the operation of that name answers, for those who only GET."""
        return await self._whole("queues", {"names": request.query_params.getlist("name")})

    async def deploy(self, request: HttpRequest) -> Response:
        """The deploy under way, or the last one."""
        return await self._whole("deploystatus", {})

    async def deploys(self, request: HttpRequest) -> Response:
        """The deploys that have ended."""
        return await self._whole("deployhistory", {})

    async def description(self, request: HttpRequest) -> Response:
        """The OpenAPI document."""
        if self._described is None:
            self._described = await asyncio.to_thread(_describe, self._types, request.scope.get("root_path", ""))
        return Response(self._described, media_type="application/json")

    async def events(self, request: HttpRequest) -> Response:
        try:
            since = _number(request.query_params.get("since", "0"))
            follow = request.query_params.get("follow", "false") in ("1", "true")
        except UsageError as error:
            return self._refusal(error)
        return StreamingResponse(self._event_lines(since, follow), media_type=LINES, headers=UNBUFFERED)

    async def _event_lines(self, since: int, follow: bool) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING_LINES)
        task = asyncio.get_running_loop().create_task(self._read_journal(since, follow, queue), name="events")
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            task.cancel()  # a client that went away must not leave a subscriber behind

    async def _read_journal(self, since: int, follow: bool, queue: asyncio.Queue[bytes | None]) -> None:
        """Put the events into `queue`, then None. A task of its own, so that `end_streams` can end it."""
        try:
            async for event in self._journal(since, follow):
                await queue.put(_line(event))
        except Exception as error:  # noqa: BLE001 - as above
            await queue.put(_line({"error": self._explained(error)}))
        finally:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    def end_streams(self) -> None:
        """End the answers that would otherwise go on for ever: the daemon is about to stop serving."""
        for task in self._streams:
            task.cancel()

    async def operation(self, request: HttpRequest) -> Response:
        name = request.path_params["operation"]
        if name not in self._operations:
            return _object({"error": error_to(UsageError(f"no such operation: {name[:100]}", _VERSIONS))}, 404)
        try:
            message = self._operations[name][0].read(await body_of(request))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except QueuepoolError as error:
            return self._refusal(error)
        lines = self._begin(name, message)
        if _wants_object(request.headers.get("accept", "")):
            gone = asyncio.ensure_future(_gone(request, lines)) if name in ONLY_READS else None
            try:
                return await self._last_of(lines)
            finally:
                if gone is not None:
                    gone.cancel()
        return StreamingResponse(
            _while_heard(lines) if name in ONLY_READS else lines, media_type=LINES, headers=UNBUFFERED
        )

    async def _whole(self, name: str, values: dict[str, Any]) -> Response:
        try:
            message = self._operations[name][0].read(to_json(values))
        except UsageError as error:
            return self._refusal(error)
        return await self._last_of(self._begin(name, message))

    async def _last_of(self, lines: _Lines) -> Response:
        """The reply alone, or the error with a status of HTTP, in place of the stream that ends with it."""
        async for line in lines:
            last = line
        value = from_json(last)
        return _object(value["reply"]) if "reply" in value else Response(last, lines.status, media_type=JSON)

    def _begin(self, name: str, message: Request) -> _Lines:
        lines = _Lines()
        handler = self._operations[name][1]
        task = asyncio.get_running_loop().create_task(self._perform(handler, message, lines), name=f"operation {name}")
        lines.task = task
        self._running.add(task)  # the loop itself keeps no strong reference to a task
        task.add_done_callback(self._running.discard)
        return lines

    async def _perform(self, handler: Handler, message: Request, lines: _Lines) -> None:
        """Run one operation to its end, whether or not the client still listens; but see `_while_heard`."""
        try:
            last = {"reply": await handler(self._operator, message, lines.progress)}
        except asyncio.CancelledError:
            lines.end({"error": error_to(QueuepoolError("the daemon ended before it was done"))})
            raise
        except Exception as error:  # noqa: BLE001 - as above
            last = {"error": self._explained(error)}
            lines.status = status_of(error)
        lines.end(last)

    def defect(self, _: HttpRequest, error: Exception) -> Response:
        return self._refusal(error)

    def _refusal(self, error: Exception) -> Response:
        return _object({"error": self._explained(error)}, status_of(error))

    def _explained(self, error: Exception) -> dict[str, Any]:
        """What the client is told of `error`; a defect is reported to the daemon instead."""
        if isinstance(error, UnknownName):
            return error_to(self._unknown(error))
        if isinstance(error, QueuepoolError):
            return error_to(error)
        self._on_defect(error)
        return error_to(
            QueuepoolError(f"the daemon has a defect: {type(error).__name__}", "the traceback is in the daemon's log")
        )

    def _unknown(self, error: UnknownName) -> UsageError:
        from difflib import get_close_matches

        known = _plain(self._snapshot(()))
        names = [program["name"] for program in known["programs"]]
        for process in known["processes"]:
            names += [process["name"], process["display"]]
        near = get_close_matches(error.text, names, 1)
        return UsageError(str(error), f"did you mean `{near[0]}`?" if near else "`queuepool status` lists them")


class _Reader:
    """Reads one type of request. The type's own fields are the contract: none is unknown, none is converted."""

    def __init__(self, name: str, type_: type[Any]) -> None:
        self._name = name
        self._type = type_
        self._fields = [field.name for field in fields(type_)]

    @cached_property
    def _adapter(self) -> pydantic.TypeAdapter[Any]:
        """Made when the first request of its type arrives: all of them take longer than a hundred starts."""
        return pydantic.TypeAdapter(self._type)

    def read(self, body: bytes) -> Any:
        """The request in `body`. Raises UsageError, which names every field that is wrong."""
        try:
            value = from_json(body or b"{}", allow_inf_nan=False)
        except ValueError as error:
            raise UsageError(f"cannot read the request {self._name}: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise UsageError(f"cannot read the request {self._name}: it must be a JSON object")
        if unknown := [key for key in value if key not in self._fields]:
            raise UsageError(
                f"cannot read the request {self._name}: unknown field {', '.join(map(repr, unknown[:5]))}",
                f"its fields are: {', '.join(self._fields) or 'none'}",
            )
        if infinite := [key for key, item in value.items() if isinstance(item, float) and not isfinite(item)]:
            raise UsageError(f"cannot read the request {self._name}: {infinite[0]}: too large")
        try:
            return self._adapter.validate_json(body or b"{}", strict=True)
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
            raise UsageError(f"cannot read the request {self._name}: {'; '.join(wrong[:5])}") from None


class _Lines:
    """The lines of one operation on their way to the client, which may be slow, or gone."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.status = 503
        """Of HTTP, if the last line is an error: 503 where the daemon ended."""

    def progress(self, what: dict[str, Any]) -> None:
        """Offer a line; it is dropped when too many wait already."""
        if self._queue.qsize() < MAX_WAITING_LINES:
            self._queue.put_nowait(_line({"progress": what}))

    def end(self, last: dict[str, Any]) -> None:
        """The last line."""
        self._queue.put_nowait(_line(last))
        self._queue.put_nowait(None)

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        line = await self._queue.get()
        if line is None:
            raise StopAsyncIteration
        return line


async def _while_heard(lines: _Lines) -> AsyncIterator[bytes]:
    """The lines of an operation that only reads: it ends when nobody listens any more. Else a viewer who asks and goes
    away, again and again, would leave as many tasks that wait for something for hours."""
    try:
        async for line in lines:
            yield line
    finally:
        if lines.task is not None:
            lines.task.cancel()


async def _gone(request: HttpRequest, lines: _Lines) -> None:
    """The same where one object is answered, of which nothing is sent before its end."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    if lines.task is not None:
        lines.task.cancel()


_VERSIONS = "the daemon may be of another version: `queuepool version`, then `queuepool upgrade`"


class TooLarge(UsageError):
    """The body of a request is larger than MAX_BODY."""


def status_of(error: Exception) -> int:
    """The status of HTTP for an error. What is right in itself and cannot be done now is a conflict."""
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, UsageError | ConfigError | UnknownName):
        return 400
    return 409 if isinstance(error, QueuepoolError) else 500


def _wants_object(accept: str) -> bool:
    """Whether a client asks for one object by name. `*/*`, and no header at all, mean the lines."""
    kinds = [item.partition(";")[0].strip().lower() for item in accept.split(",")]
    return JSON in kinds and LINES not in kinds


def _describe(types: Mapping[str, type[Any]], root_path: str) -> bytes:
    from queuepool.control.openapi import document

    return to_json(document(types, root_path)) + b"\n"


async def body_of(request: HttpRequest) -> bytes:
    """The body of a request. Raises TooLarge when it is larger than MAX_BODY."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(f"cannot read the request: it is larger than {MAX_BODY} bytes")
    return bytes(body)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise UsageError(f"since must be the number of an event, not {text[:40]!r}")
    return int(text)


def _no_such_thing(request: HttpRequest, error: Exception) -> Response:
    what = f"nothing answers to {request.method} {request.url.path[:100]}"
    answer = _object({"error": error_to(UsageError(what, _VERSIONS))}, getattr(error, "status_code", 404))
    answer.headers.update(getattr(error, "headers", None) or {})  # Allow
    return answer


def _plain(value: Snapshot | dict[str, Any]) -> dict[str, Any]:
    return value.to_json() if isinstance(value, Snapshot) else value


def _object(value: Snapshot | dict[str, Any], status: int = 200) -> Response:
    return Response(_line(value), status, media_type=JSON)


def _line(value: Snapshot | dict[str, Any]) -> bytes:
    try:
        return to_json(value) + b"\n"  # of a dataclass as well, eight times as fast as dataclasses.asdict
    except ValueError:  # a lone surrogate: a file name, or a worker's output, that is not UTF-8
        return json.dumps(_plain(value)).encode() + b"\n"
