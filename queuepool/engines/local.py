"""Our own children: performs what lifecycle.step asks for. How many there should be is the controller's matter, what a
former daemon left behind is adoption.py's, and the bytes that they print go through logs/pump.py."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from queuepool.domain import lifecycle
from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import LogPolicy, PoolSpec, ProcessSpec
from queuepool.domain.reconcile import Action, Begin, Observed, Seen
from queuepool.domain.states import State
from queuepool.engines.pacer import LOOK_SECONDS, Pacer
from queuepool.engines.record import Entry, Record
from queuepool.errors import SpawnError
from queuepool.logs.pump import Pump
from queuepool.system import children, procstat
from queuepool.system.rundir import RunDirectory

SPAWNS_PER_TURN = 32
"""Starts in one turn of the loop, so that the control socket answers while hundreds start."""
SWEEP_SECONDS = 0.05
ZOMBIE_SECONDS = 1.0
EXIT_LOOKS = (0.001, 0.005, 0.02, 0.1)
"""When to look again for the exit status of an adopted process: its parent has to reap it first."""


@dataclass(slots=True, eq=False)
class Life:
    """One life of a slot: a lifecycle, and what the operating system knows it by."""

    name: ProcessName
    number: int
    spec: ProcessSpec
    revision: Revision
    process: lifecycle.Process = field(default_factory=lifecycle.Process)
    attached: bool = False
    """Whether the pump reads from it."""
    fds: tuple[int, ...] = ()
    """Our ends of its FIFOs: stdout, and stderr where that goes elsewhere."""
    pipes: tuple[str, ...] = ()
    pidfd: int = -1
    release: str | None = None
    started_at: float | None = None
    changed_at: float = 0.0
    adopted: bool = False
    paused: bool = False
    last_lines: tuple[bytes, ...] = ()
    cpu_before: tuple[float, float] = (0.0, 0.0)
    """(clock, processor seconds) of the last look."""

    @property
    def key(self) -> str:
        """Names the life in records, FIFOs and the pump."""
        return f"{self.name.pool}.{self.name.slot}.{self.number}"


class LocalEngine:
    """The Engine of `engine: local`.

    publish(kind, subject, facts): a journal event. changed(pool): the pool may need the controller. failed(pool): a
    process of the pool ended badly, so what it depends on is worth a look. keep(name, fd), unkeep(name): let somebody
    who outlives the daemon hold a pipe too.
    """

    def __init__(
        self,
        run: RunDirectory,
        pump: Pump,
        record: Record,
        *,
        publish: Callable[[Kind, str, Mapping[str, str | int | float | bool | None]], object],
        changed: Callable[[str], None],
        failed: Callable[[str], None] = lambda pool: None,
        keep: Callable[[str, int], None] = lambda name, fd: None,
        unkeep: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
        pacer: Pacer | None = None,
    ) -> None:
        self.run = run
        self.pump = pump
        self.record = record
        self.pools: dict[str, PoolSpec] = {}
        self.lives: dict[ProcessName, list[Life]] = {}
        self.slots: dict[str, dict[ProcessName, list[Life]]] = {}
        """The same lists by pool: with thousands of programs nobody is to walk through all of them for one."""
        self.by_pid: dict[int, Life] = {}
        self.next_number = 1
        self.environment: dict[str, str] = {}
        self._publish = publish
        self._changed = changed
        self._failed = failed
        self._keep = keep
        self._unkeep = unkeep
        self.clock = clock
        self._loop = asyncio.get_running_loop()
        self._pacer = pacer or Pacer(procstat.appetite, clock)
        self._queue: deque[Life] = deque()
        self._paced: deque[Life] = deque()
        self._spawning = False
        self._pacing = False
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._heap: list[tuple[float, int, Life]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._blocked: dict[str, str] = {}
        self._sweeps: dict[int, int] = {}
        self._sweeping = False
        self._zombie = (0, 0.0)
        self._closed = False
        self._limits = False

    # --- the Engine protocol ------------------------------------------------------------------------------------------

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """See Engine.know."""
        self.pools = dict(pools)
        for name, lives in self.lives.items():
            if pool := self.pools.get(name.pool):
                spec = pool.process(name.slot)
                for life in lives:
                    self._respec(life, spec)
        if any(pool.process(0).policy.memory_limit for pool in self.pools.values()) and not self._limits:
            self._limits = True
            self._loop.call_later(5.0, self._watch_memory)

    def _respec(self, life: Life, spec: ProcessSpec) -> None:
        before, launch = life.spec, life.spec.launch
        life.spec = replace(spec, launch=launch)  # the launch is what it was started with, until it is replaced
        for stream, (old, new) in enumerate(((before.stdout, spec.stdout), (before.stderr, spec.stderr))):
            if stream < len(life.fds) and new is not None and old != new and life.attached:
                self.pump.repolicy((life.key, stream), new)
        if life.process.state is State.STOPPING and before.policy.stop_seconds != spec.policy.stop_seconds:
            moved = (life.process.deadline or 0.0) + spec.policy.stop_seconds - before.policy.stop_seconds
            life.process = replace(life.process, deadline=moved)
            self.arm(life)

    def observe(self, pool: str) -> Observed:
        """See Engine.observe."""
        return {
            name: [Seen(life.number, life.revision, life.process.state, life.process.wanted) for life in lives]
            for name, lives in self.slots.get(pool, {}).items()
        }

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """See Engine.apply."""
        for action in actions:
            if isinstance(action, Begin):
                self.begin(action.name, revisions[action.name])
            elif life := self.find(action.name, action.life):
                self.handle(life, lifecycle.Stop(action.why))

    def views(self, *, usage: bool = False) -> list[ProcessView]:
        """See Engine.views."""
        now, wall = self.clock(), time.time()
        return [self._view(life, now, wall, usage) for lives in self.lives.values() for life in lives]

    async def spawned(self) -> None:
        """Returns when no start that needs no pacing is queued."""
        if self._spawning:
            waiter = self._loop.create_future()
            self._idle_waiters.append(waiter)
            await waiter

    async def close(self) -> None:
        """See Engine.close."""
        self._closed = True
        if self._alarm:
            self._alarm.cancel()
        for lives in self.lives.values():
            for life in lives:
                self._unwatch(life)
                self._close_fds(life)
        self.record.close()

    # --- lives --------------------------------------------------------------------------------------------------------

    def find(self, name: ProcessName, number: int) -> Life | None:
        """The life of a slot with that number."""
        return next((life for life in self.lives.get(name, ()) if life.number == number), None)

    def place(self, name: ProcessName) -> list[Life]:
        """The lives of a slot, oldest first; a place for them is made when there is none."""
        return self.lives.setdefault(name, self.slots.setdefault(name.pool, {}).setdefault(name, []))

    def begin(self, name: ProcessName, revision: Revision) -> Life:
        """Start a new life in a slot, beside what is there; ended lives of the slot are forgotten."""
        lives = self.place(name)
        starts = max((life.process.starts for life in lives), default=0)
        lives[:] = [life for life in lives if life.process.state.has_process or life.process.wanted]
        spec = self.pools[name.pool].process(name.slot)
        life = Life(name, self.next_number, spec, revision, changed_at=time.time())
        self.next_number += 1
        life.process = lifecycle.Process(starts=starts, blocked=self._blocked.get(name.pool, ""))
        lives.append(life)
        self.handle(life, lifecycle.Start())
        return life

    def prune(self, pool: str, size: int) -> None:
        """Forget ended lives of slots that the pool no longer has, and all of a pool that is gone (size 0)."""
        for name, lives in [item for item in self.slots.get(pool, {}).items() if item[0].slot >= size]:
            lives[:] = [life for life in lives if life.process.state.has_process or life.process.wanted]
            if not lives:
                del self.lives[name], self.slots[pool][name]

    def handle(self, life: Life, event: lifecycle.Event) -> None:
        """Let something happen to a life, and do what follows."""
        before = life.process
        after, effects = lifecycle.step(before, event, self.clock(), life.spec.policy, random.random())  # noqa: S311
        life.process = after  # stored first: performing an effect may bring the next event
        if after.deadline is not None and after.deadline != before.deadline:
            self.arm(life)
        for effect in effects:
            self._perform(life, effect)
        now = life.process
        if now.state is not before.state or now.wanted is not before.wanted:
            life.changed_at = time.time()
            self._settle(life, before, now)

    def _settle(self, life: Life, before: lifecycle.Process, now: lifecycle.Process) -> None:
        if before.wanted and not now.wanted and now.state is State.STOPPING:
            self.record.change(life.number, retiring=True, kill_at=time.time() + life.spec.policy.stop_seconds)
        if now.state is State.STOPPED and not now.wanted:
            self.forget(life)
        elif now.state in (State.BACKOFF, State.FATAL) and before.state not in (State.BACKOFF, State.FATAL):
            self._failed(life.name.pool)
        self._changed(life.name.pool)

    def forget(self, life: Life) -> None:
        """A life is over for good: give back its pipes, and its place unless it is the last to tell of the slot."""
        self._release_pipes(life)
        self.record.drop(life.number)
        lives = self.lives.get(life.name, [])
        if len(lives) > 1:
            lives.remove(life)

    def _perform(self, life: Life, effect: lifecycle.Effect) -> None:
        match effect:
            case lifecycle.Spawn():
                self._enqueue(life)
            case lifecycle.Send(pid, number, tree):
                (children.signal_tree if tree else children.signal_one)(pid, number)
                if life.paused and number != signal.SIGKILL:  # a stopped or paused process must wake up to end
                    children.signal_one(pid, signal.SIGCONT)
            case lifecycle.Sweep(pid, number):
                self.sweep(life, pid, number)
            case lifecycle.Tell(kind, facts):
                self._publish(Kind(kind), str(life.name), dict(facts))

    # --- starting -----------------------------------------------------------------------------------------------------

    def _enqueue(self, life: Life) -> None:
        if self.pools[life.name.pool].pace and not self._closed:
            self._paced.append(life)
            self._pace()
            return
        self._queue.append(life)
        if not self._spawning:
            self._spawn_some()

    def _spawn_some(self) -> None:
        self._spawning = True
        for _ in range(SPAWNS_PER_TURN):
            if not self._queue:
                self._spawning = False
                while self._idle_waiters:
                    self._idle_waiters.pop().set_result(None)
                return
            self._spawn(self._queue.popleft())
        self._loop.call_soon(self._spawn_some)

    def _pace(self) -> None:
        """Start paced lives while others may boot, and look again while any boots and others wait."""
        while self._paced and self._pacer.free > 0:
            life = self._paced.popleft()
            if self._spawn(life) and life.process.pid is not None:
                self._pacer.began(life, life.process.pid)
        if self._paced and not self._pacing:
            self._pacing = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._pacing = False
        self._pacer.look()
        self._pace()

    def _spawn(self, life: Life) -> bool:
        """Make the process now, if it is still to be made."""
        if self._closed or life.process.state is not State.STARTING or life.process.pid is not None:
            return False
        pool = self.pools.get(life.name.pool)
        if pool is not None:
            fresh = pool.process(life.name.slot)
            if fresh.launch.fingerprint == life.revision.fingerprint:
                life.spec = fresh
        stdout = stderr = -1
        try:
            self._make_pipes(life)
            stdout = os.open(life.pipes[0], os.O_RDWR | os.O_CLOEXEC)
            stderr = os.open(life.pipes[1], os.O_RDWR | os.O_CLOEXEC) if len(life.pipes) > 1 else -1
            life.release = os.path.realpath(pool.app) if pool and pool.app else None
            pid = children.spawn(life.spec.launch, self._names(life), stdout, stderr if stderr >= 0 else None)
        except (SpawnError, OSError) as error:
            why = f"{error}" if isinstance(error, SpawnError) else f"cannot make its pipes: {error}"
            hint = getattr(error, "hint", "")
            self._release_pipes(life)
            self.handle(life, lifecycle.SpawnFailed(f"{why} ({hint})" if hint else why))
            return False
        finally:
            for fd in (stdout, stderr):
                if fd >= 0:
                    os.close(fd)
        self._born(life, pid)
        return True

    def _born(self, life: Life, pid: int) -> None:
        life.started_at = time.time()
        life.adopted = life.paused = False
        self.record.change(
            life.number,
            pid=pid,
            birth=procstat.birth(pid) or "",
            started=life.started_at,
            release=life.release,
            starts=life.process.starts + 1,
            paused=False,
        )
        self.watch(life, pid)
        self.handle(life, lifecycle.Spawned(pid))

    def _names(self, life: Life) -> dict[str, str]:
        group, _, process = life.spec.display.rpartition(":")
        return self.environment | {
            "QUEUEPOOL_PROGRAM": life.name.pool,
            "QUEUEPOOL_PROCESS": str(life.name),
            "QUEUEPOOL_SLOT": str(life.name.slot),
            "SUPERVISOR_ENABLED": "1",
            "SUPERVISOR_PROCESS_NAME": process,
            "SUPERVISOR_GROUP_NAME": group or process,
        }

    def _make_pipes(self, life: Life) -> None:
        """FIFOs that the worker holds open for reading and writing: it is its own reader, so that it neither breaks
        nor loses a line while no daemon is there. See docs/adr/0001-adoption.md."""
        separate = not life.spec.launch.redirect_stderr
        if not life.fds:
            who = children.identity(life.spec.launch.user, life.spec.launch.group, life.spec.launch.groups)
            ends = ("out", "err") if separate else ("out",)
            paths = [os.path.join(self.run.pipes, f"{life.key}.{end}") for end in ends]
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                os.mkfifo(path, 0o600)
                if who.uid is not None:
                    os.chown(path, who.uid, -1)  # for programs that open /dev/stdout by name
            life.pipes = tuple(paths)
            life.fds = tuple(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for path in paths)
        self.record.put(
            Entry(
                name=str(life.name),
                life=life.number,
                pipe=life.pipes[0],
                err=life.pipes[1] if separate else None,
                fingerprint=life.revision.fingerprint,
                serial=life.revision.serial,
                starts=life.process.starts,
                stop_seconds=life.spec.policy.stop_seconds,
                log=life.spec.stdout.path,
            )
        )
        self.attach(life)

    def attach(self, life: Life, *, adopted: bool = False) -> None:
        """Let the pump read what the life prints. adopted: a former daemon had begun to."""
        policies: Iterable[LogPolicy | None] = (life.spec.stdout, life.spec.stderr)
        for stream, (fd, policy) in enumerate(zip(life.fds, policies, strict=False)):
            self.pump.attach((life.key, stream), str(life.name), fd, policy or life.spec.stdout, adopted=adopted)
            self._keep(f"{life.key}.{stream}", fd)
        life.attached = True

    def _release_pipes(self, life: Life) -> None:
        self._drain(life)
        for stream in range(len(life.fds)):
            self._unkeep(f"{life.key}.{stream}")
        for path in life.pipes:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._close_fds(life)
        life.pipes = ()

    def _close_fds(self, life: Life) -> None:
        for fd in life.fds:
            os.close(fd)
        life.fds = ()

    # --- ending -------------------------------------------------------------------------------------------------------

    def watch(self, life: Life, pid: int) -> None:
        """Hear of the end of `pid`: by pidfd, else by SIGCHLD (`children_ended`)."""
        self.by_pid[pid] = life
        fd = children.pidfd(pid)
        if fd is None:
            if children.HAS_PIDFD or life.adopted:
                self._loop.call_soon(self._look_for, life, pid)
            return
        life.pidfd = fd
        self._loop.add_reader(fd, self._ended, life, pid, 0)

    def _look_for(self, life: Life, pid: int) -> None:
        """Where no notice comes by itself: an adopted process on a system without pidfd is looked at."""
        if self._closed or self.by_pid.get(pid) is not life:
            return
        if procstat.birth(pid) is None:
            self._ended(life, pid, len(EXIT_LOOKS))
        else:
            self._loop.call_later(0.25, self._look_for, life, pid)

    def _unwatch(self, life: Life) -> None:
        if life.pidfd >= 0:
            self._loop.remove_reader(life.pidfd)
            os.close(life.pidfd)
            life.pidfd = -1

    def _ended(self, life: Life, pid: int, look: int) -> None:
        """A pidfd became readable: `pid` has ended."""
        if self.by_pid.get(pid) is not life:
            return
        try:
            code = children.reap(pid)
            if code is None:
                return
        except ChildProcessError:  # adopted: the kernel tells how it ended before its parent reaps it, or after
            code = procstat.exit_of_zombie(pid)
            if code is None and life.pidfd >= 0:
                code = children.exit_of_stranger(life.pidfd)
            if code is None and look < len(EXIT_LOOKS) and life.pidfd >= 0:
                self._loop.remove_reader(life.pidfd)
                self._loop.call_later(EXIT_LOOKS[look], self._ended, life, pid, look + 1)
                return
        self.exited(life, pid, code)

    def children_ended(self) -> None:
        """SIGCHLD: a child has ended. Own children without pidfd, and orphans of our workers' trees, which come to us
        as subreaper or pid 1."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if found is None:
                break
            pid = found.si_pid
            if life := self.by_pid.get(pid):
                self._ended(life, pid, 0)
            elif self._is_orphan(pid):
                with contextlib.suppress(ChildProcessError):
                    children.reap(pid)
            else:
                break
        if self._sweeps and not self._sweeping:
            self._check_sweeps()

    def _is_orphan(self, pid: int) -> bool:
        """Whether nobody else will reap this zombie: it came from the tree of a worker, or has been waiting for a
        second. A younger one may be a child that a library started and is about to wait for."""
        session = procstat.session(pid)
        if session in self.by_pid or session in self._sweeps:
            return True
        now = self.clock()
        if pid == self._zombie[0] and now - self._zombie[1] >= ZOMBIE_SECONDS:
            return True
        if pid != self._zombie[0]:
            self._zombie = (pid, now)
            self._loop.call_later(ZOMBIE_SECONDS * 1.1, self.children_ended)
        return False

    def exited(self, life: Life, pid: int, code: int | None, rest: bool | None = None) -> None:
        """The leader `pid` has ended and was reaped; code: None where it cannot be known. rest: whether others of its
        tree live; None: look."""
        self._unwatch(life)
        self._pacer.ended(life)
        if rest is None and (rest := children.signal_tree(pid, 0)):
            self.children_ended()  # what is left may be zombies that were orphaned to us a moment ago
            rest = children.signal_tree(pid, 0)
        self.by_pid.pop(pid, None)
        lines: tuple[bytes, ...] = ()
        if not rest:
            lines = self._drain(life)
        self.handle(life, lifecycle.Exited(pid, code, bool(rest), lines))
        if self._paced:
            self._pace()

    def _drain(self, life: Life) -> tuple[bytes, ...]:
        if life.attached:
            life.attached = False
            life.last_lines = ()
            for stream in range(len(life.fds)):
                life.last_lines = self.pump.detach((life.key, stream)) or life.last_lines
        return life.last_lines

    def sweep(self, life: Life, pid: int, number: int) -> None:
        """Signal what is left of a tree whose leader is gone, and hear when nothing is."""
        if not children.signal_tree(pid, number):
            for member in procstat.session_members(pid):
                children.signal_one(member, number)
        self._sweeps[pid] = life.number
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeping = False
        self._check_sweeps()
        if self._sweeps:
            self._sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep_again)

    def _check_sweeps(self) -> None:
        for pid, number in list(self._sweeps.items()):
            if children.signal_tree(pid, 0) or procstat.session_members(pid):
                continue
            del self._sweeps[pid]
            for lives in list(self.lives.values()):
                for life in [life for life in lives if life.number == number]:
                    self._drain(life)
                    self.handle(life, lifecycle.TreeGone(pid))

    # --- time ---------------------------------------------------------------------------------------------------------

    def arm(self, life: Life) -> None:
        """Let the loop wake up at the deadline of the life."""
        deadline = life.process.deadline
        if deadline is None:
            return
        first = self._heap[0][0] if self._heap else float("inf")
        heapq.heappush(self._heap, (deadline, life.number, life))
        if deadline < first:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if self._heap and not self._closed:
            wait = max(0.0, self._heap[0][0] - self.clock())
            self._alarm = self._loop.call_later(wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self.clock()
        while self._heap and self._heap[0][0] <= now:
            deadline, _, life = heapq.heappop(self._heap)
            if life.process.deadline == deadline:
                self.handle(life, lifecycle.Elapsed())
        while self._heap and self._heap[0][2].process.deadline != self._heap[0][0]:
            heapq.heappop(self._heap)  # moved or void: no reason to wake up
        self._set_alarm()

    def _watch_memory(self) -> None:
        """memory_limit: a worker above it is recycled gracefully, also between its own looks (--memory is only looked
        at after a job, and misses the memory of extensions)."""
        if self._closed:
            return
        for life in list(self.by_pid.values()):
            limit = life.spec.policy.memory_limit
            if limit and life.process.state is State.RUNNING and life.process.pid:
                seen = procstat.usage(life.process.pid)
                if seen and seen.rss > limit:
                    why = f"memory_limit: {seen.rss >> 20} MB of {limit >> 20} MB"
                    self._publish(Kind.LIMIT, str(life.name), {"pid": life.process.pid, "reason": why})
                    self.handle(life, lifecycle.Recycle(why))
        if any(pool.process(0).policy.memory_limit for pool in self.pools.values()):
            self._loop.call_later(5.0, self._watch_memory)
        else:
            self._limits = False

    # --- what people ask for ------------------------------------------------------------------------------------------

    def signal(self, name: ProcessName, number: int) -> int:
        """Send a signal to the leaders in a slot; how many got it."""
        sent = 0
        for life in self.lives.get(name, ()):
            if life.process.pid is not None and life.process.wanted and children.signal_one(life.process.pid, number):
                sent += 1
        return sent

    def pause(self, name: ProcessName, paused: bool) -> int:
        """Let the workers of a slot take no jobs (SIGUSR2, Illuminate/Queue/Worker.php), or take them again (SIGCONT);
        how many it concerned."""
        done = self.signal(name, signal.SIGUSR2 if paused else signal.SIGCONT)
        for life in self.lives.get(name, ()):
            if life.process.pid is not None and life.process.wanted:
                life.paused = paused
                self.record.change(life.number, paused=paused)
        return done

    def kill(self, name: ProcessName, why: str) -> None:
        """SIGKILL every process tree of a slot."""
        for life in list(self.lives.get(name, ())):
            self.handle(life, lifecycle.Stop(why, kill=True))

    def block(self, pool: str, what: str) -> None:
        """What the pool depends on is away ("" : is back)."""
        if self._blocked.get(pool, "") == what:
            return
        self._blocked[pool] = what
        for lives in list(self.slots.get(pool, {}).values()):
            for life in list(lives):
                self.handle(life, lifecycle.Blocked(what) if what else lifecycle.Unblocked())

    def retry(self, name: ProcessName) -> None:
        """Start what waits in BACKOFF or FATAL now."""
        for life in self.lives.get(name, ()):
            if life.process.wanted and life.process.state in (State.BACKOFF, State.FATAL, State.EXITED):
                self.handle(life, lifecycle.Start())

    def _view(self, life: Life, now: float, wall: float, usage: bool) -> ProcessView:
        process = life.process
        alive = process.pid is not None
        rss = cpu = None
        if usage and process.pid is not None and (seen := procstat.usage(process.pid)):
            rss = seen.rss
            before, seconds = life.cpu_before if life.cpu_before[0] else (process.started, 0.0)
            cpu = round(max(0.0, seen.cpu - seconds) / max(now - before, 0.01), 3)
            life.cpu_before = (now, seen.cpu)
        reason = process.reason
        if process.state is State.STARTING and process.pid is None:
            reason = "waiting for its turn to boot"
        return ProcessView(
            name=str(life.name),
            display=life.spec.display,
            program=life.name.pool,
            slot=life.name.slot,
            state=process.state.name,
            statecode=process.state.code,
            pid=process.pid,
            started_at=life.started_at if alive else None,
            uptime=round(wall - life.started_at, 1) if alive and life.started_at else None,
            restarts=max(0, process.starts - 1),
            exit_code=process.code,
            reason=reason,
            release=life.release,
            adopted=life.adopted,
            rss=rss,
            cpu=cpu,
            paused=life.paused and alive,
            retiring=not process.wanted and process.state is State.STOPPING,
            wanted=process.wanted,
            log=life.spec.stdout.path,
            last_lines=tuple(line.decode("utf-8", "replace") for line in life.last_lines),
            changed_at=life.changed_at,
        )
