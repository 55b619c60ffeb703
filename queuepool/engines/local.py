"""Our own children: performs what lifecycle.step asks for. How many there should be is the controller's matter, what a
former daemon left behind is adoption.py's, and the bytes that they print go through logs/pump.py."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from queuepool.domain import backoff, lifecycle
from queuepool.domain.command import NO_TERMINAL
from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.exits import SIGKILLED, WAITS
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import Launch, PoolSpec, ProcessSpec
from queuepool.domain.reconcile import Action, Begin
from queuepool.domain.release import at_release
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import Notice, Who, state_notices
from queuepool.domain.supervisor_moves import steps
from queuepool.domain.work import CountsView, Job, Work, WorkView
from queuepool.engines.base import Judge
from queuepool.engines.board import Board
from queuepool.engines.booting import Booting
from queuepool.engines.deadlines import Deadlines
from queuepool.engines.ear import Ear
from queuepool.engines.ending import Endings
from queuepool.engines.life import Life, Lives
from queuepool.engines.listening import Listeners
from queuepool.engines.memory import MemoryWatch
from queuepool.engines.pacer import Pacer
from queuepool.engines.pipes import Pipes
from queuepool.engines.record import Entry, Record
from queuepool.engines.starting import Starter
from queuepool.engines.tapping import Tapped
from queuepool.errors import SpawnError
from queuepool.logs.pump import Pump
from queuepool.system import children, procstat
from queuepool.system.rundir import RunDirectory

Publish = Callable[[Kind, str, Mapping[str, str | int | float | bool | None]], object]


def _pause(pid: int) -> None:
    children.signal_one(pid, signal.SIGUSR2)


class LocalEngine(Lives):
    """The Engine of `engine: local`.

    publish(kind, subject, facts): a journal event. changed(pool, number): something of the pool is in another state;
    number: also how many lives there are, or are wanted. failed(pool): a process of the pool ended badly, so what it
    depends on is worth a look. crashed(name, job, code): a process is gone with its whole tree, all that it printed was
    read, and it had not ended this job; code: of its exit, and it may be any; None: unknown. came_up(pool, running,
    seconds): a process exists, or is RUNNING, so long after it was decided to start it. oom_killed(): whether the
    process that SIGKILL ended just now was killed by the kernel for lack of memory. keep(name, fd), unkeep(name):
    let somebody who outlives the daemon hold a pipe too.

    lives: those of each slot, oldest first; the last one stays when it has ended, to tell of the slot. slots: the same
    lists by pool, since with thousands of programs nobody is to walk through all of them for one.
    """

    surges = True

    def __init__(
        self,
        run: RunDirectory,
        pump: Pump,
        record: Record,
        *,
        publish: Publish,
        changed: Callable[[str, bool], None],
        failed: Callable[[str], None] = lambda pool: None,
        crashed: Callable[[ProcessName, Job, int | None], None] = lambda name, job, code: None,
        came_up: Callable[[str, bool, float], None] = lambda pool, running, seconds: None,
        oom_killed: Callable[[], bool] = lambda: False,
        keep: Callable[[str, int], None] = lambda name, fd: None,
        unkeep: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = record
        self.clock = clock
        super().__init__()
        self.pools: dict[str, PoolSpec] = {}
        self.next_number = 1
        self.environment: dict[str, str] = {}
        self.pins: dict[str, str | None] = {}
        """Pool -> release that new lives start from while a deploy holds the pool; a life that has one keeps it."""
        self.board = Board(run.jobs, asyncio.get_running_loop().call_soon)
        self.pipes = Pipes(run.pipes, pump, keep, unkeep)
        self.listeners = Listeners(lambda life, text: record.change(life, listener=text), publish, pump.calm, clock)
        self.deadlines = Deadlines(clock, self._due)
        self.endings = Endings(clock, self._exited, self._gone)
        self._booting = Booting(clock)
        self._starter = Starter(self._spawn, Pacer(clock))
        self._memory = MemoryWatch(self.endings.by_pid, self._too_large)
        self._publish = publish
        self._changed = changed
        self._failed = failed
        self._crashed = crashed
        self._came_up = came_up
        self._oom_killed = oom_killed
        self._blocked: dict[str, str] = {}
        self._given: dict[str, PoolSpec] = {}
        self._patience: dict[str, float] = {}
        self._braked: dict[str, set[Life]] = {}
        self._closed = False

    # --- the Engine protocol ------------------------------------------------------------------------------------------

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """See Engine.know."""
        self._given = dict(pools)
        self.pools = {
            name: pool.patient(self._patience[name]) if name in self._patience else pool for name, pool in pools.items()
        }
        self.board.know(self.pools)
        self.listeners.know(self.pools)
        for name, lives in self.lives.items():
            if pool := self.pools.get(name.pool):
                spec = pool.process(name.slot)
                for life in lives:
                    self._respec(life, spec)
        self._memory.wanted(any(pool.process(0).policy.memory_limit for pool in self.pools.values()))

    def wait(self, patience: Mapping[str, float]) -> None:
        """How many seconds the processes of these pools get to end, instead of what their settings say."""
        if patience != self._patience:
            self._patience = dict(patience)
            self.know(self._given)

    def _respec(self, life: Life, spec: ProcessSpec) -> None:
        before = life.spec
        life.spec = replace(spec, launch=before.launch)  # it is what it was started as, until it is replaced
        self.tap(life)
        self.pipes.redirect(life)
        waited = spec.policy.stop_seconds - before.policy.stop_seconds
        if life.process.state is State.STOPPING and life.process.deadline is not None and waited:
            life.process = replace(life.process, deadline=life.process.deadline + waited)
            self.deadlines.arm(life)

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """See Engine.apply."""
        for action in actions:
            if isinstance(action, Begin):
                self.begin(action.name, revisions[action.name])
            elif life := self.find(action.name, action.life):
                self.handle(life, lifecycle.Stop(action.why))

    def views(self, judge: Judge, *, usage: bool = False) -> dict[ProcessName, list[ProcessView]]:
        """See Engine.views."""
        now, wall = self.clock(), time.time()
        return {
            name: [life.view(now, wall, judge, usage=usage) for life in lives]
            for name, lives in self.lives.items()
            if lives
        }

    def work(self, pool: str) -> WorkView | None:
        """See Engine.work."""
        return self.board.work(pool)

    def totals(self, pool: str) -> CountsView | None:
        """See Engine.totals."""
        return self.board.totals(pool)

    def counted(self, pool: str) -> Work | None:
        """See Engine.counted."""
        return self.board.counted(pool)

    def tell(self, *notices: Notice) -> None:
        """See Engine.tell."""
        self.listeners.tell(*notices)

    async def settle(self, seconds: float) -> None:
        """See Engine.settle."""
        await self.listeners.settle(seconds)

    def feed(self, name: ProcessName, data: bytes) -> bool:
        """See Engine.feed."""
        lives = [life for life in self.lives.get(name, ()) if life.process.pid is not None]
        return bool(lives) and self.listeners.feed(lives[-1], data)

    async def idle(self) -> None:
        """Returns when no start that needs no pacing is queued."""
        await self._starter.idle()

    async def booted(self, seconds: float) -> None:
        """Returns when no worker boots or waits for its turn to; after so many seconds at the latest."""
        await self._starter.booted(seconds)

    async def close(self) -> None:
        """See Engine.close."""
        self._closed = True
        for part in (self._starter, self._booting, self.deadlines, self.endings, self._memory, self.listeners):
            part.close()
        for lives in self.lives.values():
            for life in lives:
                self.pipes.close(life)
        self.record.close()
        self.board.close()

    # --- lives --------------------------------------------------------------------------------------------------------

    def begin(self, name: ProcessName, revision: Revision) -> Life:
        """Start a new life in a slot, beside what is there; ended lives of the slot are forgotten."""
        lives = self.place(name)
        starts = max((life.process.starts for life in lives), default=0)
        lives[:] = [life for life in lives if not life.over]
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
            lives[:] = [life for life in lives if not life.over]
            if not lives:
                del self.lives[name], self.slots[pool][name]

    def handle(self, life: Life, event: lifecycle.Event) -> None:
        """Let something happen to a life, and do what follows."""
        before = life.process
        after, effects = lifecycle.step(before, event, self.clock(), life.spec.policy, random.random())  # noqa: S311
        life.process = after  # stored first: performing an effect may bring the next event
        if after.deadline is not None and after.deadline != before.deadline:
            self.deadlines.arm(life)
        if self.listeners.wanted and not (isinstance(event, lifecycle.Spawned) and event.lived):  # that was told of
            self.listeners.tell(*state_notices(self.who(life), steps(before, after, life.spec.policy)))
        for effect in effects:
            self._perform(life, effect)
        now = life.process
        if now.state is not before.state or now.wanted is not before.wanted:
            life.changed_at = time.time()
            self._settle(life, before, now)

    def _due(self, life: Life) -> None:
        """A deadline has come. One that failed as many others of its pool did waits for one of them to succeed."""
        if life.process.state is not State.BACKOFF or not life.spec.policy.startsecs:
            self.handle(life, lifecycle.Elapsed())
            return
        alike = self._alike(life)
        if not backoff.braked(life.name.slot, alike):
            self.handle(life, lifecycle.Elapsed())
            return
        self._braked.setdefault(life.name.pool, set()).add(life)
        why = life.process.reason.partition(WAITS)[0] + WAITS + f"{life.name.pool}:{min(alike)} to succeed"
        life.process = replace(life.process, deadline=self.clock() + backoff.BRAKE_SECONDS, reason=why)
        self.deadlines.arm(life)

    def _alike(self, life: Life) -> set[int]:
        """The slots that wait after a failure like that of `life`."""

        def how(one: Life) -> object:
            return one.process.reason.partition(WAITS)[0] if one.process.code is None else one.process.code

        lives = (one for lives in self.slots[life.name.pool].values() for one in lives)
        return {one.name.slot for one in lives if one.process.state is State.BACKOFF and how(one) == how(life)}

    def _release_brake(self, pool: str) -> None:
        for life in self._braked.pop(pool, ()):
            if life.process.state is State.BACKOFF and life.process.wanted:
                self.handle(life, lifecycle.Start())

    def _settle(self, life: Life, before: lifecycle.Process, now: lifecycle.Process) -> None:
        if before.wanted and not now.wanted and now.state is State.STOPPING:
            self.record.change(life.number, retiring=True, kill_at=time.time() + life.spec.policy.stop_seconds)
        if life.ear is not None and now.state is State.RUNNING:
            self._hears_now(life, life.ear)
        if now.state is State.RUNNING and before.state is State.STARTING and life.asked:
            self._came_up(life.name.pool, True, self.clock() - life.asked)
        if now.state is State.STOPPED and not now.wanted:
            self.forget(life)
        elif now.state is State.RUNNING and life.name.pool in self._braked:
            self._release_brake(life.name.pool)
        elif now.state in (State.BACKOFF, State.FATAL) and before.state not in (State.BACKOFF, State.FATAL):
            self._failed(life.name.pool)
        self._changed(life.name.pool, now.state is State.STOPPED or now.wanted is not before.wanted)

    def forget(self, life: Life) -> None:
        """A life is over for good: give back its pipes, and its place unless it is the last to tell of the slot."""
        self.pipes.release(life)
        self.record.drop(life.number)
        lives = self.lives.get(life.name, [])
        if len(lives) > 1:
            lives.remove(life)

    def _perform(self, life: Life, effect: lifecycle.Effect) -> None:
        match effect:
            case lifecycle.Spawn():
                life.asked = self.clock()
                pool = self.pools.get(life.name.pool)
                self._starter.add(life, pace=pool is not None and pool.pace)
            case lifecycle.Send(pid, number, tree):
                (children.signal_tree if tree else children.signal_one)(pid, number)
                if life.paused and number != signal.SIGKILL:  # one that was stopped by a signal must wake up to end
                    children.signal_one(pid, signal.SIGCONT)
            case lifecycle.Sweep(pid, number):
                self.endings.sweep(life, pid, number)
            case lifecycle.Tell(kind, facts):
                self._publish(Kind(kind), str(life.name), dict(facts))

    def _exited(self, life: Life, pid: int, code: int | None, rest: bool) -> None:
        if not rest:
            self.record.change(life.number, pid=0, birth="")
        lines = () if rest else self.pipes.drain(life)
        job = None if rest else self.clear_desk(life)
        oom = code in SIGKILLED and not life.process.killed and self._oom_killed()
        self.handle(life, lifecycle.Exited(pid, code, rest, lines, oom))
        self._starter.ended(life)
        if job is not None:
            self._crashed(life.name, job, code)

    def _gone(self, life: Life, pid: int) -> None:
        self.pipes.drain(life)
        job, code = self.clear_desk(life), life.process.code
        self.handle(life, lifecycle.TreeGone(pid))
        if job is not None:
            self._crashed(life.name, job, code)

    def _hears_now(self, life: Life, ear: Ear) -> None:
        """A listener is RUNNING, so events may be handed to it, if it is known what it waits for."""
        if ear.doubt:
            self._publish(Kind.LISTENER, str(life.name), {"reason": f"it is started anew: {ear.doubt}"})
            self.handle(life, lifecycle.Recycle(ear.doubt))
        else:
            self.listeners.look(life.name.pool)

    def who(self, life: Life) -> Who:
        """What Supervisor's clients and listeners call a process."""
        if pool := self.pools.get(life.name.pool):
            life.group = pool.group
        return Who(life.spec.display.rpartition(":")[2], life.group or life.name.pool)

    def tap(self, life: Life) -> None:
        """See that event listeners get of its output what they are to get."""
        for stream, (tap, channel) in enumerate(zip(life.spec.taps, ("stdout", "stderr"), strict=True)):
            there = life.taps.get(stream)
            if not tap:
                life.taps.pop(stream, None)
            elif there is not None:
                there.tap = tap
            else:
                listeners = self.listeners
                life.taps[stream] = Tapped(
                    tap, channel, lambda: (self.who(life), life.process.pid or 0), listeners.hears, listeners.tell
                )

    def clear_desk(self, life: Life) -> Job | None:
        """The process is gone, and what it printed was read; the job that it did not end."""
        ear, life.ear = life.ear, None
        if ear is not None:
            self.listeners.leave(life, ear)
        desk, life.desk = life.desk, None
        return self.board.leave(desk) if desk else None

    def _too_large(self, life: Life, why: str) -> None:
        self._publish(Kind.LIMIT, str(life.name), {"pid": life.process.pid, "reason": why})
        self.handle(life, lifecycle.Recycle(why))

    # --- starting -----------------------------------------------------------------------------------------------------

    def _spawn(self, life: Life) -> int | None:
        """Make the process now, if it is still to be made; its pid."""
        if self._closed or life.process.state is not State.STARTING or life.process.pid is not None:
            return None
        pool = self.pools.get(life.name.pool)
        if pool is not None:
            fresh = pool.process(life.name.slot)
            if fresh.launch.fingerprint == life.revision.fingerprint:
                life.spec = fresh
        try:
            launch = self._placed(life, pool.app if pool else None)
            self.pipes.make(life)
            self._record(life)
            life.desk = self.board.seat(life.name.pool, life.number)
            life.ear = self.listeners.seat(life, self.pipes.input(life))
            self.tap(life)
            self.pipes.attach(life)
            with self.pipes.ends(life) as (stdout, stderr):
                stdin = life.ear.child if life.ear is not None else None
                pid = children.spawn(launch, self._names(life), stdout, stderr, stdin)
                if life.ear is not None:
                    life.ear.given()
        except (SpawnError, OSError) as error:
            why = f"{error}" if isinstance(error, SpawnError) else f"cannot make its pipes: {error}"
            hint = getattr(error, "hint", "")
            self.pipes.release(life)
            self.clear_desk(life)
            self.handle(life, lifecycle.SpawnFailed(f"{why} ({hint})" if hint else why))
            return None
        self._born(life, pid)
        return pid

    def _placed(self, life: Life, app: str | None) -> Launch:
        """How the process is launched, from which release: what `app` links to now, unless a deploy says otherwise."""
        if app is None:
            life.release = None
        elif life.name.pool not in self.pins:
            life.release = os.path.realpath(app)
        else:
            life.release = life.release or self.pins[life.name.pool] or os.path.realpath(app)
            return at_release(life.spec.launch, app, life.release)
        return life.spec.launch

    def _record(self, life: Life) -> None:
        """Written before the process is made: whoever comes after a SIGKILL finds it by its pipe."""
        self.record.put(
            Entry(
                name=str(life.name),
                life=life.number,
                pipe=life.pipes[0],
                err=life.pipes[1] if len(life.pipes) > 1 else None,
                fingerprint=life.revision.fingerprint,
                serial=life.revision.serial,
                release=life.release,
                starts=life.process.starts,
                stop_seconds=life.spec.policy.stop_seconds,
                log=life.spec.stdout.path,
            )
        )

    def _born(self, life: Life, pid: int) -> None:
        life.started_at = time.time()
        life.adopted = life.paused = False
        self._came_up(life.name.pool, False, self.clock() - life.asked)
        self.record.change(
            life.number,
            pid=pid,
            birth=procstat.birth(pid) or "",
            started=life.started_at,
            release=life.release,
            starts=life.process.starts + 1,
            paused=False,
        )
        self.endings.watch(life, pid)
        self.handle(life, lifecycle.Spawned(pid))

    def _names(self, life: Life) -> dict[str, str]:
        who, pool, launch = self.who(life), self.pools.get(life.name.pool), life.spec.launch
        names = self.environment | {
            "QUEUEPOOL_PROGRAM": life.name.pool,
            "QUEUEPOOL_PROCESS": str(life.name),
            "QUEUEPOOL_SLOT": str(life.name.slot),
            "SUPERVISOR_ENABLED": "1",
            "SUPERVISOR_PROCESS_NAME": who.process,
            "SUPERVISOR_GROUP_NAME": who.group,
        }
        if pool is not None and pool.artisan and launch.clear_env:
            return {**NO_TERMINAL, **dict(launch.environment), **names}
        return names

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
        how many it concerned. One that boots is told when it has."""
        done = 0
        for life in self.lives.get(name, ()):
            pid = life.process.pid
            if pid is not None and life.process.wanted:
                done += 1
                life.paused = paused
                self.record.change(life.number, paused=paused)
                if paused:
                    self._booting.tell(life, pid, _pause)
                else:
                    self._booting.forget(life)
                    children.signal_one(pid, signal.SIGCONT)
        return done

    def unmark(self, name: ProcessName) -> None:
        """The processes of a slot take jobs again, though nobody asked for it here."""
        for life in self.lives.get(name, ()):
            life.paused = False
            self.record.change(life.number, paused=False)

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
