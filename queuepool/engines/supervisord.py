"""The Engine of `engine: supervisord`: processes that a supervisord keeps alive, each a program of its own there. It
asks about once a second while something is expected, for Supervisor has no way to tell. Talking to it is
supervisord_link.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from queuepool.domain import lifecycle
from queuepool.domain.deployment import at_release
from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.exits import meaning, signal_name
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import Launch, LogPolicy, Policy, PoolSpec, ProcessSpec
from queuepool.domain.reconcile import Action, Begin
from queuepool.domain.states import State
from queuepool.domain.supervised import section_name
from queuepool.domain.supervisor_events import Notice
from queuepool.domain.work import CountsView, Work, WorkView
from queuepool.engines.base import Judge
from queuepool.engines.life import Life, Lives
from queuepool.engines.supervisord_client import Info, SupervisordAway
from queuepool.engines.supervisord_link import Link, Memory
from queuepool.engines.supervisord_link import Seen as Found
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_ends import Ending, endings
from queuepool.formats.supervisor_export import CannotExport
from queuepool.formats.supervisor_slots import Entry, entry
from queuepool.formats.supervisor_steps import ALIVE, Goal, Rest, steps
from queuepool.logs.tail import last
from queuepool.system import children, procstat
from queuepool.system.children import identity

Publish = Callable[[Kind, str, Mapping[str, str | int | float | bool | None]], object]
MOST_ROUNDS = 50
QUEUED = "waits for the former process to end"
BY_HAND = "stopped in Supervisor, not by queuepool"
_STOPPED = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})


class SupervisordEngine(Lives):
    """publish, changed, failed: as of LocalEngine. touch: whether anything may be changed, or only looked at. busy,
    idle: seconds between two looks while something is expected, and while nothing is.

    A life is what is wanted or was wanted in a slot; `_entries` holds what is, or is to be, written for each of them,
    `_current` which of them a section of Supervisor is now. Everything else follows from looking again.
    """

    surges = False

    def __init__(
        self,
        link: Link,
        *,
        publish: Publish,
        changed: Callable[[str, bool], None],
        failed: Callable[[str], None] = lambda pool: None,
        touch: bool = True,
        busy: float = 1.0,
        idle: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.link = link
        self.clock = clock
        self.pools: dict[str, PoolSpec] = {}
        self.pins: dict[str, str | None] = {}
        self.environment: dict[str, str] = {}
        self.trouble: QueuepoolError | None = None
        """What keeps us from working with supervisord now."""
        self.troubled_at: float | None = None
        self.supervisord = 0
        self._publish, self._changed, self._failed = publish, changed, failed
        self._touch, self._begun = touch, False
        self._busy, self._idle = busy, idle
        self._next_number = 1
        self._entries: dict[int, Entry] = {}
        self._current: dict[str, int] = {}
        self._unstarted: set[int] = set()
        self._gone: set[ProcessName] = set()
        self._written: dict[str, Entry] = {}
        self._strangers: frozenset[str] = frozenset()
        self._states: dict[str, State] = {}
        self._signals: list[tuple[str, int]] = []
        self._stray: dict[int, str] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._passed = asyncio.Event()
        self._pending = False

    # --- start and end ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Look for the first time, and know what there is. Raises QueuepoolError where it cannot be looked."""
        found = await asyncio.to_thread(self.link.look)
        self._mind_strays(found)
        ends = None
        if any(info.state in (State.BACKOFF, State.FATAL) for info in found.infos.values()):
            ends = endings(await asyncio.to_thread(self.link.log))
        self._adopt(found, ends)
        self._begun = True

    def run(self) -> None:
        """Look, and do what is asked for, from now on."""
        self._task = asyncio.ensure_future(self._go())

    async def idle(self) -> None:
        """Returns when nothing is left to be done in Supervisor but waiting for processes to end or start, and no
        process waits for its place."""
        while self._pending or any(self._queued(life) for lives in self.lives.values() for life in lives):
            self._passed.clear()
            await self._passed.wait()

    async def take_out(self) -> None:
        """Take what has ended out of Supervisor; returns when nothing of it is left there."""
        for pool in list(self.slots):
            self.prune(pool, 0)
        await self.idle()

    async def close(self) -> None:
        """See Engine.close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self.link.close)

    # --- the Engine protocol ------------------------------------------------------------------------------------------

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """See Engine.know. What is written for a process stays as it is until the process is replaced."""
        self.pools = dict(pools)

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """See Engine.apply."""
        if not (self._touch and self._begun):
            return
        if any(isinstance(action, Begin) for action in actions):
            self.link.reread()  # somebody may have taken one of our names since
        for action in actions:
            if isinstance(action, Begin):
                self._begin(action.name, revisions[action.name])
            elif life := self.find(action.name, action.life):
                self._end(life, action.why)
        self._stir()

    def prune(self, pool: str, size: int) -> None:
        """See Engine.prune. What Supervisor has of them is taken out of it."""
        if not (self._touch and self._begun):
            return
        for name, lives in [item for item in self.slots.get(pool, {}).items() if item[0].slot >= size]:
            lives[:] = [life for life in lives if not life.over]
            if not lives:
                del self.lives[name], self.slots[pool][name]
                self._gone.add(name)
                self._stir()

    def retry(self, name: ProcessName) -> None:
        """See Engine.retry; one that was stopped in Supervisor is started too."""
        for life in self.lives.get(name, ()):
            if life.process.wanted and life.process.state in _STOPPED:
                self._unstarted.add(life.number)
                self._become(life, replace(life.process, state=State.STARTING, reason="", failures=0))
                self._stir()

    def kill(self, name: ProcessName, why: str) -> None:
        """See Engine.kill."""
        self._send(name, signal.SIGKILL, retiring=True)

    def signal(self, name: ProcessName, number: int) -> int:
        """See Engine.signal."""
        return self._send(name, number)

    def pause(self, name: ProcessName, paused: bool) -> int:
        """See Engine.pause."""
        done = self._send(name, signal.SIGUSR2 if paused else signal.SIGCONT)
        for life in self.lives.get(name, ()):
            if life.process.pid is not None and life.process.wanted:
                life.paused = paused
        return done

    def unmark(self, name: ProcessName) -> None:
        """See Engine.unmark."""
        for life in self.lives.get(name, ()):
            life.paused = False

    def block(self, pool: str, what: str) -> None:
        """What the pool depends on is away: Supervisor cannot be told to wait, and goes on as it is set."""

    def wait(self, patience: Mapping[str, float]) -> None:
        """How long processes get to end is written when they are started."""

    def views(self, judge: Judge, *, usage: bool = False) -> dict[ProcessName, list[ProcessView]]:
        """See Engine.views."""
        now, wall = self.clock(), time.time()
        return {
            name: [self._view(life, now, wall, judge, usage=usage) for life in lives]
            for name, lives in self.lives.items()
            if lives
        }

    def work(self, pool: str) -> WorkView | None:
        """See Engine.work: what the processes print goes to Supervisor."""
        return None

    def counted(self, pool: str) -> Work | None:
        """See Engine.counted."""
        return None

    def totals(self, pool: str) -> CountsView | None:
        """See Engine.totals."""
        return None

    def tell(self, *notices: Notice) -> None:
        """See Engine.tell: listeners are Supervisor's, which tells them itself."""

    async def settle(self, seconds: float) -> None:
        """See Engine.settle."""

    def feed(self, name: ProcessName, data: bytes) -> bool:
        """See Engine.feed."""
        return False

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be between us and supervisord, in sentences."""
        found = [self.trouble.message] if self.trouble is not None else []
        return (*found, *self._stray.values())

    @property
    def strays(self) -> tuple[str, ...]:
        """Workers of a supervisord that was killed, in sentences."""
        return tuple(self._stray.values())

    # --- lives --------------------------------------------------------------------------------------------------------

    def _life(self, name: ProcessName, spec: ProcessSpec, revision: Revision, process: lifecycle.Process) -> Life:
        life = Life(name, self._next_number, spec, revision, process, changed_at=time.time())
        self._next_number += 1
        self.place(name).append(life)
        return life

    def _begin(self, name: ProcessName, revision: Revision) -> None:
        """A new life in the slot. It gets its place in Supervisor when the former one is gone."""
        pool = self.pools[name.pool]
        spec = pool.process(name.slot)
        lives = self.place(name)
        starts = max((life.process.starts for life in lives), default=0)
        lives[:] = [life for life in lives if not life.over]
        waits = any(life.process.state.has_process for life in lives)
        process = lifecycle.Process(State.STARTING, True, starts=starts, reason=QUEUED if waits else "")
        life = self._life(name, spec, revision, process)
        self._gone.discard(name)
        try:
            made = self._entry(life, pool, spec, revision)
        except (CannotExport, QueuepoolError) as error:
            self._lost(life, f"cannot be written for Supervisor: {error}")
            return
        self._entries[life.number] = made
        self._unstarted.add(life.number)

    def _entry(self, life: Life, pool: PoolSpec, spec: ProcessSpec, revision: Revision) -> Entry:
        """What is to be written for it. The release is where `app` leads now, unless a deploy says otherwise. Its real
        path is written: a worker that Supervisor starts anew, after a job too many or a crash, is of the release that
        the last deploy chose, also after a roll back."""
        section = section_name(spec)
        if where := self.link.installed.foreign.get(section):
            raise QueuepoolError(f"{where} has a program or group of that name, {section}; rename one of them")
        if section in self._strangers:
            raise QueuepoolError(
                f"supervisord runs a {section} that is in no file of its; "
                f"`supervisorctl stop {section}`, then `supervisorctl remove {section}`"
            )
        launch = spec.launch
        if pool.app is not None:
            life.release = self.pins.get(pool.name) or os.path.realpath(pool.app)
            launch = at_release(launch, pool.app, life.release)
        program, *rest = launch.argv
        if "/" in program:  # Supervisor looks for it from where supervisord stands (supervisor/process.py)
            launch = replace(launch, argv=(posixpath.normpath(posixpath.join(launch.directory, program)), *rest))
        launch = replace(launch, environment=tuple(sorted({**self._names(spec), **dict(launch.environment)}.items())))
        homes = {}
        if spec.launch.user is not None:
            homes[spec.launch.user] = identity(spec.launch.user, None, None).home
        made = entry(section, pool, replace(spec, launch=launch), revision.serial, life.release, homes)
        if made.fingerprint != revision.fingerprint:
            made = replace(made, fingerprint=revision.fingerprint)
        return made

    def _names(self, spec: ProcessSpec) -> dict[str, str]:
        name = spec.name
        return {
            "QUEUEPOOL_CONFIG": self.link.owner,
            "QUEUEPOOL_PROGRAM": name.pool,
            "QUEUEPOOL_PROCESS": str(name),
            "QUEUEPOOL_SLOT": str(name.slot),
        }

    def _end(self, life: Life, why: str) -> None:
        process = replace(life.process, wanted=False, reason=why)
        current = self._is_current(life)
        alive = current and process.state in (State.STARTING, State.RUNNING, State.STOPPING)
        self._unstarted.discard(life.number)
        self._become(life, replace(process, state=State.STOPPING if alive else State.STOPPED))
        if alive:
            self._publish(Kind.STOPPING, str(life.name), {"pid": process.pid, "reason": why})

    def _become(self, life: Life, process: lifecycle.Process) -> None:
        """The life is in another state now: tell who wants to know."""
        before, life.process = life.process, process
        if process == before:
            return
        if process.state is not before.state or process.wanted is not before.wanted:
            life.changed_at = time.time()
        if process.state is State.STOPPED and not process.wanted:
            self._forget(life)
        if process.state in (State.BACKOFF, State.FATAL) and before.state not in (State.BACKOFF, State.FATAL):
            self._failed(life.name.pool)
        self._changed(life.name.pool, process.state is State.STOPPED or process.wanted is not before.wanted)

    def _forget(self, life: Life) -> None:
        self._unstarted.discard(life.number)
        lives = self.lives.get(life.name, [])
        if len(lives) > 1 and life in lives:
            lives.remove(life)

    def _lost(self, life: Life, why: str) -> None:
        self._unstarted.discard(life.number)
        self._publish(Kind.SPAWN_FAILED, str(life.name), {"reason": why})
        crashes, failures = life.process.crashes + 1, life.process.failures + 1
        self._become(
            life, replace(life.process, state=State.FATAL, crashes=crashes, failures=failures, reason=why, code=None)
        )

    def _is_current(self, life: Life) -> bool:
        made = self._entries.get(life.number)
        return made is not None and self._current.get(made.section) == life.number

    def is_queued(self, name: ProcessName) -> bool:
        """Whether a process of the slot has still to be given its place in Supervisor."""
        return any(self._queued(life) for life in self.lives.get(name, ()))

    def _queued(self, life: Life) -> bool:
        """Whether it has still to be given its place in Supervisor."""
        return life.process.wanted and life.number in self._unstarted and life.number in self._entries

    def _view(self, life: Life, now: float, wall: float, judge: Judge, *, usage: bool) -> ProcessView:
        view = life.view(now, wall, judge, usage=usage)
        if life.process.state is State.STARTING and life.process.pid is None:
            return replace(view, reason=life.process.reason)
        return view

    def _send(self, name: ProcessName, number: int, *, retiring: bool = False) -> int:
        sent = 0
        for life in self.lives.get(name, ()):
            made = self._entries.get(life.number)
            if made and life.process.pid is not None and (life.process.wanted or retiring) and self._is_current(life):
                self._signals.append((made.section, number))
                sent += 1
        if sent:
            self._stir()
        return sent

    # --- what was found -----------------------------------------------------------------------------------------------

    def _adopt(self, found: Found, ends: Mapping[str, list[Ending]] | None) -> None:
        """Lives for all that our file holds. One that supervisord does not have was written by somebody who did not get
        to the next step. ends: of its log, where it is needed."""
        for section, made in found.entries.items():
            info = found.infos.get(section)
            pool = self.pools.get(made.name.pool)
            spec = pool.process(made.name.slot) if pool is not None else _stub(made)
            state = _state(info, made) if info is not None else State.STOPPED
            by_hand = info is not None and state in _STOPPED and made.runs
            wanted = state in ALIVE or by_hand
            process = lifecycle.Process(state, wanted, reason=BY_HAND if by_hand and state is State.STOPPED else "")
            life = self._life(made.name, spec, Revision(made.fingerprint, made.serial), process)
            life.release = made.release
            self._entries[life.number] = made
            if info is not None:
                self._current[section] = life.number
        self._take(found)
        for section, info in found.infos.items():
            self._settle(section, info, found, None)
            there = self.find(found.entries[section].name, self._current.get(section, 0))
            if ends is not None and there is not None and there.process.state in (State.BACKOFF, State.FATAL):
                there.process = replace(self._explain(there, there.process, info, ends.get(section, [])), crashes=0)

    def _take(self, found: Found) -> None:
        self.supervisord = found.supervisord
        self._written = dict(found.entries)
        self._strangers = found.strangers
        self._states = {section: _state(info, found.entries.get(section)) for section, info in found.infos.items()}

    def _settle(self, section: str, info: Info, found: Found, ends: Mapping[str, list[Ending]] | None) -> None:
        """What supervisord says of one process. ends: of its log, read when a process may have ended by itself."""
        name = found.entries[section].name
        life = self.find(name, self._current.get(section, 0))
        if life is None:
            return
        before, state = life.process, self._states[section]
        if life.number in self._unstarted:
            return  # what is seen is what was before
        if before.state is State.STOPPED and not before.wanted and state not in ALIVE and state is not State.STOPPING:
            return
        process = replace(before, state=state, pid=info.pid)
        if info.pid is not None and info.pid != before.pid:
            process = replace(process, starts=before.starts + 1, started=self.clock() - max(0.0, info.now - info.start))
            life.started_at = info.start
            self._publish(Kind.STARTED if before.pid or before.starts else Kind.ADOPTED, str(name), {"pid": info.pid})
        if not before.wanted:
            if state in ALIVE:
                process = replace(process, state=State.STOPPING)
            elif state is not State.STOPPING:
                process = replace(process, state=State.STOPPED, pid=None)
                self._publish(Kind.STOPPED, str(name), {"reason": before.reason or "stopped"})
        elif ends is not None and self._ended(before, process):
            process = self._explain(life, process, info, ends.get(section, []))
        elif state is State.RUNNING and before.state is not State.RUNNING:
            process = replace(process, reason="", failures=0)
            self._publish(Kind.RUNNING, str(name), {"pid": info.pid})
        elif state is State.STOPPED:
            process = replace(process, reason=BY_HAND)
        elif state in (State.BACKOFF, State.FATAL) and not process.reason:
            process = replace(process, reason=info.trouble)
        self._become(life, process)

    @staticmethod
    def _ended(before: lifecycle.Process, now: lifecycle.Process) -> bool:
        """Whether the process of a life may have ended by itself since the last look."""
        if now.state in (State.BACKOFF, State.FATAL, State.EXITED):
            return now.state is not before.state or now.pid != before.pid
        return before.pid is not None and now.pid != before.pid and now.state is not State.STOPPED

    def _explain(self, life: Life, process: lifecycle.Process, info: Info, ends: list[Ending]) -> lifecycle.Process:
        """How it ended, from supervisord's log and its own."""
        spawned = "too quickly" in info.trouble or process.state in (State.EXITED, State.RUNNING, State.STARTING)
        name, policy = str(life.name), life.spec.policy
        if not spawned and info.trouble:
            self._publish(Kind.SPAWN_FAILED, name, {"reason": info.trouble})
            return replace(process, crashes=process.crashes + 1, failures=process.failures + 1, code=None,
                           reason=info.trouble)  # fmt: skip
        end = ends[-1] if ends else Ending(info.code, False)
        if end.asked:
            return replace(process, reason="restarted in Supervisor, not by queuepool")
        failing = process.state in (State.BACKOFF, State.FATAL)
        path = life.spec.stdout.path
        with contextlib.suppress(OSError):
            life.last_lines = tuple(last(path, lines=20).splitlines()) if path else ()
        why = "ended; Supervisor's log does not say how" if end.code is None else meaning(end.code, life.last_lines)
        recycled = not failing and (end.code in policy.recycle_codes or end.code in policy.exitcodes)
        kind = Kind.RECYCLED if recycled else Kind.FATAL if process.state is State.FATAL else Kind.EXITED
        self._publish(kind, name, {"code": end.code, "reason": why, "failures": process.failures + 1})
        process = replace(process, code=end.code, reason="" if recycled else why)
        if not recycled:
            process = replace(process, crashes=process.crashes + 1, failures=process.failures + failing)
        return process

    # --- the work -----------------------------------------------------------------------------------------------------

    def _stir(self) -> None:
        self._pending = True
        self._wake.set()

    async def _go(self) -> None:
        while True:
            try:
                await self._pass()
                self._well()
            except QueuepoolError as error:
                self._ill(error)
            self._passed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()

    def _pause(self) -> float:
        if self.trouble is not None:
            return max(self._busy, 1.0)
        expected = any(
            life.process.state in (State.STARTING, State.STOPPING, State.BACKOFF) or self._queued(life)
            for lives in self.lives.values()
            for life in lives
        )
        return self._busy if expected else self._idle

    async def _pass(self) -> None:
        """Look, and do what is to be done, until nothing is; what comes again and again is left for a while."""
        for _ in range(MOST_ROUNDS):
            self._wake.clear()
            await self._look()
            await asyncio.sleep(0)  # what was seen may let the controller ask for something
            sent, self._signals = self._signals, []
            for section, number in sent:
                await asyncio.to_thread(self.link.signal, section, number)
            goals, owners = self._goals()
            plan = steps(goals, self._written, self._states, self._to_start())
            if plan.file != self._written:
                if any(made.runs for made in plan.file.values()):
                    await asyncio.to_thread(self.link.check)
                await asyncio.to_thread(self.link.write, plan.file, self.supervisord)
                self._written = dict(plan.file)
            if plan:
                logs = {section: self._logs(section) for section in plan.add}
                failed = await asyncio.to_thread(self.link.perform, plan, logs)
                self._performed((*plan.add, *plan.start), owners, failed)
                continue
            await self._remember()
            if not self._wake.is_set():
                self._pending = False
                return

    async def _look(self) -> None:
        found = await asyncio.to_thread(self.link.look)
        anew = found.supervisord != self.supervisord
        if anew:
            self._mind_strays(found)
        self._take(found)
        ends = None
        if not anew and any(self._may_have_ended(section, info) for section, info in found.infos.items()):
            ends = endings(await asyncio.to_thread(self.link.log))
        for section, info in found.infos.items():
            self._settle(section, info, found, ends)
        for section, number in list(self._current.items()):
            if section not in found.infos:
                self._vanished(section, number)

    def _may_have_ended(self, section: str, info: Info) -> bool:
        made = self._written[section]
        life = self.find(made.name, self._current.get(section, 0))
        if life is None or not life.process.wanted:
            return False
        return self._ended(life.process, replace(life.process, state=self._states[section], pid=info.pid))

    def _vanished(self, section: str, number: int) -> None:
        """Supervisor has it no more: a file of ours was taken away, or it was removed there. It is put back when it is
        wanted."""
        del self._current[section]
        life = next((one for lives in self.lives.values() for one in lives if one.number == number), None)
        if life is None:
            return
        if not life.process.wanted:
            self._become(life, replace(life.process, state=State.STOPPED, pid=None))
        elif life.process.state is not State.FATAL or life.process.pid is not None:
            self._unstarted.add(number)
            self._become(life, replace(life.process, state=State.STARTING, pid=None, reason=""))

    def _goals(self) -> tuple[dict[str, Goal], dict[str, int]]:
        """What is wanted of each section, and by which life."""
        goals: dict[str, Goal] = {}
        owners: dict[str, int] = {}
        for section, made in self._written.items():
            goals[section] = Rest.GONE if made.name in self._gone else Rest.OFF
        for lives in self.lives.values():
            wanted = [life for life in lives if life.process.wanted and life.number in self._entries]
            if not wanted:
                continue
            made = self._entries[wanted[-1].number]
            for section, other in self._written.items():
                if other.name == made.name and section != made.section:
                    goals[section] = Rest.GONE
            goals[made.section] = made
            owners[made.section] = wanted[-1].number
        self._gone &= {made.name for made in self._written.values()}
        known = {life.number for lives in self.lives.values() for life in lives}
        self._entries = {number: made for number, made in self._entries.items() if number in known}
        return goals, owners

    def _to_start(self) -> frozenset[str]:
        return frozenset(self._entries[number].section for number in self._unstarted if number in self._entries)

    def _logs(self, section: str) -> tuple[LogPolicy, ...]:
        pool = self.pools.get(self._written[section].name.pool)
        if pool is None:
            return ()
        spec = pool.process(self._written[section].name.slot)
        return (spec.stdout,) if spec.stderr is None else (spec.stdout, spec.stderr)

    def _performed(self, sections: Sequence[str], owners: Mapping[str, int], failed: Mapping[str, str]) -> None:
        """These were put into Supervisor, or started there. owners: for which lives."""
        for section in sections:
            name, number = self._written[section].name, owners[section]
            self._current[section] = number
            self._unstarted.discard(number)
            for life in list(self.lives.get(name, ())):
                if life.number == number:
                    self._become(life, replace(life.process, reason=failed.get(section, "")))
                elif not life.process.wanted:
                    self._become(life, replace(life.process, state=State.STOPPED, pid=None))

    async def _remember(self) -> None:
        pids = {}
        for lives in self.lives.values():
            for life in lives:
                made = self._entries.get(life.number)
                if made is not None and life.process.pid is not None and self._is_current(life):
                    pids[made.section] = (life.process.pid, procstat.birth(life.process.pid) or "")
        birth = procstat.birth(self.supervisord) or ""
        await asyncio.to_thread(self.link.remember, Memory(dict(self._written), pids, (self.supervisord, birth)))

    def _mind_strays(self, found: Found) -> None:
        """Workers of a supervisord that was killed go on, and the next one starts others beside them: they are told to
        finish."""
        memory = self.link.memory
        mine = {info.pid for info in found.infos.values()}
        for section, (pid, birth) in memory.pids.items():
            if pid in mine or not birth or procstat.birth(pid) != birth or procstat.parent(pid) == found.supervisord:
                continue
            made = memory.entries.get(section)
            self._stray[pid] = f"{section} (pid {pid}) still runs from a supervisord that was killed"
            if not self._touch:
                self._stray[pid] += "; `queuepool update` tells it to finish"
                continue
            pool = self.pools.get(made.name.pool) if made else None
            number = pool.process(0).policy.stopsignal if pool else signal.SIGTERM
            told = children.signal_one(pid, number)
            what = f"was told to finish ({signal_name(number)})" if told else f"has to be ended: `sudo kill {pid}`"
            self._stray[pid] += f"; it {what}"
            self._publish(Kind.STOPPING, section, {"pid": pid, "reason": "of a supervisord that was killed"})

    def _ill(self, error: QueuepoolError) -> None:
        if self.trouble is None:
            self.troubled_at = self.clock()
            self._publish(Kind.SUPERVISORD_TROUBLE, "", {"reason": error.message})
        self.trouble = error
        self.link.reread()
        if isinstance(error, SupervisordAway):
            self._changed("", False)

    def _well(self) -> None:
        for pid in [pid for pid in self._stray if procstat.birth(pid) is None]:
            del self._stray[pid]
        if self.trouble is not None:
            seconds = round(self.clock() - self.troubled_at, 1) if self.troubled_at is not None else None
            self._publish(Kind.SUPERVISORD_WELL, "", {"seconds": seconds})
            self.trouble = self.troubled_at = None
            self._changed("", False)


def _state(info: Info, made: Entry | None) -> State:
    """Its state; one that was just put there and is started by itself in a moment counts as STARTING."""
    if info.state is State.STOPPED and info.start == 0 and made is not None and made.runs:
        return State.STARTING
    return info.state


def _stub(made: Entry) -> ProcessSpec:
    """Of a program that no file has any more."""
    return ProcessSpec(made.name, made.section, Launch((), "/"), Policy(), LogPolicy(None))
