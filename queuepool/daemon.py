"""Composition root: builds every part of the daemon, wires them, obeys signals, and knows the order of start and end.
What the parts do is theirs; detaching from a terminal is cli/detach.py's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Hashable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from queuepool import __version__
from queuepool.config.load import load
from queuepool.controller.controller import Controller, announce
from queuepool.controller.journal import Fact, Journal, LogFile
from queuepool.controller.overrides import OverrideStore
from queuepool.controller.versions import unsupported
from queuepool.controller.watches import RedisWatch, Refusals, Target
from queuepool.domain.events import Event, Kind
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot
from queuepool.domain.pool import Loaded
from queuepool.engines.adoption import adopt
from queuepool.engines.local import LocalEngine
from queuepool.engines.record import Record
from queuepool.errors import ConfigError, QueuepoolError
from queuepool.logs.pump import Pump
from queuepool.logs.rotating import Trouble
from queuepool.system import children, commands, procstat
from queuepool.system.notify import Notifier, kept
from queuepool.system.rundir import DEPLOY, RunDirectory

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from queuepool.control.api import OtherFace
    from queuepool.control.listener import Listener, MakeApp, WebOf
    from queuepool.control.server import ControlServer
    from queuepool.controller.deploys import Deploys
    from queuepool.controller.insight import Insight
    from queuepool.controller.requeuer import Requeuer

UPGRADE = "QUEUEPOOL_UPGRADE"
"""Set across an exec in place: a JSON object with the descriptors that were passed on."""

LISTEN_SECONDS = 5.0
"""How long a start, or an update, waits for the TCP listener; a name that must be looked up may take longer."""

Echo = Callable[[object, str, bytes], None]
T = TypeVar("T")


def run(
    config_path: str,
    *,
    foreground: bool,
    ready: Callable[[], None] = lambda: None,
    echo: Echo | None = None,
    approve: Callable[[Loaded], None] = lambda loaded: None,
) -> int:
    """Be the daemon of a queuepool.yml until it is told to end; its exit code.

    foreground: the caller's terminal is still there. ready: called once when the control socket answers. echo(name,
    stream, line): called with every line that a worker prints (name `laravel-worker:3`, stream "out") and with every
    event (name "", stream "event"). approve: sees what was read before anything is made or started, and may raise; it
    is not asked where this process takes over from itself. Raises QueuepoolError when it cannot start: ConfigError,
    Locked, ...
    """
    loaded = read(config_path)
    children.keep_descriptors_in()
    directory = RunDirectory(config_path)
    passed = json.loads(os.environ.pop(UPGRADE, "null"))
    if passed:
        lock = int(passed["lock"])
        os.set_inheritable(lock, False)
        directory.sign(lock)
    else:
        approve(loaded)
        directory.make()
        lock = directory.acquire()
    try:
        return asyncio.run(_main(loaded, directory, lock, passed, foreground, ready, echo))
    finally:
        os.close(lock)


def read(config_path: str) -> Loaded:
    """The file, with what the installed Laravel does not know among its problems: the other programs shall run."""
    loaded = load(config_path, os.environ)
    return replace(loaded, problems=(*loaded.problems, *unsupported(loaded.pools)))


async def _main(
    loaded: Loaded,
    directory: RunDirectory,
    lock: int,
    passed: dict[str, Any] | None,
    foreground: bool,
    ready: Callable[[], None],
    echo: Echo | None,
) -> int:
    daemon = Daemon(loaded, directory, lock, foreground=foreground, echo=echo)
    listener = _listen(directory, passed)
    try:
        daemon.begin(upgraded=passed is not None)
        await daemon.serve(listener, ready)
        return await daemon.ended
    finally:
        await daemon.end(listener)


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
        self._listener: socket.socket | None = None
        self._foreground = foreground
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._signals = 0
        self._server: ControlServer | None = None
        self._http: Listener | None = None
        self._make_app: MakeApp | None = None
        self._listening: asyncio.Task[None] | None = None
        self.notifier = Notifier()
        self.journal = Journal()
        self.log = LogFile(directory.log)
        self.journal.listeners.append(self.log)
        self.pump = Pump(self._log_trouble, spool_directory=directory.spool)
        if echo is not None:
            self.journal.listeners.append(self._echo_event)
            if getattr(echo, "workers", True):  # not where systemd's journal would get them all
                self.pump.subscribe(self._echo_lines)
        self.store = OverrideStore(directory.overrides, self._complain)
        self.watch = RedisWatch(self._redis_of, _ping, lambda: list(self.controller.pools), self._block, self.journal)
        self.refusals = Refusals(self.journal)
        self.engine = LocalEngine(
            directory,
            self.pump,
            Record(directory.record, procstat.boot_id()),
            publish=self.journal.add,
            changed=lambda pool, number: self.controller.noticed(pool, number),
            failed=self._suspect,
            crashed=lambda *death: self.requeuer.crashed(*death),
            keep=self.notifier.keep,
            unkeep=self.notifier.unkeep,
        )
        self.engine.environment = {
            "QUEUEPOOL_CONFIG": loaded.path,
            "SUPERVISOR_SERVER_URL": f"unix://{directory.socket}",
        }
        self.controller = Controller(self.engine, self.store, self.journal, loaded, used=self._used)

    # The code of these three takes longer to load than a hundred starts; it is loaded when it is needed, or after them.

    @cached_property
    def insight(self) -> Insight:
        """What is known of applications, queues and Redis."""
        from queuepool.controller.insight import Insight

        insight = Insight(lambda: self.controller.pools, engine=lambda: self.engine, troubled=self._suspect)
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
            lambda job: self.engine.board.working(job),
            self.journal,
        )

    @cached_property
    def deploys(self) -> Deploys:
        """The deploy that goes on, or the last one."""
        from queuepool.controller.deploys import Deploys

        return Deploys(
            self.controller, self.directory.state, commands.run, away=self.watch.blame, complain=self._complain
        )

    def _has(self, part: str) -> bool:
        """Whether one of those was needed yet."""
        return part in vars(self)

    # --- start and end ------------------------------------------------------------------------------------------------

    def begin(self, *, upgraded: bool) -> None:
        """Take over what a former daemon left, and start what is missing."""
        loaded = self.controller.loaded
        facts: dict[str, Fact] = {
            "pid": os.getpid(),
            "version": __version__,
            "file": loaded.path,
            "upgraded": upgraded or None,
        }
        self.journal.add(Kind.DAEMON_STARTED, "", facts)
        children.become_subreaper()
        _raise_descriptors(sum(pool.numprocs for pool in loaded.pools.values()))
        self._obey_signals()
        changes = self.controller.use(loaded)
        if os.path.exists(os.path.join(self.directory.state, DEPLOY)):
            self.deploys.restore()
        held = kept()
        adopt(self.engine)
        for fd in held:
            with contextlib.suppress(OSError):
                os.close(fd)
        if self.engine.record.damage:
            self._complain(self.engine.record.damage)
        announce(self.journal, changes, loaded)
        for problem in loaded.problems:
            self.journal.add(Kind.CONFIG_APPLIED, "", {"problem": problem})
        self.controller.poke(*self.controller.pools, *{name.pool for name in self.engine.lives})
        self.controller.turn()
        if self._has("deploys"):
            self.deploys.resume()

    async def serve(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Answer on the control socket, and look at the queues."""
        self._listener = listener
        await self.engine.idle()
        api, operations, server, visiting, xmlrpc = await asyncio.to_thread(_import_the_rest)
        operator = operations.Operator(
            self.controller,
            self.insight,
            load=lambda: read(self.directory.config),
            shutdown=self.shutdown,
            upgrade=self.upgrade,
            reopen=self.reopen,
            deploys=self.deploys,
            listen=self._listened,
        )

        def faces() -> list[OtherFace]:
            """What is served beside the JSON API, on the unix socket and, as objects of their own, on TCP."""
            return [xmlrpc.XmlRpc(operator, self.directory.log, self._defect)]

        def build(others: list[OtherFace]) -> Starlette:
            events = self.journal.stream
            app: Starlette = api.build_app(operator, operations.OPERATIONS, self.snapshot, events, self._defect, others)
            return app

        app = build(faces())
        unix = visiting.FromUnixSocket(app)
        self._server = server.ControlServer(unix, listener, end_streams=app.state.end_streams)
        self._spawn(self._server.serve())

        def for_browsers(web_of: WebOf) -> Starlette:
            from queuepool.control.dashboard import Dashboard

            page = Dashboard(
                operator,
                lambda: self.snapshot((), usage=False),
                subscribe=lambda hear: self.pump.subscribe(hear, prompt=False),
                config=self.directory.config,
                birth=self.started_at,
                on_defect=self._defect,
            )
            others = [*faces(), page]
            app = build([*others, web_of(others)])
            gc.freeze()  # what there is now stays: else each full collection holds up the loop, 60 ms at 500 processes
            return app

        self._make_app = for_browsers
        self._spawn(self._look())
        self._follow_http()
        await self._listened()
        await asyncio.sleep(0)
        self.notifier.tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={len(self.controller.pools)} programs")
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
        ends = [self._http.close()] if self._http else []
        if self._server:
            ends.append(self._server.stop(grace=2.0))
        await asyncio.gather(*ends)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._has("insight"):
            await self.insight.close()
        with contextlib.suppress(OSError):
            os.unlink(self.directory.socket)
        listener.close()
        self.pump.close()
        await self.engine.close()
        self.log.close()

    async def shutdown(self, hurry: bool) -> None:
        """Drain and stop everything, then end."""
        if self.state == "RUNNING":
            self.state = "STOPPING"
            self.journal.add(Kind.DAEMON_STOPPING, "", {"pid": os.getpid()})
            self.notifier.tell("STOPPING=1", "STATUS=waiting for running jobs")
            self._spawn(self._drain())
        if hurry:
            for name in self.controller.alive():
                self.engine.kill(name, "the daemon was told to hurry")
        await self.controller.until(lambda: not self.controller.alive())

    async def _drain(self) -> None:
        await self.controller.drain()
        self.store.end()
        if not self.ended.done():
            self.ended.set_result(0)

    async def upgrade(self) -> dict[str, Any]:
        """Replace the running code by what is installed now; refused when that does not even start, or when it would
        find a file that it cannot use. Raises ConfigError, QueuepoolError."""
        await asyncio.to_thread(read, self.directory.config)
        version = await asyncio.to_thread(_version_on_disk)
        self.journal.add(Kind.DAEMON_UPGRADING, "", {"was": __version__, "now": version})
        self.state = "UPGRADING"
        self.notifier.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._loop.call_later(0.1, self._exec)  # the answer goes out first
        return {"pid": os.getpid(), "version": version}

    def _exec(self) -> None:
        assert self._listener is not None
        self.pump.close()
        for fd in (self._lock, self._listener.fileno()):
            os.set_inheritable(fd, True)
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # one that comes now is lost, instead of ending the daemon
        os.environ[UPGRADE] = json.dumps(
            {"lock": self._lock, "socket": self._listener.fileno(), "detached": not self._foreground}
        )
        os.environ["QUEUEPOOL_CONFIG"] = self.directory.config
        os.chdir("/")
        os.execv(sys.executable, [sys.executable, "-m", "queuepool", "-c", self.directory.config, "up"])  # noqa: S606

    def reopen(self) -> int:
        """Open all log files anew."""
        self.log.close()
        return self.pump.reopen() + 1

    # --- signals ------------------------------------------------------------------------------------------------------

    def _obey_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._on(number, self._told_to_end)
        self._on(signal.SIGHUP, lambda: self._spawn(self._update()))
        self._on(signal.SIGUSR2, self.reopen)
        self._on(signal.SIGUSR1, lambda: None)  # its default would end the daemon
        self._on(signal.SIGCHLD, self.engine.endings.children_ended, together=True)

    def _on(self, number: signal.Signals, act: Callable[[], object], *, together: bool = False) -> None:
        """Let `act` follow a signal, in the loop. together: once for all that come before it does.

        Not loop.add_signal_handler: that passes signals through a socket, and when hundreds of children end in one turn
        of the loop their SIGCHLDs fill it, so that a SIGTERM among them would be lost.
        """
        due = False

        def perform() -> None:
            nonlocal due
            due = False
            act()

        def handler(*_: object) -> None:
            nonlocal due
            if not (together and due):
                due = True
                with contextlib.suppress(RuntimeError):  # the loop is closed: too late for anything
                    self._loop.call_soon_threadsafe(perform)

        signal.signal(number, handler)

    def _told_to_end(self) -> None:
        """The first signal drains, the second does not wait for jobs."""
        self._signals += 1
        self._spawn(self.shutdown(hurry=self._signals > 1))

    async def _update(self) -> None:
        try:
            loaded = await asyncio.to_thread(read, self.directory.config)
        except ConfigError as error:
            for problem in error.problems or (str(error),):
                self.journal.add(Kind.CONFIG_REFUSED, "", {"reason": problem})
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
        programs, processes = self.controller.views(usage=usage and len(self.engine.endings.by_pid) <= 100)
        programs, processes = self._with_horizon(programs, processes)
        view = DaemonView(
            pid=os.getpid(),
            version=__version__,
            config=self.directory.config,
            socket=self.directory.socket,
            state=self.state,
            started_at=self.started_at,
            problems=(*self.controller.loaded.problems, *self.problems.values(), *self.insight.monitor.away.values()),
            log=self.directory.log,
        )
        if names:
            from queuepool.control import operations

            chosen = set(map(str, operations.selected(self.controller, names)))
            processes = [process for process in processes if process.name in chosen]
            pools = {process.program for process in processes} | set(names)
            programs = [program for program in programs if program.name in pools]
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
        if trouble.over:
            self.problems.pop(trouble.path, None)
            self.journal.add(Kind.LOG_WELL, "", {"file": trouble.path, "dropped": trouble.dropped})
        else:
            self.problems[trouble.path] = f"cannot write {trouble.path}: {trouble.what}"
            self.journal.add(Kind.LOG_TROUBLE, "", {"file": trouble.path, "reason": trouble.what})

    def _complain(self, text: str) -> None:
        self.problems[text] = text
        self.journal.add(Kind.CONFIG_REFUSED, "", {"reason": text})

    def _defect(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        self.journal.add(Kind.OPERATION, "", {"defect": f"{type(error).__name__}: {error}", "traceback": text[-4000:]})

    def _echo_event(self, event: Event) -> None:
        if self._echo:
            self._echo("", "event", event.sentence().encode())

    def _echo_lines(self, key: Hashable, label: str, chunk: bytes) -> None:
        if self._echo:
            for line in chunk.splitlines():
                self._echo(label, "out", line)

    def _used(self) -> None:
        """Settings came into force: applications, and the Redis they need, may be others."""
        self.watch.forget()
        if self._has("insight"):
            self.insight.used()
        self._follow_http()

    def _follow_http(self) -> None:
        """Bring what `http:` says into being. Nothing of it is loaded for a file that has no such section."""
        if self._make_app is not None and (self._http is not None or self.controller.loaded.http is not None):
            self._listening = self._spawn(self._use_http(self._make_app))

    async def _listened(self) -> str:
        """What is wrong with `http:`, once it has been followed, or soon."""
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=LISTEN_SECONDS)
        return self.problems.get("http", "")

    async def _use_http(self, make_app: MakeApp) -> None:
        if self._http is None:
            listener = await asyncio.to_thread(_import_listener)
            self._http = self._http or listener.Listener(make_app, self.journal.add, self._http_problem, self._defect)
        await self._http.use(self.controller.loaded.http)

    def _http_problem(self, text: str) -> None:
        self.problems.pop("http", None)
        if text:
            self.problems["http"] = text

    def _suspect(self, pool: str) -> None:
        spec = self.controller.pools.get(pool)
        if spec and spec.app and spec.kind != "command":
            self.watch.suspect(pool)

    def _block(self, pool: str, what: str) -> None:
        self.engine.block(pool, what)

    async def _redis_of(self, pool: str) -> Iterable[Target]:
        """The Redis servers that a pool's workers cannot do without: their queue's and their cache's."""
        spec = self.controller.pools.get(pool)
        config = await self.insight.applications.of(spec) if spec else None
        if spec is None or config is None:
            return ()
        found = (config.redis_of(spec.connection), config.cache_redis())
        return tuple(dict.fromkeys(target for target in found if target))

    def _looked(self) -> None:
        """The queues were looked at."""
        self.refusals.look(self.insight.monitor.away, self.watch.away)
        self.engine.wait(self.insight.patience())

    async def _look(self) -> None:
        """Look at the queues for as long as the daemon runs. A defect there must not end it for good."""
        while True:
            try:
                await self.insight.run(self._looked)
            except Exception as error:  # noqa: BLE001 - said in the log, and tried again
                self._defect(error)
            await asyncio.sleep(10.0)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._defect(error)


async def _ping(target: Any) -> str | None:
    from queuepool.laravel.ping import ping

    return await ping(target)


def _import_listener() -> Any:
    import queuepool.control.dashboard  # noqa: F401 - loaded, for later
    from queuepool.control import listener

    return listener


def _import_the_rest() -> tuple[Any, Any, Any, Any, Any]:
    """The server's code, and that of the parts that it asks."""
    import queuepool.controller.deploys
    import queuepool.controller.insight
    import queuepool.controller.requeuer  # noqa: F401 - loaded, for later
    from queuepool.control import api, operations, server, visiting, xmlrpc

    return api, operations, server, visiting, xmlrpc


def _listen(directory: RunDirectory, passed: dict[str, Any] | None) -> socket.socket:
    """The listening control socket: passed on by exec, or bound anew, taking the place of a stale one (we hold the
    lock, so nobody listens there)."""
    if passed:
        sock = socket.socket(fileno=int(passed["socket"]))
        sock.set_inheritable(False)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory.socket)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(directory.socket)
        finally:
            os.umask(before)
        sock.listen(128)
    sock.setblocking(False)
    return sock


def _raise_descriptors(processes: int) -> None:
    """Four descriptors per process, and room for growth; the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 8 * processes + 1024
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _version_on_disk() -> str:
    """The version of the code that an exec would run. Raises QueuepoolError when it does not start."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import queuepool.daemon, queuepool.cli.main; print(queuepool.__version__)"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueuepoolError(f"cannot upgrade: {error}", "the running daemon goes on as it is") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
        raise QueuepoolError(
            f"cannot upgrade: the installed queuepool does not start: {last}",
            "mend the installation (`pip install -U laravel-queuepool`); the running daemon goes on as it is",
        )
    return done.stdout.strip()
