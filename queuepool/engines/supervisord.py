"""The Engine of `engine: supervisord`: processes that a supervisord keeps alive, each a program of its own there. It
writes down what is asked of it (supervisord_lives.py), and supervisord_rounds.py brings it about."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from queuepool.domain import lifecycle
from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import PoolSpec, ProcessSpec
from queuepool.domain.reconcile import Action, Begin
from queuepool.domain.states import State
from queuepool.domain.supervised import section_name
from queuepool.domain.supervisor_events import Notice
from queuepool.domain.work import CountsView, Work, WorkView
from queuepool.engines.base import Judge
from queuepool.engines.life import Life
from queuepool.engines.supervisord_link import Link
from queuepool.engines.supervisord_lives import Publish, SupervisedLives
from queuepool.engines.supervisord_looks import Looks
from queuepool.engines.supervisord_rounds import Patience, Rounds
from queuepool.engines.supervisord_sections import release_of, taken
from queuepool.engines.supervisord_strays import Strays
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_sight import RESTED

QUEUED = "waits for the former process to end"
_ENDING = frozenset({State.STARTING, State.RUNNING, State.STOPPING})


class SupervisordEngine(SupervisedLives):
    """publish, changed, failed: as of LocalEngine. touch: whether anything may be changed, or only looked at. patience,
    busy, idle: see Rounds."""

    surges = False

    def __init__(
        self,
        link: Link,
        *,
        publish: Publish,
        changed: Callable[[str, bool], None],
        failed: Callable[[str], None] = lambda pool: None,
        patience: Patience | None = None,
        touch: bool = True,
        busy: float = 1.0,
        idle: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(publish, changed, failed)
        self.link = link
        self.clock = clock
        self.pools: dict[str, PoolSpec] = {}
        self.pins: dict[str, str | None] = {}
        self.environment: dict[str, str] = {}
        self._touch, self._begun = touch, False
        self._strays = Strays(publish, touch=touch)
        self._looks = Looks(link, self, self._strays, lambda: self.pools, clock)
        self._rounds = Rounds(
            link, self, self._looks, lambda: self.pools, clock, patience=patience, busy=busy, idle=idle
        )
        self._task: asyncio.Task[None] | None = None

    # --- start and end ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Look for the first time, and know what there is. Raises QueuepoolError where it cannot be looked."""
        await self._looks.begin()
        self._begun = True

    def run(self) -> None:
        """Look, and do what is asked for, from now on."""
        if self._looks.lost:
            self._rounds.stir()
        self._task = asyncio.ensure_future(self._rounds.go())

    async def idle(self) -> None:
        """Returns when nothing is left to be done in Supervisor but waiting for processes to end or start, and no
        process waits for its place."""
        await self._rounds.rest()

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
        for action in actions:
            if isinstance(action, Begin):
                self._begin(action.name, revisions[action.name])
            elif life := self.find(action.name, action.life):
                self._end(life, action.why)
        self._rounds.stir()

    def _begin(self, name: ProcessName, revision: Revision) -> None:
        """A new life in the slot. It gets its place in Supervisor when the former one is gone."""
        pool = self.pools[name.pool]
        lives = self.place(name)
        starts = max((life.process.starts for life in lives), default=0)
        lives[:] = [life for life in lives if not life.over]
        waits = any(life.process.state.has_process for life in lives)
        process = lifecycle.Process(State.STARTING, True, starts=starts, reason=QUEUED if waits else "")
        life = self.add(name, pool.process(name.slot), revision, process)
        self.gone.discard(name)
        life.release = release_of(pool, self.pins.get(pool.name))
        self.unstarted.add(life.number)

    def _end(self, life: Life, why: str) -> None:
        process = replace(life.process, wanted=False, reason=why)
        alive = self.is_current(life) and process.state in _ENDING
        self.unstarted.discard(life.number)
        self.become(life, replace(process, state=State.STOPPING if alive else State.STOPPED))
        if alive:
            self.publish(Kind.STOPPING, str(life.name), {"pid": process.pid, "reason": why})

    def prune(self, pool: str, size: int) -> None:
        """See Engine.prune. What Supervisor has of them is taken out of it."""
        if not (self._touch and self._begun):
            return
        for name, lives in [item for item in self.slots.get(pool, {}).items() if item[0].slot >= size]:
            lives[:] = [life for life in lives if not life.over]
            if not lives:
                del self.lives[name], self.slots[pool][name]
                self.gone.add(name)
                self._rounds.stir()

    def retry(self, name: ProcessName) -> None:
        """See Engine.retry; one that was stopped in Supervisor is started too."""
        for life in self.lives.get(name, ()):
            if life.process.wanted and life.process.state in RESTED:
                self.unstarted.add(life.number)
                self.become(life, replace(life.process, state=State.STARTING, reason="", failures=0))
                self._rounds.stir()

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

    def _send(self, name: ProcessName, number: int, *, retiring: bool = False) -> int:
        sent = 0
        for life in self.lives.get(name, ()):
            pid = life.process.pid
            if pid is not None and (life.process.wanted or retiring) and self.is_current(life):
                self._rounds.signals.append((life, pid, number))
                sent += 1
        if sent:
            self._rounds.stir()
        return sent

    def unmark(self, name: ProcessName) -> None:
        """See Engine.unmark."""
        for life in self.lives.get(name, ()):
            life.paused = False

    def block(self, pool: str, what: str) -> None:
        """What the pool depends on is away: Supervisor cannot be told to wait, and goes on as it is set."""

    def wait(self, patience: Mapping[str, float]) -> None:
        """How long processes get to end is written when they are started, and stays so: see Rounds."""

    def views(self, judge: Judge, *, usage: bool = False) -> dict[ProcessName, list[ProcessView]]:
        """See Engine.views."""
        now, wall = self.clock(), time.time()
        return {
            name: [self._view(life, now, wall, judge, usage=usage) for life in lives]
            for name, lives in self.lives.items()
            if lives
        }

    def _view(self, life: Life, now: float, wall: float, judge: Judge, *, usage: bool) -> ProcessView:
        view = life.view(now, wall, judge, usage=usage)
        if life.process.state is State.STARTING and life.process.pid is None:
            return replace(view, reason=life.process.reason)
        return view

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

    # --- what people should know --------------------------------------------------------------------------------------

    @property
    def supervisord(self) -> int:
        """Its pid."""
        return self._looks.supervisord

    @property
    def trouble(self) -> QueuepoolError | None:
        """What keeps us from working with supervisord now."""
        return self._rounds.trouble

    @property
    def troubled_at(self) -> float | None:
        """Since when, of `clock`."""
        return self._rounds.troubled_at

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be between us and supervisord, in sentences."""
        found = []
        if self.trouble is not None:
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - self.clock() + (self.troubled_at or 0.0)))
            found.append(f"{self.trouble.message}; all is shown as it was at {since} ({self.trouble.hint})")
        return (*found, *([self.lost] if self.lost else []), *self.strays)

    def refusal(self, spec: ProcessSpec) -> str:
        """Why a process cannot be written for Supervisor, as far as its name tells; "" when it can."""
        return taken(section_name(spec), self.link, self._looks.strangers)

    @property
    def meant(self) -> tuple[ProcessName, ...]:
        """Slots whose process our file lets run: nobody has begun to stop it."""
        return tuple(made.name for made in self._looks.written.values() if made.runs)

    @property
    def lost(self) -> str:
        """That our file is gone, in a sentence; "" when it is not."""
        if not self._looks.lost:
            return ""
        again = "it is written again" if self._touch else "`queuepool update` writes it again"
        return f"{self.link.file.path} is gone, without which supervisord would not start these processes anew; {again}"

    @property
    def strays(self) -> tuple[str, ...]:
        """Workers of a supervisord that was killed, in sentences."""
        return self._strays.said
