"""One function per thing a person may ask; the only caller of the controller. How a request arrives and how the answer
is shown is server.py's and the command line's matter. An operation answers once what was asked for is true. What is
done to processes is acting.py's, what a file changes updating.py's, what goes live deploying.py's; the rest is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from queuepool.control import acting, deploying, messages, updating
from queuepool.control.choosing import choose, note, selected
from queuepool.control.following import Progress, Reply, Verdict, follow, settled
from queuepool.controller.controller import Controller
from queuepool.controller.deploys import Deploys
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView, ProgramView
from queuepool.domain.pool import Loaded
from queuepool.errors import UsageError


class Look(Protocol):
    """What is known of queues and Redis (controller/insight.py)."""

    async def looked(self) -> None:
        """Returns when every queue has been looked at once."""

    def queues(self, names: Sequence[str]) -> Reply:
        """See messages.Queues."""

    async def redis(self) -> Reply:
        """See messages.Redis."""


class Notices(Protocol):
    """What tells people (controller/notifier.py)."""

    def report(self) -> Reply:
        """See messages.Notify."""

    async def test(self, names: Sequence[str]) -> list[Reply]:
        """See messages.Notify. Raises UsageError."""


async def _nobody() -> None:
    """Nobody is told."""


class Operator:
    """What operations work on: the controller, and what only the daemon can do.

    load: reads the file anew (in a thread, since thousands of programs take seconds). shutdown(hurry), upgrade(),
    reopen(): see messages. look: what is known of queues and Redis. deploys: the one deploy there may be. listen():
    what is wrong with `http:`, once it has been followed; "" for nothing. notices(): what tells people; None: nobody is
    told.
    """

    def __init__(
        self,
        controller: Controller,
        look: Look,
        *,
        load: Callable[[], Loaded],
        shutdown: Callable[[bool], Awaitable[None]],
        upgrade: Callable[[], Awaitable[Reply]],
        reopen: Callable[[], int],
        deploys: Deploys,
        listen: Callable[[], Awaitable[str]],
        notices: Callable[[], Awaitable[Notices | None]] = _nobody,
    ) -> None:
        self.controller = controller
        self.look = look
        self.load = load
        self.shutdown = shutdown
        self.upgrade = upgrade
        self.reopen = reopen
        self.deploys = deploys
        self.notices = notices
        self.listen = listen


async def queues(operator: Operator, request: messages.Queues, progress: Progress) -> Reply:
    """See messages.Queues."""
    await operator.look.looked()
    return operator.look.queues(request.names)


async def redis(operator: Operator, request: messages.Redis, progress: Progress) -> Reply:
    """See messages.Redis."""
    return await operator.look.redis()


async def wait(operator: Operator, request: messages.Await, progress: Progress) -> Reply:
    """See messages.Await."""
    control = operator.controller
    names = choose(operator, request.names)

    def waiting() -> list[ProcessName]:
        return [name for name in names if (settled(control, name) or ("failed", ""))[0] == "failed"]

    told: set[ProcessName] = set()

    def done() -> bool:
        left = waiting()
        for name in names:
            if name not in told and name not in left:
                told.add(name)
                progress({"display": control.displays().get(name, str(name)), "state": "RUNNING", "message": ""})
        return not left

    ready = await control.until(done, request.seconds)
    _, views = control.views()
    left = {str(name) for name in waiting()}
    keys = ("name", "display", "state", "reason")
    return {
        "ready": ready,
        "problems": list(control.loaded.problems),
        "waiting": [{key: getattr(view, key) for key in keys} for view in views if view.name in left and view.wanted],
    }


async def shutdown(operator: Operator, request: messages.Shutdown, progress: Progress) -> Reply:
    """See messages.Shutdown."""
    control = operator.controller
    note(operator, "shutdown", ())
    displays = control.displays()
    names = tuple(name for name in control.alive())
    drained = asyncio.ensure_future(operator.shutdown(request.hurry))
    await asyncio.sleep(0)

    def verdict(name: ProcessName) -> Verdict | None:
        gone = not control.alive_in(name)
        return ("stopped", "") if gone else None

    await follow(control, names, verdict, progress, wait=True, promise="stopped", displays=displays)
    await drained
    return {"stopped": [str(name) for name in names]}


async def upgrade(operator: Operator, request: messages.Upgrade, progress: Progress) -> Reply:
    """See messages.Upgrade."""
    operator.deploys.refuse_while_under_way("upgrade")
    note(operator, "upgrade", ())
    return await operator.upgrade()


async def reopen(operator: Operator, request: messages.Reopen, progress: Progress) -> Reply:
    """See messages.Reopen."""
    note(operator, "reopen", ())
    return {"reopened": operator.reopen()}


async def notify(operator: Operator, request: messages.Notify, progress: Progress) -> Reply:
    """See messages.Notify."""
    notices = await operator.notices()
    if request.test:
        note(operator, "notify --test", request.targets)
        if notices is None:
            raise UsageError(
                "cannot test notifications: the settings in force have none",
                "write `notifications: {slack: ...}` into the file, then `queuepool update`",
            )
    tests = await notices.test(request.targets) if notices and request.test else []
    found = notices.report() if notices else {"targets": [], "open": [], "ignored": 0}
    return {**found, "tests": tests}


Handler = Callable[[Operator, Any, Progress], Awaitable[Reply]]
OPERATIONS: dict[str, tuple[type[Any], Handler]] = {
    "start": (messages.Start, acting.start),
    "stop": (messages.Stop, acting.stop),
    "restart": (messages.Restart, acting.restart),
    "signal": (messages.Signal, acting.signal),
    "pause": (messages.Pause, acting.pause),
    "continue": (messages.Continue, acting.resume),
    "scale": (messages.Scale, acting.scale),
    "reread": (messages.Reread, updating.reread),
    "update": (messages.Update, updating.update),
    "queues": (messages.Queues, queues),
    "redis": (messages.Redis, redis),
    "await": (messages.Await, wait),
    "shutdown": (messages.Shutdown, shutdown),
    "upgrade": (messages.Upgrade, upgrade),
    "reopen": (messages.Reopen, reopen),
    "notify": (messages.Notify, notify),
    **deploying.OPERATIONS,
}


def chosen(
    control: Controller, names: Sequence[str], programs: Sequence[ProgramView], processes: Sequence[ProcessView]
) -> tuple[list[ProgramView], list[ProcessView]]:
    """Of all views those that these selectors concern. Raises UsageError."""
    found = set(map(str, selected(control, names)))
    kept = [process for process in processes if process.name in found]
    pools = {process.program for process in kept} | set(names)
    return [program for program in programs if program.name in pools], kept
