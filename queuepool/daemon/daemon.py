"""Composition root: builds every part of the daemon, wires them, obeys signals, and knows the order of start and end.
What the parts do is theirs; detaching from a terminal is cli/detach.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from queuepool import __version__
from queuepool.controller.controller import Controller, announce, announce_refusal
from queuepool.controller.journal import Fact, Journal, LogFile
from queuepool.controller.overrides import OverrideStore
from queuepool.controller.watches import RedisWatch, Refusals, ping
from queuepool.daemon.reading import read
from queuepool.daemon.serving import Serving, import_reader
from queuepool.daemon.signals import let_in, obey
from queuepool.daemon.telling import Telling
from queuepool.daemon.upgrading import replace_process, to_hold, version_on_disk
from queuepool.domain.amounts import count
from queuepool.domain.events import Event, Kind
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot
from queuepool.domain.ooms import OomKills
from queuepool.domain.pool import Loaded
from queuepool.domain.supervisor_events import daemon_notice
from queuepool.domain.tally import Tally
from queuepool.engines.adoption import adopt
from queuepool.engines.local import LocalEngine
from queuepool.engines.record import Record
from queuepool.errors import ConfigError
from queuepool.logs.joining import Joiner
from queuepool.logs.pump import Pump
from queuepool.logs.rotating import Trouble
from queuepool.system import children, commands, procstat
from queuepool.system.cgroups import oom_kills
from queuepool.system.notify import Notifier, kept
from queuepool.system.rundir import DEPLOY, RunDirectory

if TYPE_CHECKING:
    from queuepool.controller.deploys import Deploys
    from queuepool.controller.insight import Insight
    from queuepool.controller.requeuer import Requeuer
    from queuepool.engines.supervisord import SupervisordEngine

Echo = Callable[[object, str, bytes], None]

BOOTS_FIRST_SECONDS = 3.0
"""How long the first look at the queues waits while workers boot. Asking an application is a boot more, and its answer
is of no use before there are workers."""

T = TypeVar("T")


class Daemon:
    """The parts of one daemon, wired. Made inside its event loop."""

    def __init__(
        self, loaded: Loaded, directory: RunDirectory, lock: int, *, foreground: bool, echo: Echo | None
    ) -> None:
        self.directory = directory
        self.started_at = time.time()
        self.state = "RUNNING"
        self.problems: dict[str, str] = {}
        self._lock = lock
        self._engine = loaded.engine
        self._listener: socket.socket | None = None
        self._foreground = foreground
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._signals = 0
        self.notifier = Notifier()
        self.serving = Serving(self)
        self.telling = Telling(self)
        self.journal = Journal()
        self.log = LogFile(directory.log)
        self.tally = Tally()
        self.journal.listeners += [self.log, self.tally]
        self.pump = Pump(self._log_trouble, spool_directory=directory.spool)
        self._joiner = Joiner(lambda label, line: echo(label, "out", line) if echo else None, self._loop)
        if echo is not None:
            self.journal.listeners.append(self._echo_event)
            if getattr(echo, "workers", True):  # not where systemd's journal would get them all
                self.pump.subscribe(self._echo_lines)
        self.store = OverrideStore(directory.overrides, self.complain, self.recovered)
        self.watch = RedisWatch(
            lambda pool: self.insight.redis_of(pool),
            ping,
            lambda: list(self.controller.pools),
            self._block,
            self.journal,
        )
        self.refusals = Refusals(self.journal)
        self.local = self._local() if loaded.engine.type == "local" else None
        self.engine: LocalEngine | SupervisordEngine = self.local or self._supervised(loaded)
        self.engine.environment = {
            "QUEUEPOOL_CONFIG": loaded.path,
            "SUPERVISOR_SERVER_URL": f"unix://{directory.socket}",
        }
        self.controller = Controller(self.engine, self.store, self.journal, loaded, used=self._used)

    def _local(self) -> LocalEngine:
        return LocalEngine(
            self.directory,
            self.pump,
            Record(self.directory.record, procstat.boot_id(), self.complain, self.recovered, self._loop.call_later),
            publish=self.journal.add,
            changed=lambda pool, number: self.controller.noticed(pool, number),
            failed=self._suspect,
            crashed=lambda *death: self.requeuer.crashed(*death),
            came_up=self.tally.came_up,
            oom_killed=OomKills(oom_kills, time.monotonic).was_one,
            keep=self.notifier.keep,
            unkeep=self.notifier.unkeep,
        )

    def _supervised(self, loaded: Loaded) -> SupervisordEngine:
        from queuepool.controller.settings import SettingsStore
        from queuepool.engines.supervisord import SupervisordEngine
        from queuepool.engines.supervisord_link import Link

        in_loop = self._loop.call_soon_threadsafe  # it is saved in a thread
        self.settings = SettingsStore(
            self.directory.state,
            lambda text: in_loop(self.complain, text),
            lambda *said: in_loop(self.recovered, *said),
        )
        return SupervisordEngine(
            Link(loaded.engine, self.directory),
            publish=self.journal.add,
            changed=lambda pool, number: self.controller.noticed(pool, number),
            failed=self._suspect,
            patience=lambda pool: self.insight.patience_of(pool),
        )

    # The code of these three takes longer to load than a hundred starts; it is loaded when it is needed, or after them.

    @cached_property
    def insight(self) -> Insight:
        """What is known of applications, queues and Redis."""
        from queuepool.controller.insight import Insight

        insight = Insight(
            lambda: self.controller.pools,
            engine=lambda: self.engine,
            troubled=self._suspect,
            late=self.tally.lag.add,
        )
        insight.used()
        return insight

    @cached_property
    def requeuer(self) -> Requeuer:
        """What becomes of the jobs of workers that died."""
        from queuepool.controller.requeuer import Requeuer

        return Requeuer(
            lambda: self.controller.pools,
            self.insight.applications,
            self.insight.give_back,
            lambda job: self.local is not None and self.local.board.working(job),
            self.journal,
        )

    @cached_property
    def deploys(self) -> Deploys:
        """The deploy that goes on, or the last one."""
        from queuepool.controller.deploys import Deploys

        return Deploys(
            self.controller,
            self.directory.state,
            commands.run,
            away=self.watch.blame,
            complain=self.complain,
            recovered=self.recovered,
        )

    def _has(self, part: str) -> bool:
        """Whether one of those was needed yet."""
        return part in vars(self)

    # --- start and end ------------------------------------------------------------------------------------------------

    def begin(self, passed: Mapping[str, Any] | None = None) -> None:
        """Take over what a former daemon left, and start what is missing. passed: see upgrading.passed_on."""
        upgraded = passed is not None
        loaded = self.controller.loaded
        self.telling.follow()
        facts: dict[str, Fact] = {
            "pid": os.getpid(),
            "version": __version__,
            "file": loaded.path,
            "upgraded": upgraded or None,
        }
        self.journal.add(Kind.DAEMON_STARTED, "", facts)
        if self.local is not None:
            children.become_subreaper()
        _raise_descriptors(sum(pool.numprocs for pool in loaded.pools.values()))
        self._obey_signals()
        listeners = self.local.listeners if self.local is not None else None
        if listeners is not None:
            listeners.muted = upgraded  # to them, nothing has begun then
        changes = self.controller.impose(self.controller.wanted(loaded))
        if listeners is not None:
            listeners.tell(daemon_notice(stopping=False))
            listeners.muted = False
            listeners.take_up(self.directory.events, upgraded=upgraded)
        if os.path.exists(os.path.join(self.directory.state, DEPLOY)):
            self.deploys.restore()
        self.controller.tidy()  # not before: what a deploy keeps in force may not be in the file
        held = kept()
        if passed is not None:  # systemd held what it held for the process before the exec
            held = passed["pipes"]
        if self.local is not None:
            adopt(self.local)
        for fd in held:
            with contextlib.suppress(OSError):
                os.close(fd)
        if self.local is not None and self.local.record.damage:
            self.complain(self.local.record.damage)
        announce(self.journal, changes, loaded)
        self.controller.poke(*self.controller.pools, *{name.pool for name in self.engine.lives})
        self.controller.turn()
        if self._has("deploys") and self.local is not None:
            self.deploys.resume()

    async def begin_supervised(self) -> None:
        """As `begin`, for processes that supervisord keeps alive. Raises QueuepoolError when it does not answer."""
        assert not isinstance(self.engine, LocalEngine)
        await self.engine.begin()
        self.engine.link.check()
        self.controller.poke(*self.controller.pools, *{name.pool for name in self.engine.lives})
        self.controller.turn()
        self.engine.run()
        if self._has("deploys"):
            self.deploys.resume()

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Answer on the control socket, and look at the queues."""
        self._listener = listener
        if self.local is not None:
            await self.local.idle()
        await self.serving.begin(listener)
        self.spawn(self._look())
        self.serving.follow()
        await self.serving.listened()
        await asyncio.sleep(0)
        self.notifier.tell(
            "READY=1", f"MAINPID={os.getpid()}", f"STATUS={count(len(self.controller.pools), 'program')}"
        )
        if self.notifier.watchdog_seconds:
            self._feed_watchdog()
        ready()

    async def end(self, listener: socket.socket) -> None:
        """Let go of everything. Workers that still live are left to the next daemon."""
        if self._has("deploys"):
            await self.deploys.close()
        await self.watch.close()
        if self._has("requeuer"):
            await self.requeuer.close()
        await self.telling.close()
        await self.serving.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._has("insight"):
            await self.insight.close()
        with contextlib.suppress(OSError):
            os.unlink(self.directory.socket)
        listener.close()
        self.pump.close()
        self._joiner.finish()
        await self.engine.close()
        self.log.close()

    def load(self) -> Loaded:
        """The file anew. Raises ConfigError."""
        loaded = read(self.directory.config)
        if loaded.engine != self._engine:
            raise ConfigError(
                f"cannot use {loaded.path}: its `engine` changed, and a daemon keeps the one that it began with",
                hint="`queuepool down`, then `queuepool up`; or put `engine` back",
            )
        return loaded

    async def shutdown(self, hurry: bool) -> None:
        """Drain and stop everything, then end."""
        if self.state == "RUNNING":
            self.state = "STOPPING"
            self.journal.add(Kind.DAEMON_STOPPING, "", {"pid": os.getpid()})
            self.engine.tell(daemon_notice(stopping=True))
            self.notifier.tell("STOPPING=1", "STATUS=waiting for running jobs")
            self.spawn(self._drain())
        if hurry:
            for name in self.controller.alive():
                self.engine.kill(name, "killed, since the daemon was told to hurry")
        await self.controller.until(lambda: not self.controller.alive())

    async def _drain(self) -> None:
        await self.controller.drain()
        self.store.end()
        if not isinstance(self.engine, LocalEngine):
            await self.engine.take_out()
            self.settings.forget()
        if not self.ended.done():
            self.ended.set_result(0)

    async def upgrade(self) -> dict[str, Any]:
        """Replace the running code by what is installed now; refused when that does not even start, or when it would
        find a file that it cannot use. Raises ConfigError, QueuepoolError."""
        await asyncio.to_thread(read, self.directory.config)
        version = await asyncio.to_thread(version_on_disk)
        self.journal.add(Kind.DAEMON_UPGRADING, "", {"was": __version__, "now": version})
        self.state = "UPGRADING"
        self.notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._loop.call_later(0.1, self._exec)  # the answer goes out first
        return {"pid": os.getpid(), "version": version}

    def _exec(self) -> None:
        assert self._listener is not None
        if self.local is not None:
            self.local.listeners.hand_on(self.directory.events)
        self.pump.close()
        self._joiner.finish()
        self.telling.save()
        lives = self.local.lives.values() if self.local is not None else ()
        pipes = to_hold([fd for each in lives for life in each for fd in life.fds])
        listener = self._listener.fileno()
        replace_process(self.directory.config, self._lock, listener, pipes, detached=not self._foreground)

    def reopen(self) -> int:
        """Open all log files anew."""
        self.log.close()
        return self.pump.reopen() + 1

    # --- signals ------------------------------------------------------------------------------------------------------

    def _obey_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            obey(self._loop, number, self._told_to_end)
        obey(self._loop, signal.SIGHUP, lambda: self.spawn(self._update()))
        obey(self._loop, signal.SIGUSR2, self.reopen)
        obey(self._loop, signal.SIGUSR1, lambda: None)  # its default would end the daemon
        if self.local is not None:
            obey(self._loop, signal.SIGCHLD, self.local.endings.children_ended, together=True)
        let_in()

    def _told_to_end(self) -> None:
        """The first signal drains, the second does not wait for jobs. What supervisord keeps alive goes on."""
        if self.local is None:
            self.state = "STOPPING"
            if not self.ended.done():
                self.ended.set_result(0)
            return
        self._signals += 1
        self.spawn(self.shutdown(hurry=self._signals > 1))

    async def _update(self) -> None:
        try:
            loaded = await asyncio.to_thread(self.load)
        except ConfigError as error:
            announce_refusal(self.journal, error)
            return
        if self.deploys.under_way:
            self.journal.add(Kind.CONFIG_REFUSED, "", {"reason": "SIGHUP: a deploy is under way"})
            return
        self.deploys.lift(None)
        announce(self.journal, self.controller.use(loaded), loaded)

    def _feed_watchdog(self) -> None:
        self.notifier.alive()
        self._loop.call_later(self.notifier.watchdog_seconds, self._feed_watchdog)

    # --- what the parts are told --------------------------------------------------------------------------------------

    def snapshot(self, names: tuple[str, ...], *, usage: bool = True) -> Snapshot:
        """The processes that `names` select, all without names; with memory and processor time where there are not too
        many. Raises UsageError."""
        programs, processes = self.controller.views(
            usage=usage and (self.local is None or len(self.local.endings.by_pid) <= 100)
        )
        programs, processes = self._with_horizon(programs, processes)
        view = DaemonView(
            pid=os.getpid(),
            version=__version__,
            config=self.directory.config,
            socket=self.directory.socket,
            state=self.state,
            started_at=self.started_at,
            problems=(
                *self.controller.loaded.problems,
                *self.problems.values(),
                *self.insight.monitor.away.values(),
                *self.telling.problems(),
                *(() if isinstance(self.engine, LocalEngine) else self.engine.problems),
            ),
            log=self.directory.log,
            engine=self.controller.loaded.engine.type,
        )
        if names:
            from queuepool.control import operations

            programs, processes = operations.chosen(self.controller, names, programs, processes)
        return Snapshot(view, tuple(programs), tuple(processes))

    def _with_horizon(
        self, programs: list[ProgramView], processes: list[ProcessView]
    ) -> tuple[list[ProgramView], list[ProcessView]]:
        """The views with what Horizon says of itself; one that artisan paused is shown as paused."""
        horizons = self.insight.horizons
        shown = {view.name: seen for view in programs if horizons and (seen := horizons.of(view.name))}
        if not shown:
            return programs, processes
        paused = {pid for seen in shown.values() for pid in seen.paused}
        return (
            [replace(view, horizon=shown[view.name].json) if view.name in shown else view for view in programs],
            [replace(view, paused=True) if view.pid in paused else view for view in processes],
        )

    def _log_trouble(self, trouble: Trouble) -> None:
        asked = f"{trouble.doing} {trouble.path}"
        fields: dict[str, Any] = {"file": trouble.path} | ({} if trouble.doing == "write" else {"doing": trouble.doing})
        if trouble.over:
            self.problems.pop(asked, None)
            self.journal.add(Kind.LOG_WELL, "", fields | {"dropped": trouble.dropped})
        else:
            reason = trouble.what + (f" ({trouble.hint})" if trouble.hint else "")
            self.problems[asked] = f"cannot {asked}: {reason}"
            self.journal.add(Kind.LOG_TROUBLE, "", fields | {"reason": reason})

    def complain(self, text: str) -> None:
        """A file of the daemon's own cannot be used, as `text` says."""
        self.problems[text] = text
        self.journal.add(Kind.STATE_TROUBLE, "", {"reason": text})

    def recovered(self, text: str, path: str) -> None:
        """`text` is true no more: the file can be saved again."""
        self.problems.pop(text, None)
        self.journal.add(Kind.STATE_WELL, "", {"file": path})

    def defect(self, error: BaseException) -> None:
        """Write down an exception that nobody foresaw; the daemon goes on."""
        text = "".join(traceback.format_exception(error))
        self.journal.add(Kind.DEFECT, "", {"defect": f"{type(error).__name__}: {error}", "traceback": text[-4000:]})

    def _echo_event(self, event: Event) -> None:
        if self._echo:
            self._joiner.finish(event.subject)  # what it printed comes before what became of it
            self._echo("", event.kind.value, event.sentence().encode())

    def _echo_lines(self, key: Hashable, label: str, chunk: bytes) -> None:
        if self._echo and not (self.local is not None and self.local.listeners.speaks(key)):
            self._joiner(key, label, chunk)

    def _used(self) -> None:
        """Settings came into force: applications, and the Redis they need, may be others."""
        if self.local is None:
            self.spawn(asyncio.to_thread(lambda: self.settings.save(self.controller.pools)))
        if self._has("insight"):
            self.insight.used()
        self.serving.follow()
        self.telling.follow()

    def _suspect(self, pool: str) -> None:
        spec = self.controller.pools.get(pool)
        if spec and spec.app and spec.artisan:
            self.watch.suspect(pool)

    def _block(self, pool: str, what: str) -> None:
        self.engine.block(pool, what)

    def _looked(self) -> None:
        """The queues were looked at."""
        self.refusals.look(self.insight.monitor.away, self.watch.away)
        self.telling.looked()
        self.engine.wait(self.insight.patience())

    def supervisord_is_ill(self) -> bool:
        """Whether the one that keeps the processes alive, if any, does not do as it should."""
        return not isinstance(self.engine, LocalEngine) and self.engine.trouble is not None

    def away(self) -> set[str]:
        """The Redis servers that cannot be used."""
        return {*self.watch.away, *(self.insight.monitor.away if self._has("insight") else ())}

    async def _look(self) -> None:
        """Look at the queues for as long as the daemon runs. A defect there must not end it for good."""
        if self.local is not None:
            await self.local.booted(BOOTS_FIRST_SECONDS)
        while True:
            try:
                await asyncio.to_thread(import_reader)
                await self.insight.run(self._looked)
            except Exception as error:  # noqa: BLE001 - said in the log, and tried again
                self.defect(error)
            await asyncio.sleep(10.0)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have this done beside all else; what goes wrong in it is a defect."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.defect(error)


def _raise_descriptors(processes: int) -> None:
    """Four descriptors per process, and room for growth; the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 8 * processes + 1024
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
