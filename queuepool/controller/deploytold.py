"""What a deploy tells those who follow it: events as plain objects, kept from its beginning. How they look on a screen
is the command line's matter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from queuepool.controller.deploystate import Saved
from queuepool.domain.rollout import HOOKS, PHASES, UNTOUCHED, Failure, Look, Phase, Rollout, waits_for

MOST_EVENTS = 5000
"""Kept for those who come later; the output of hooks is dropped first."""


class Story:
    """The events of one deploy. Each is {"event", "time", "message", ...}; the last one is "ended" with the report."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.events: list[dict[str, Any]] = []
        self._clock = clock
        self._news = asyncio.Event()
        self._shown: dict[str, Any] = {}

    def tell(self, event: str, message: str, **facts: Any) -> None:
        """Let everybody know."""
        if event == "output" and len(self.events) > MOST_EVENTS:
            return
        self.events.append({"event": event, "time": round(self._clock(), 3), "message": message, **facts})
        self._news.set()

    async def follow(self) -> AsyncIterator[dict[str, Any]]:
        """Every event from the beginning, until the deploy has ended."""
        at = 0
        while True:
            self._news.clear()
            while at < len(self.events):
                event = self.events[at]
                at += 1
                yield event
                if event["event"] == "ended":
                    return
            await self._news.wait()

    def phase(self, before: Rollout, after: Rollout) -> None:
        """Tell that the deploy is in another phase."""
        if after.phase is not before.phase and after.phase in PHASES:
            if after.phase in HOOKS and HOOKS[after.phase] not in after.hooks:
                return
            if after.phase is Phase.DRAIN and not after.wait_drained:
                return
            self.tell("phase", PHASES[after.phase], phase=after.phase.value)

    def progress(self, saved: Saved, look: Look) -> None:
        """Tell of each program whose numbers are not those that were told last."""
        state = saved.state
        if state.phase in (*UNTOUCHED, Phase.ENDED):
            return
        for name, turn in state.turns.items():
            pool = look.pools[name]
            begun = turn.slots if state.phase is Phase.BACK else turn.begun
            up = sum(slot in pool.workers and pool.workers[slot].up for slot in begun)
            if state.phase is Phase.BACK:
                up = sum(worker.up for worker in pool.workers.values())
            total = len(pool.wanted) if state.phase is Phase.BACK else len(turn.slots)
            now = {"done": up, "total": total, "draining": pool.retiring, "back": state.phase is Phase.BACK}
            if self._shown.get(name) != now and (total or pool.retiring):
                self._shown[name] = now
                word = "back" if state.phase is Phase.BACK else "new"
                self.tell("pool", f"{name}: {up} of {total} {word}{_draining(pool.retiring)}", program=name, **now)
        waiting = waits_for(state, look)
        if self._shown.get("") != waiting:
            self._shown[""] = waiting
            self.tell("waiting", f"waiting: {waiting}")

    def failed(self, failure: Failure, displays: Mapping[str, str]) -> None:
        """Tell what went wrong."""
        self.tell(
            "failed", failure.what, gate=failure.gate, process=displays.get(failure.process, failure.process) or None,
            exit_code=failure.exit_code, last_lines=list(failure.last_lines),
        )  # fmt: skip

    def end(self, report: Mapping[str, Any]) -> None:
        """Tell the end."""
        self.tell("ended", f"deploy {report['id']}: {report['result'].replace('_', ' ')}", report=dict(report))


def _draining(count: int) -> str:
    if not count:
        return ""
    return ", 1 old one finishes its job" if count == 1 else f", {count} old ones finish their jobs"
