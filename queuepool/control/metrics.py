"""Prometheus' face of the daemon: GET /metrics. What is shown stands in metrics_table.py; who may ask is the matter of
whoever mounts the route. Nothing is measured, and nothing wakes, while nobody scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from queuepool.control.metrics_facts import Sources, look

PROBE_SECONDS = 0.01
"""How long a scrape sleeps to see how late the loop wakes it."""


class Metrics:
    """The route, to be mounted into an application. on_defect: told of an exception that nobody foresaw."""

    def __init__(self, sources: Sources, on_defect: Callable[[BaseException], None]) -> None:
        self._sources = sources
        self._on_defect = on_defect
        self._one_by_one = asyncio.Lock()
        self.routes = [Route("/metrics", self.metrics, methods=["GET"])]

    def end_streams(self) -> None:
        """There are none."""

    async def metrics(self, request: Request) -> Response:
        """All metrics, in the form that the client accepts."""
        try:
            async with self._one_by_one:  # several scrapers at once must not cost several times as much of the loop
                text, content_type = await self._scrape(", ".join(request.headers.getlist("accept")))
        except Exception as error:  # noqa: BLE001 - reported to the daemon; the client learns that it happened
            self._on_defect(error)
            return PlainTextResponse(f"the daemon has a defect: {type(error).__name__}\n", 500)
        return Response(text, headers={"Content-Type": content_type})

    async def _scrape(self, accept: str) -> tuple[bytes, str]:
        redis, _ = await asyncio.gather(self._sources.insight.pings(), self._probe())
        facts = await look(self._sources, await self._sources.usage.programs(), redis)
        return await asyncio.to_thread(_exposed, facts, accept)

    async def _probe(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + PROBE_SECONDS
        await asyncio.sleep(PROBE_SECONDS)
        self._sources.tally.lag.add(loop.time() - due)


def _exposed(facts: Any, accept: str) -> tuple[bytes, str]:
    from queuepool.control.metrics_text import exposed

    return exposed(facts, accept)
