"""The canaries of a deploy: for each program that asks for one, a job is sent, a worker of the new release does it, and
everything is cleared away, whatever came of it. What that means is domain/canary.py's, the queue laravel/canary.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from queuepool.controller.deployhooks import RunCommand
from queuepool.controller.deploystate import Saved, Settings
from queuepool.controller.deploytold import Story
from queuepool.domain import canary, command
from queuepool.domain.pool import PoolSpec
from queuepool.domain.release import at_release
from queuepool.domain.rollout import Failure
from queuepool.domain.work import What
from queuepool.errors import QueuepoolError
from queuepool.laravel import canary as queues
from queuepool.laravel.output import Reader
from queuepool.system import children, procstat

SIDE_BY_SIDE = 4
"""Programs whose canaries boot at the same time."""
RETRY_SECONDS = 1.0
"""How often it is tried again while the Redis of a program does not answer, which is not the new release's fault."""

Away = Callable[[str], Awaitable[str]]
"""(program) -> the Redis that it needs and that does not answer, or ""."""


async def send_canaries(
    saved: Saved, settings: Settings, run: RunCommand, away: Away, environment: Mapping[str, str], story: Story
) -> Failure | str:
    """Why one of the canaries did not do its job, or "" when all did. environment: variables that every process gets.
    When this is cancelled their processes are ended and their queues cleared."""
    await asyncio.to_thread(_end_former, saved)
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(index: int, spec: PoolSpec) -> Failure | str:
        async with turn:
            story.tell("hook", f"canary: a new worker of {spec.name} is to do a job", hook="canary", program=spec.name)
            flight = _Flight(saved, settings.deployment.canary, spec, index, run, environment, story)
            told = ""
            while (failure := await flight.whole()) and (why := await away(spec.name)):
                if why != told:
                    story.tell("waiting", f"waiting: the canary of {spec.name}: {why}")
                told = why
                await asyncio.sleep(RETRY_SECONDS)
            return failure

    tasks = [
        asyncio.ensure_future(one(index, settings.target[plan.name]))
        for index, plan in enumerate(saved.plans)
        if plan.canary
    ]
    try:
        for done in asyncio.as_completed(tasks):
            if failure := await done:
                return failure
        return ""
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Flight:
    """The canary of one program."""

    def __init__(
        self,
        saved: Saved,
        seconds: float,
        spec: PoolSpec,
        index: int,
        run: RunCommand,
        environment: Mapping[str, str],
        story: Story,
    ) -> None:
        self._seconds, self._spec, self._run, self._story = seconds, spec, run, story
        turn, attempts = saved.state.turns[spec.name], saved.state.attempts
        self._release = turn.now or os.path.realpath(spec.app or "/")
        self._launch = at_release(spec.process(turn.slots[0]).launch, spec.app, self._release)
        *self._former, self._queue = (canary.queue_of(saved.token, index, at) for at in range(1, attempts + 1))
        self._names = {
            **environment,
            "QUEUEPOOL_PROGRAM": spec.name,
            "QUEUEPOOL_DEPLOY": saved.id,
            "QUEUEPOOL_HOOK": "canary",
        }

    async def whole(self) -> Failure | str:
        """Send, do, clear; what came of it."""
        try:
            site = self._site()
            flight = await self._fly(site)
        except QueuepoolError as error:
            what = f"the canary of {self._spec.name}: {error.message}"
            return Failure("canary", what, f"{self._spec.name}:canary", meaning=error.hint or "")
        return canary.verdict(self._spec.name, flight, self._seconds)

    def _site(self) -> queues.Site:
        """Whose queue it is: booted as the worker is."""
        launch = self._launch
        asked = command.parse(launch.argv)
        assert asked is not None, "a worker's command line is artisan's"
        environment = children.environment(
            launch, children.identity(launch.user, launch.group, launch.groups), self._names
        )
        if "env" in asked.options:
            environment["APP_ENV"] = str(asked.options["env"])
        connection = asked.options.get("connection")
        return queues.Site(
            asked.php, self._release, launch.user, launch.group, environment, connection and str(connection)
        )

    async def _fly(self, site: queues.Site) -> canary.Flight:
        flight = canary.Flight()
        try:
            laravel = await queues.send(site, self._queue, self._former)
            launch = canary.as_canary(self._launch, self._queue, laravel, self._seconds)
            said: list[What] = []
            reader = Reader(ids=command.says(launch.argv)[1])

            loop = asyncio.get_running_loop()
            until = loop.time() + self._seconds

            def heard(line: str) -> None:
                told = reader.feed(line.encode() + b"\n")
                if loop.time() < until:  # the signal that ends it may also end what its job waits for
                    said.extend(one.what for one in told)
                self._story.tell("output", line, hook="canary", program=self._spec.name)

            done = await self._run(launch, self._names, seconds=self._seconds, on_line=heard)
            flight = canary.Flight(frozenset(said), done.code, done.late, done.lines)
        finally:
            with contextlib.suppress(QueuepoolError):  # what failed before is what is told
                left = await queues.clear(site, self._queue, self._former, failed=What.DONE not in flight.said)
                flight = replace(flight, left=left.jobs, exception=left.exception)
        return flight


def _end_former(saved: Saved) -> None:
    """End the canaries that a daemon left when it was killed. They end by themselves, but one that hangs does not."""
    words = [f"--queue={canary.queue_of(saved.token, index, attempt)}" for index in range(len(saved.plans))
             for attempt in range(1, saved.state.attempts)]  # fmt: skip
    for pid in procstat.having(words) if words else ():
        if procstat.session(pid) == pid:  # as we start them; its whole tree goes with it
            children.signal_tree(pid, signal.SIGKILL)
