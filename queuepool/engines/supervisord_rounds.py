"""The rounds of `engine: supervisord`: look, do the next steps, look again, until nothing is left to do; then wait, and
begin anew. What the steps are is formats/supervisor_steps.py's decision, what a look means supervisord_looks.py's.
supervisord has no way to tell, so it is asked about once a second while something is expected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from queuepool.domain.events import Kind
from queuepool.domain.pool import LogPolicy, PoolSpec
from queuepool.domain.states import State
from queuepool.engines.life import Life
from queuepool.engines.supervisord_client import SupervisordAway
from queuepool.engines.supervisord_link import Link
from queuepool.engines.supervisord_lives import SupervisedLives
from queuepool.engines.supervisord_looks import Looks
from queuepool.engines.supervisord_sections import section_for
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_export import CannotExport
from queuepool.formats.supervisor_slots import Entry
from queuepool.formats.supervisor_steps import ALIVE, goals, steps

MOST_ROUNDS = 50
Patience = Callable[[PoolSpec], Awaitable[float | None]]
"""A pool -> seconds that its processes need to end, where the application says more than the file."""
_EXPECTED = frozenset({State.STARTING, State.STOPPING, State.BACKOFF})


class Rounds:
    """pools(): those in force. clock(): seconds. patience: asked once for each process that is to be written down; what
    it says later concerns the processes that follow, for Supervisor would have to end one to be told. busy, idle:
    seconds between two looks while something is expected, and while nothing is.

    trouble: what keeps us from working with supervisord now; troubled_at: since when. signals: (life, its pid, number)
    that are to be sent.
    """

    def __init__(
        self,
        link: Link,
        lives: SupervisedLives,
        looks: Looks,
        pools: Callable[[], Mapping[str, PoolSpec]],
        clock: Callable[[], float],
        *,
        patience: Patience | None,
        busy: float,
        idle: float,
    ) -> None:
        self.trouble: QueuepoolError | None = None
        self.troubled_at: float | None = None
        self.signals: list[tuple[Life, int, int]] = []
        self._link, self._lives, self._looks = link, lives, looks
        self._pools, self._clock = pools, clock
        self._patience, self._busy, self._idle = patience, busy, idle
        self._wake, self._passed = asyncio.Event(), asyncio.Event()
        self._pending = False

    def stir(self) -> None:
        """Something is to be done: the next round begins now."""
        self._pending = True
        self._wake.set()

    async def rest(self) -> None:
        """Returns when nothing is left to be done in Supervisor but waiting for processes to end or start, and no
        process waits for its place."""
        while self._pending or any(self._lives.waits(life) for life in self._lives.all()):
            self._passed.clear()
            await self._passed.wait()

    async def go(self) -> None:
        """Round after round, for ever."""
        while True:
            try:
                await self._go_round()
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
        expected = any(life.process.state in _EXPECTED or self._lives.waits(life) for life in self._lives.all())
        return self._busy if expected else self._idle

    async def _go_round(self) -> None:
        """Until nothing is to be done; what comes again and again is left for a while."""
        for _ in range(MOST_ROUNDS):
            self._wake.clear()
            await self._looks.again()
            await asyncio.sleep(0)  # what was seen may let the controller ask for something
            await self._signal()
            await self._write_up()
            if await self._step():
                continue
            await asyncio.to_thread(self._link.remember, self._looks.memory())
            if not self._wake.is_set():
                self._pending = False
                return

    async def _signal(self) -> None:
        while self.signals:
            life, pid, number = first = self.signals.pop(0)
            if life.process.pid != pid or not self._lives.is_current(life):
                continue  # it has ended since
            try:
                await asyncio.to_thread(self._link.signal, self._lives.entries[life.number].section, number)
            except SupervisordAway:
                self.signals.insert(0, first)
                raise

    async def _write_up(self) -> None:
        """Make up the sections of what is to be started. Nobody else may have their names, which is looked at anew."""
        if not (lives := self._lives.unwritten()):
            return
        self._link.reread()
        await asyncio.to_thread(lambda: self._link.installed)
        for life in lives:
            pool = self._pools().get(life.name.pool)
            if pool is None or not life.process.wanted:
                continue
            try:
                asked = replace(pool, app=life.release) if life.release else pool  # the release that it is to run
                patience = await self._patience(asked) if self._patience is not None else None
                made = section_for(life, pool, self._link, self._looks.strangers, patience)
            except (CannotExport, QueuepoolError) as error:
                self._lives.lose(life, f"cannot be written for Supervisor: {error}")
            else:
                self._lives.entries[life.number] = made

    async def _step(self) -> bool:
        """The next steps; whether there were any but for the file."""
        looks, wanted = self._looks, self._lives.wanted()
        entries = {name: self._lives.entries[life.number] for name, life in wanted.items()}
        aims = goals(entries, self._lives.gone, looks.written)
        self._lives.tidy(looks.written)
        plan = steps(aims, looks.written, looks.states, self._lives.to_start())
        if plan.file != looks.written or looks.lost:
            if any(made.runs for made in plan.file.values()):
                await asyncio.to_thread(self._link.check)
            await asyncio.to_thread(self._link.write, plan.file, looks.supervisord)
            looks.written, looks.lost = dict(plan.file), False
        if plan:
            logs = {section: self._logs(plan.file[section]) for section in plan.add}
            owners = {entries[name].section: life for name, life in wanted.items()}
            for section in (*plan.add, *plan.start):
                looks.prints.mark(owners[section].spec.stdout.path)
            failed = await asyncio.to_thread(self._link.perform, plan, logs)
            self._performed([owners[section] for section in (*plan.add, *plan.start)], failed)
        else:
            self._performed([life for life in wanted.values() if self._runs_already(life)], {})
        return bool(plan)

    def _runs_already(self, life: Life) -> bool:
        """Whether one that waits to be started was started by somebody else, or never ended: a stop and a start came
        before the next look."""
        made = self._lives.entries[life.number]
        alive = self._looks.states.get(made.section) in ALIVE
        return self._lives.waits(life) and alive and made.same(self._looks.written.get(made.section))

    def _logs(self, made: Entry) -> tuple[LogPolicy, ...]:
        pool = self._pools().get(made.name.pool)
        if pool is None:
            return ()
        spec = pool.process(made.name.slot)
        return (spec.stdout,) if spec.stderr is None else (spec.stdout, spec.stderr)

    def _performed(self, owners: Sequence[Life], failed: Mapping[str, str]) -> None:
        """These lives have their place in Supervisor now, or were started there. failed: section -> why it was not."""
        for owner in owners:
            section = self._lives.entries[owner.number].section
            self._lives.current[section] = owner.number
            self._lives.unstarted.discard(owner.number)
            for life in list(self._lives.lives.get(owner.name, ())):
                if life is owner:
                    self._lives.become(life, replace(life.process, reason=failed.get(section, "")))
                elif not life.process.wanted:
                    self._lives.become(life, replace(life.process, state=State.STOPPED, pid=None))

    def _ill(self, error: QueuepoolError) -> None:
        if self.trouble is None:
            self.troubled_at = self._clock()
            self._lives.publish(Kind.SUPERVISORD_TROUBLE, "", {"reason": error.message})
        self.trouble = error
        self._link.reread()
        if isinstance(error, SupervisordAway):
            self._lives.changed("", False)

    def _well(self) -> None:
        if self.trouble is not None:
            lasted = self._clock() - (self.troubled_at or 0.0)
            self._lives.publish(Kind.SUPERVISORD_WELL, "", {"seconds": round(lasted, 1)})
            self.trouble = self.troubled_at = None
            self._lives.changed("", False)
