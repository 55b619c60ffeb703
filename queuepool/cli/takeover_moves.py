"""Moves groups from supervisord to the daemon, one by one, and back where one fails; remembers how far it came.
What is to be moved is formats/supervisor_takeover.py's decision, what is said before and after takeover.py's."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from queuepool.cli.render import clean
from queuepool.control.client import Client
from queuepool.control.messages import Shutdown, Start, Stop
from queuepool.domain import amounts
from queuepool.domain.names import ProcessName
from queuepool.engines.supervisord_client import Supervisord
from queuepool.errors import NotRolledBack, QueuepoolError
from queuepool.formats.supervisor_takeover import ALIVE, BACKOFF, RUNNING, STARTING, STOPPING, Memory, Move, Plan
from queuepool.system import procstat
from queuepool.system.rundir import RunDirectory

LOOK_SECONDS = 0.1
TELL_SECONDS = 10.0
"""How often a long wait is told."""
START_SECONDS = 120.0
"""How long processes may say nothing while they start, here or there."""
GRACE_SECONDS = 1.0
"""How long what a program had started may take to end after it."""
MEMORY = "takeover.json"
"""What is known of the take-over, in the directory `state` of the daemon."""


def count(number: int) -> str:
    """`3 processes`."""
    return amounts.count(number, "process", "processes")


def _tell(text: str) -> None:
    """A line; the terminal may be gone."""
    with contextlib.suppress(OSError):
        click.echo(clean(text))


def _survivors(members: dict[int, str]) -> list[int]:
    """Those that live still, a moment after their leaders have ended."""
    deadline = time.monotonic() + GRACE_SECONDS
    while left := [pid for pid, birth in members.items() if procstat.birth(pid) == birth]:
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_SECONDS)
    return left


class Mover:
    """One take-over under way. config: the queuepool.yml. again: the command line that goes on with it, for hints."""

    def __init__(self, supervisord: Supervisord, config: str, again: str) -> None:
        self.supervisord, self.config, self.again = supervisord, config, again
        self.directory = RunDirectory(config)
        self.client = Client(self.directory.socket)
        self.memory = self._remembered()

    def move(self, decided: Plan, decide: Callable[[], Plan]) -> None:
        """Every group in its turn, up to one that cannot be moved. decide: looks again. Raises QueuepoolError when that
        one runs there as before, NotRolledBack when it does not."""
        begun = self.directory.pid() is None
        if begun:
            self._start_daemon(decided)
        for group in [move.group for move in decided.moves]:
            # Looked at again: the groups before it may have taken an hour.
            move = next((one for one in decide().moves if one.group == group), None)
            if move is None:
                _tell(f"{group}: does not run there any more; not moved")
                continue
            for warning in move.warnings:
                _tell(f"warning: {warning}")
            self._remember(Memory(self.memory.moved, move.group, move.ran))
            before = self._running(move)
            try:
                self._stop_there(move)
                self._start_here(move)
            except QueuepoolError as error:
                self._go_back(move, before, error, end=begun and not self.memory.moved)
            moved = tuple(dict.fromkeys([*self.memory.moved, move.group]))
            self._remember(Memory(moved))

    def _start_daemon(self, decided: Plan) -> None:
        from queuepool.cli.detach import start
        from queuepool.controller.overrides import OverrideStore

        self.directory.make()
        store = OverrideStore(self.directory.overrides)
        before = store.value.held
        store.hold(decided.hold)
        try:
            pid = start(self.config, lambda line: None)  # look_ahead has said it
        except QueuepoolError:
            store.release(set(decided.hold) - before)
            raise
        _tell(f"up: the daemon has pid {pid}; what is to be moved is held until its turn")

    def _running(self, move: Move) -> set[ProcessName]:
        names = {str(name) for name in move.start}
        return {
            ProcessName(p["program"], p["slot"])
            for p in self.client.status()["processes"]
            if p["name"] in names and p["pid"] and p["wanted"]
        }

    def _stop_there(self, move: Move) -> None:
        """Returns when they have ended there, however long their jobs take: Supervisor's stopwaitsecs alone ends the
        wait."""
        began = time.monotonic()
        members = self._members(move)
        if move.stop:
            _tell(f"{move.group}: stopping {count(len(move.stop))} there")
            self.supervisord.stop(move.group, move.stop, whole=move.whole)
        else:
            _tell(f"{move.group}: all are stopped there already")
        tell_at = began + TELL_SECONDS
        while left := [name for name, state in self.supervisord.states(move.ran).items() if state in ALIVE]:
            if time.monotonic() > tell_at:
                more = f" and {len(left) - 1} more" if len(left) > 1 else ""
                _tell(f"{move.group}: {left[0]}{more} still ends its job ({time.monotonic() - began:.0f} s)")
                tell_at += TELL_SECONDS
            time.sleep(LOOK_SECONDS)
        if move.stop:
            _tell(f"{move.group}: stopped there after {time.monotonic() - began:.1f} s")
        if alive := _survivors(members):
            _tell(f"warning: {move.group}: the stop there did not reach what the program had started, and it runs on:")
            for pid in alive:
                _tell(f"  pid {pid}: {' '.join(procstat.arguments(pid)).strip()[:200]}")
            _tell(f"  a worker ends its job, and then itself: `kill {' '.join(map(str, alive))}`")

    def _members(self, move: Move) -> dict[int, str]:
        """The processes of its process groups and their births, where supervisord is on this machine."""
        stop = set(move.stop)
        there = (info.pid for info in self.supervisord.infos() if f"{info.group}:{info.name}" in stop)
        return procstat.group_members({pid for pid in there if pid and procstat.parent(pid) == self.supervisord.pid})

    def _start_here(self, move: Move) -> None:
        """Returns when they are RUNNING. Raises QueuepoolError when one is not."""
        if not move.start:
            return
        names = tuple(map(str, move.start))
        reply = self._ask(Start(names), "start")
        failed = [item for item in reply["results"] if item["result"] == "failed"]
        if failed:
            raise QueuepoolError(f"{failed[0]['display']} does not start here: {failed[0]['message']}")
        late = [p for p in self.client.status(names)["processes"] if p["state"] not in ("RUNNING", "EXITED")]
        if late:
            raise QueuepoolError(f"{late[0]['display']} does not run here: {late[0]['reason'] or late[0]['state']}")
        _tell(f"{move.group}: {count(len(names))} here")

    def _ask(self, request: Start | Stop, word: str) -> dict[str, Any]:
        """The reply, unless nothing happens for too long at a start."""
        heard = time.monotonic()

        def progress(item: dict[str, Any]) -> None:
            nonlocal heard
            heard = time.monotonic()

        def idle() -> None:
            if word == "start" and time.monotonic() - heard > START_SECONDS:
                raise QueuepoolError(f"nothing starts here for {START_SECONDS:.0f} s")

        return self.client.ask(request, progress, idle)

    # --- going back ---------------------------------------------------------------------------------------------------

    def _go_back(self, move: Move, before: set[ProcessName], error: QueuepoolError, *, end: bool) -> None:
        """Stop here what this move started, start there what ran; then raise what went wrong. end: also the daemon."""
        _tell(f"{move.group}: {error.message}")
        try:
            started = tuple(str(name) for name in move.start if name not in before)
            if started:
                if alive := self._running(move) - before:
                    _tell(f"{move.group}: stopping {count(len(alive))} here")
                self._ask(Stop(started), "stop")
            self._start_there(move)
            if end:
                self.client.ask(Shutdown())
                while self.directory.pid() is not None:
                    time.sleep(LOOK_SECONDS)
        except QueuepoolError as worse:
            raise NotRolledBack(
                f"cannot move {move.group}: {error.message}; and it cannot be put back: {worse.message}",
                f"start it by hand: `supervisorctl start {move.group}:*`, or mend it, then: {self.again}",
            ) from None
        self._remember(Memory(self.memory.moved))
        moved = f"; moved before: {', '.join(self.memory.moved)}" if self.memory.moved else ""
        raise QueuepoolError(
            f"cannot move {move.group}: {error.message}; it runs in Supervisor as before{moved}",
            f"mend it, then: {self.again}",
        ) from None

    def _start_there(self, move: Move) -> None:
        """Returns when what ran there runs there. One that still ends its job is started when it has."""
        told: set[str] = set()
        deadline = time.monotonic() + START_SECONDS
        while True:
            states = self.supervisord.states(move.ran)
            if all(state == RUNNING for state in states.values()):
                break
            for name, state in states.items():
                if state in (STARTING, BACKOFF, RUNNING, STOPPING):
                    continue
                if name in told:
                    raise QueuepoolError(f"{name} does not start there again")
                self.supervisord.start(name)
                told.add(name)
            if STOPPING in states.values():
                deadline = time.monotonic() + START_SECONDS
            if time.monotonic() > deadline:
                raise QueuepoolError(f"{move.group} does not start there within {START_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
        _tell(f"{move.group}: {count(len(states))} there again")

    @property
    def _path(self) -> str:
        return os.path.join(self.directory.state, MEMORY)

    def _remembered(self) -> Memory:
        try:
            with open(self._path, encoding="utf-8") as file:
                value = json.load(file)
            if value["supervisord"] != str(self.supervisord.endpoint):
                return Memory()
            return Memory(tuple(map(str, value["moved"])), str(value["group"]), tuple(map(str, value["ran"])))
        except (OSError, ValueError, KeyError, TypeError):
            return Memory()

    def _remember(self, memory: Memory) -> None:
        """Keep it for the next call, before anything is done that it tells of."""
        text = json.dumps(asdict(memory) | {"supervisord": str(self.supervisord.endpoint)})
        try:
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(self._path + ".new", self._path)
        except OSError as error:
            raise QueuepoolError(
                f"cannot write {self._path}: {error.strerror}", "run this as the user that runs the daemon"
            ) from None
        self.memory = memory
