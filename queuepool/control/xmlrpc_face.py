"""What the XML-RPC methods work on: the operator, what is true of each process, what was reread, and the calls that are
answered and not done yet. The methods stand in xmlrpc_info.py, _acting.py, _groups.py and _logs.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from queuepool.control import acting, messages
from queuepool.control.operations import Operator
from queuepool.control.xmlrpc_intents import GRACE_SECONDS, Kind, Restart, hear
from queuepool.control.xmlrpc_names import Groups, Roster, groups_of, roster
from queuepool.control.xmlrpc_structs import Facts, chosen
from queuepool.control.xmlrpc_table import Caller, call
from queuepool.controller.controller import Controller
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import Loaded

KINDS = {
    "supervisor.getVersion": Kind.VERSION,
    "supervisor.getAPIVersion": Kind.VERSION,
    **dict.fromkeys(
        ("supervisor.stopProcess", "supervisor.stopProcessGroup", "supervisor.stopAllProcesses"), Kind.STOP
    ),
    **dict.fromkeys(
        ("supervisor.startProcess", "supervisor.startProcessGroup", "supervisor.startAllProcesses"), Kind.START
    ),
}


class Face:
    """Answers calls. Made inside the daemon's loop.

    main_log: path of the daemon's own log. on_defect: told of an exception that nobody foresaw.
    """

    def __init__(self, operator: Operator, main_log: str, on_defect: Callable[[BaseException], None]) -> None:
        self.operator = operator
        self.main_log = main_log
        self.ending = False
        self._on_defect = on_defect
        self._reread: tuple[Loaded, Loaded] | None = None
        self._restarts: dict[int, Restart] = {}
        self._alarms: dict[object, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def control(self) -> Controller:
        """The controller, to look at."""
        return self.operator.controller

    @property
    def stopping(self) -> bool:
        """Whether the daemon is about to end."""
        return self.ending or self.control.stopping

    async def call(self, caller: Caller, name: str, given: Iterable[Any]) -> Any:
        """Do what a call asks for, to its end even when nobody waits for that any more. Raises RpcFault."""
        return await asyncio.shield(self.spawn(call(self, caller, name, list(given))))

    def spawn(self, work: Coroutine[Any, Any, Any], *, alone: bool = False) -> asyncio.Task[Any]:
        """Run `work` as a task of its own. alone: nobody waits for it, so a failure is a defect."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps no strong reference to a task
        task.add_done_callback(self._done_alone if alone else self._tasks.discard)
        return task

    def _done_alone(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._on_defect(error)

    # --- what is true -------------------------------------------------------------------------------------------------

    @property
    def latest(self) -> Loaded:
        """The file as it was read last: by reloadConfig, or by whoever has brought another reading in force since."""
        if self._reread and any(self.control.loaded is known for known in self._reread):
            return self._reread[0]
        return self.control.loaded

    @latest.setter
    def latest(self, loaded: Loaded) -> None:
        self._reread = loaded, self.control.loaded

    def groups(self) -> Groups:
        """The groups in force."""
        return groups_of(self.control.pools, self.control.loaded.groups)

    def roster(self) -> Roster:
        """Every process there is, by Supervisor's names."""
        return roster(self.control.displays(), self.groups(), self.control.pools)

    def facts(self, known: Roster) -> dict[ProcessName, Facts]:
        """What is known of each process, in the order of the roster."""
        views: dict[str, list[ProcessView]] = {}
        for view in self.control.views()[1]:
            views.setdefault(view.name, []).append(view)
        found = {}
        for member in known.members:
            if seen := views.get(str(member.slot)):
                view, lives = chosen(seen), self.control.engine.lives.get(member.slot, ())
                started = view.started_at or (lives[-1].started_at if lives else None)
                found[member.slot] = Facts(member, view, started, self._logs(member.slot))
        return found

    def _logs(self, slot: ProcessName) -> tuple[str | None, str | None]:
        lives = self.control.engine.lives.get(slot)
        spec = self.control.pools.get(slot.pool)
        process = lives[-1].spec if lives else spec.process(slot.slot) if spec else None
        if process is None:
            return None, None
        return process.stdout.path, process.stderr.path if process.stderr else None

    def selectors(self, slots: Iterable[ProcessName]) -> tuple[str, ...]:
        """The shortest words that name just these: `program:*` where all of a program are meant."""
        chosen = set(slots)
        every: dict[str, set[ProcessName]] = {}
        for slot in self.control.displays():
            every.setdefault(slot.pool, set()).add(slot)
        whole = {pool for pool, its in every.items() if its <= chosen}
        words = (f"{slot.pool}:*" if slot.pool in whole else str(slot) for slot in sorted(chosen))
        return tuple(dict.fromkeys(words))

    # --- what was answered and not done yet ---------------------------------------------------------------------------

    async def hear(self, caller: Caller, name: str) -> None:
        """Put a call into the row of those that its process made, and do what cannot be put off any longer."""
        kind = KINDS.get(name, Kind.OTHER)
        if not caller.pid or (kind is not Kind.VERSION and caller.pid not in self._restarts):
            return
        before = self._restarts.get(caller.pid, Restart(at=time.monotonic()))
        if not caller.fresh and (kind is Kind.VERSION or (kind is Kind.STOP and not before.stopping)):
            kind = Kind.OTHER  # supervisorctl opens a connection for each of these
        after, caller.verdict, due = hear(before, kind, time.monotonic())
        self._keep(caller.pid, after)
        await self._stop(due)

    def postpone(self, caller: Caller, slots: Iterable[ProcessName]) -> None:
        """The stop of these was answered and is left to what follows."""
        kept = self._restarts[caller.pid]
        self._keep(caller.pid, replace(kept, postponed=kept.postponed | frozenset(slots)))

    def take(self, caller: Caller, slots: Iterable[ProcessName]) -> frozenset[ProcessName]:
        """Those of `slots` whose stop was postponed; it is not due any more."""
        kept = self._restarts.get(caller.pid, Restart())
        taken = kept.postponed & frozenset(slots)
        self._keep(caller.pid, replace(kept, postponed=kept.postponed - taken))
        return taken

    def _keep(self, pid: int, restart: Restart) -> None:
        self._restarts[pid] = restart
        self.alarm(pid, lambda: self._stop(self._restarts.pop(pid, Restart()).postponed))

    async def _stop(self, due: frozenset[ProcessName]) -> None:
        if due:
            await acting.stop(self.operator, messages.Stop(self.selectors(due), wait=False), silent)

    def alarm(self, key: object, due: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do `due` after the grace, unless this or `calm` is called before with the same key."""
        self.calm(key)
        loop = asyncio.get_running_loop()

        def ring() -> None:
            self._alarms.pop(key, None)
            self.spawn(due(), alone=True)

        self._alarms[key] = loop.call_later(GRACE_SECONDS, ring)

    def calm(self, key: object) -> None:
        """Forget that alarm."""
        if alarm := self._alarms.pop(key, None):
            alarm.cancel()


def silent(_: dict[str, Any]) -> None:
    """Progress that nobody is told of."""
