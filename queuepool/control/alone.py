"""What a daemon has, built in the process of a command for one operation, with an engine that keeps processes alive by
itself. What a daemon would know is kept in the same files: overrides, the deploy, the settings in force."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from queuepool import __version__
from queuepool.control import messages, operations
from queuepool.control.client import START_HINT
from queuepool.control.leftovers import Leftovers
from queuepool.controller.controller import Controller
from queuepool.controller.deploys import Deploys
from queuepool.controller.insight import Insight
from queuepool.controller.journal import Journal, LogFile
from queuepool.controller.overrides import OverrideStore
from queuepool.controller.settings import SettingsStore
from queuepool.controller.versions import read
from queuepool.controller.watches import RedisWatch, ping
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import DaemonView, Snapshot
from queuepool.domain.pool import Loaded
from queuepool.engines.former import refuse_former
from queuepool.engines.supervisord import SupervisordEngine
from queuepool.engines.supervisord_client import CannotReread, SupervisordAway
from queuepool.engines.supervisord_link import Link
from queuepool.engines.supervisord_strays import living
from queuepool.errors import DaemonUnreachable, QueuepoolError
from queuepool.system import commands
from queuepool.system.rundir import RunDirectory

if TYPE_CHECKING:
    from queuepool.control.messages import Request

Progress = Callable[[dict[str, Any]], None]

BUSY_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
"""How long a supervisord may be away in the middle before the command gives up."""


class SupervisordUnreachable(DaemonUnreachable):
    """No supervisord, and no daemon either."""


class Alone:
    """async with Alone(config, directory, tell, touch=True) as alone: await alone.perform(...)

    config: path of the queuepool.yml. tell: told what a person should know beside the answer. touch: whether it may
    change anything.
    """

    def __init__(self, config: str, directory: RunDirectory, tell: Callable[[str], None], *, touch: bool) -> None:
        self.config, self.directory, self.tell, self.touch = config, directory, tell, touch
        self.problems: list[str] = []
        self.loaded = self._read()
        self.journal = Journal()
        self.log = LogFile(self.directory.log)
        if touch:
            self.journal.listeners.append(self.log)
        self.store = OverrideStore(self.directory.overrides, self.problems.append)
        self.settings = SettingsStore(self.directory.state, self.problems.append)
        self.engine = SupervisordEngine(
            Link(self.loaded.engine, self.directory),
            publish=self.journal.add,
            changed=lambda pool, number: self._noticed(pool, number),
            patience=lambda pool: self.insight.patience_of(pool),
            touch=touch,
            busy=BUSY_SECONDS,
            idle=1.0,
        )
        self.engine.environment = {"QUEUEPOOL_CONFIG": self.directory.config}
        self.controller = Controller(self.engine, self.store, self.journal, self.loaded, used=self._used)
        self.leftovers = Leftovers(self.controller, self.engine)
        self.insight = Insight(lambda: self.controller.pools)
        self.watch = RedisWatch(
            self.insight.redis_of, ping, lambda: list(self.controller.pools), lambda pool, what: None, self.journal
        )
        self.deploys = Deploys(
            self.controller, self.directory.state, commands.run, away=self.watch.blame, complain=self.problems.append
        )
        self.known = self.settings.load()
        self.operator = operations.Operator(
            self.controller,
            self.insight,
            load=self._read,
            shutdown=self._shutdown,
            upgrade=_never,
            reopen=lambda: 0,
            deploys=self.deploys,
            listen=_nothing_wrong,
        )

    async def __aenter__(self) -> Alone:
        pools = self.known if self.known is not None else {} if self.touch else self.loaded.pools
        self.controller.pools = dict(pools)
        self.engine.know(pools)
        try:
            await self.engine.begin()
            if self.touch:
                refuse_former(self.loaded.engine, self.directory)
                self.engine.link.check()
                self.engine.link.file.refuse_unwritable()
            if self.deploys.store.matters():
                await asyncio.to_thread(self.deploys.store.warm)
                self.deploys.restore()
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, SupervisordAway):
                raise SupervisordUnreachable(error.message, self._with_survivors(error.hint)) from None
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deploys.close()
        await self.watch.close()
        await self.engine.close()
        await self.insight.close()
        self.log.close()

    def _read(self) -> Loaded:
        loaded = read(self.config)
        if loaded.engine.type == "local":
            raise DaemonUnreachable(f"cannot reach the daemon at {self.directory.socket}", START_HINT)
        return loaded

    def _noticed(self, pool: str, number: bool) -> None:
        if self.touch:
            self.controller.noticed(pool, number)

    def _used(self) -> None:
        if self.touch:
            self.settings.save(self.controller.pools)

    async def perform(self, request: Request, progress: Progress, on_idle: Callable[[], None] | None) -> dict[str, Any]:
        """The reply, once all is done that would be left half done without a daemon. Raises QueuepoolError."""
        work = asyncio.ensure_future(self._perform(request, progress))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=1.0)
                if on_idle is not None and not work.done():
                    on_idle()
                self._give_up()
            return work.result()
        finally:
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError, QueuepoolError):
                    await work

    def _give_up(self) -> None:
        """Raises what keeps us from going on: at once where only a person can mend it, after a while where supervisord
        is away."""
        trouble, since = self.engine.trouble, self.engine.troubled_at
        if trouble is None or since is None:
            return
        patient = isinstance(trouble, SupervisordAway) and not isinstance(trouble, CannotReread)
        if not patient or self.engine.clock() - since > PATIENCE_SECONDS:
            hint = f"{trouble.hint}; then `queuepool update` goes on with what is not done yet"
            if isinstance(trouble, SupervisordAway):
                hint = self._with_survivors(hint)
            raise type(trouble)(f"cannot go on: {trouble.message}", hint)

    def _with_survivors(self, hint: str) -> str:
        """The hint, and who works on while nobody watches over them."""
        there = living(self.engine.link.memory)
        return f"{hint}; its processes that still run: {', '.join(there)}" if there else hint

    async def _perform(self, request: Request, progress: Progress) -> dict[str, Any]:
        handler = operations.OPERATIONS[_name(request)][1]
        if not self.touch:
            if isinstance(request, messages.Queues | messages.Redis):
                self.controller.pools = dict(self.known if self.known is not None else self.loaded.pools)
            return await handler(self.operator, request, progress)
        await self._mend(request, progress)
        reply = await handler(self.operator, request, progress)
        await self.controller.until(self._all_begun)
        if not getattr(request, "wait", True):  # nobody would replace the others later
            await self.controller.until(lambda: not self.leftovers.coming())
        await self.engine.idle()
        return reply

    def _all_begun(self) -> bool:
        """Whether each process that should run was begun: nobody would begin it later."""
        return all(
            any(life.wanted for life in self.engine.seen(ProcessName(spec.name, slot)))
            for spec in self.controller.pools.values()
            if not self.controller.waits_for(spec)
            for slot in self.controller.desire(spec).slots
        )

    async def _mend(self, request: Request, progress: Progress) -> None:
        """Go on with what a command before this one left undone; an interrupted deploy first of all."""
        interrupted = self.deploys.under_way
        if self.known is None and not isinstance(request, messages.Update | messages.Deploy):
            raise QueuepoolError(
                f"supervisord does not have the programs of {self.directory.config} yet",
                "`queuepool up` hands them over to it",
            )
        if isinstance(request, messages.Shutdown):  # nothing is begun that is to end
            self.engine.run()
            return
        self.controller.poke(*self.controller.pools, *{name.pool for name in self.engine.lives})
        left = self.leftovers.left()
        self.controller.turn()
        if not interrupted and left:
            self.tell(f"a command was interrupted before this one; going on with {self.leftovers.shown(left)}")
        for line in (*([self.engine.lost] if self.engine.lost else []), *self.engine.strays):
            self.tell(line)
        self.engine.run()
        if not interrupted:
            await self.controller.until(lambda: not self.leftovers.coming())
            return
        assert self.deploys.saved is not None
        if not isinstance(request, messages.FollowDeploy | messages.AbortDeploy):
            self.tell(f"the deploy {self.deploys.saved.id} was interrupted; going on with it first")
        self.deploys.resume()
        if not isinstance(request, messages.FollowDeploy | messages.AbortDeploy):
            async for event in self.deploys.story.follow():
                progress(event) if isinstance(request, messages.Deploy) else None

    async def _shutdown(self, hurry: bool) -> None:
        """Stop everything and take it out of Supervisor."""
        drained = asyncio.ensure_future(self.controller.drain())
        if hurry:
            for name in self.controller.alive():
                self.engine.kill(name, "told to hurry")
        await drained
        self.store.end()
        await self.engine.take_out()
        self.settings.forget()

    def snapshot(self, names: tuple[str, ...]) -> Snapshot:
        """As a daemon's. Raises UsageError."""
        programs, processes = self.controller.views(usage=True)
        if names:
            programs, processes = operations.chosen(self.controller, names, programs, processes)
        view = DaemonView(
            pid=self.engine.supervisord,
            version=__version__,
            config=self.directory.config,
            socket=self.engine.link.where,
            state="RUNNING",
            problems=(*self.loaded.problems, *self.problems, *self.engine.problems, *self._undone()),
            log=self.directory.log,
            engine=self.loaded.engine.type,
        )
        return Snapshot(view, tuple(programs), tuple(processes))

    def _undone(self) -> tuple[str, ...]:
        found = []
        if self.deploys.under_way and self.directory.pid_alone() is None:
            found.append("a deploy was interrupted: `queuepool deploy --follow` goes on with it, `--abort` goes back")
        if self.known is None:
            found.append("supervisord does not have these programs yet: `queuepool up` hands them over to it")
            return tuple(found)
        if not self.deploys.under_way and self.directory.pid_alone() is None:
            found += self.leftovers.problems()
        return tuple(found)


def _name(request: Request) -> str:
    return type(request).__name__.lower()


async def _nothing_wrong() -> str:
    return ""


async def _never() -> dict[str, Any]:
    raise QueuepoolError("no daemon runs")
