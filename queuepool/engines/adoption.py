"""Finding again what a former daemon started: after a SIGKILL of it (the processes are strangers now) or an exec in
place (they are our children still). A process is only taken when it is surely the one that was recorded."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import replace

from queuepool.domain import lifecycle
from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, LogPolicy, Policy, ProcessSpec
from queuepool.domain.states import State
from queuepool.engines.ear import Ear, unread
from queuepool.engines.life import Life
from queuepool.engines.local import LocalEngine
from queuepool.engines.record import Entry
from queuepool.system import children, procstat

_PIPE = re.compile(r"(?P<pool>.+)\.(?P<slot>\d+)\.(?P<life>\d+)\.out\Z")


def adopt(engine: LocalEngine) -> int:
    """Take over every process of the engine's record that still lives; how many. Those that ended meanwhile are
    journalled, and what they had printed is kept. Processes that hold one of our pipes but are in no record (it was
    lost) are taken by the name of the pipe."""
    record = engine.record
    record.load()
    behind = record.behind
    engine.board.load()
    holders = procstat.holders(engine.pipes.directory)
    by_pipe: dict[str, dict[int, int]] = {}
    for pid, (pipe, session) in holders.items():
        by_pipe.setdefault(pipe, {})[pid] = session
    base = os.path.realpath(engine.pipes.directory)
    known = {entry.pipe for entry in record.entries.values()}
    for pipe, pids in by_pipe.items():
        path = os.path.join(engine.pipes.directory, os.path.relpath(pipe, base))
        if path not in known and (entry := _from_pipe(path, pids)):
            record.entries[entry.life] = entry
    taken = 0
    for entry in sorted(record.entries.values(), key=lambda entry: entry.life):
        real = os.path.join(base, os.path.basename(entry.pipe))
        taken += _take(engine, entry, by_pipe.get(real, {}), behind=behind)
    engine.next_number = 1 + max((entry.life for entry in record.entries.values()), default=0)
    for lives in engine.lives.values():  # a replaced process that ended meanwhile has a successor to tell of the slot
        lives[:] = [life for life in lives if not life.over] or lives[-1:]
    engine.board.settle()
    engine.pipes.pump.finish_leftovers()
    _sweep_pipes(engine)
    record.rewrite()
    return taken


def _from_pipe(path: str, pids: dict[int, int]) -> Entry | None:
    found = _PIPE.match(os.path.basename(path))
    leader = next((pid for pid, session in pids.items() if pid == session), 0)
    if not found or not leader:
        return None
    name = f"{found['pool']}:{int(found['slot'])}"
    err = path[:-3] + "err"
    return Entry(
        name=name,
        life=int(found["life"]),
        pipe=path,
        err=err if os.path.exists(err) else None,
        fingerprint="",  # unknown settings: it is replaced in the manner of a rolling restart
        serial=0,
        pid=leader,
        birth=procstat.birth(leader) or "",
        started=time.time(),
        starts=1,
    )


def _take(engine: LocalEngine, entry: Entry, pids: dict[int, int], *, behind: bool) -> bool:
    """Make the entry a life of the engine again. pids: who holds its pipe, with their sessions. behind: as the record
    was."""
    pid = entry.pid
    if not pid or (behind and procstat.birth(pid) != entry.birth):  # it has, or may have, a successor
        pid = next((pid for pid, session in pids.items() if pid == session), pid)
    birth = procstat.birth(pid) if pid else None
    alive = birth is not None and (entry.birth == birth or pid != entry.pid)
    life = _life(engine, entry)
    try:
        engine.pipes.open(life)
    except OSError:  # the pipe was removed by hand; the process lives on, what it prints is lost
        life.pipes, life.fds = (), ()
    life.desk = engine.board.seat(life.name.pool, life.number, adopted=True)
    life.ear = engine.listeners.restore(life, engine.pipes.input(life), entry.listener)
    if alive and life.fds and life.ear is not None and _waits_for_an_event(life.ear, life.fds[0], pid):
        engine.listeners.waits(life, life.ear)
    engine.tap(life)
    engine.pipes.attach(life, adopted=True)
    engine.place(life.name).append(life)
    if alive:
        _resume(engine, life, entry, pid, birth or "")
        return True
    code: int | None = None
    with contextlib.suppress(ChildProcessError):
        code = children.reap(pid) if pid else None
    life.process = lifecycle.Process(State.STOPPING, pid=pid or None, starts=entry.starts, reason=lifecycle.MEANWHILE)
    life.process = replace(life.process, started=engine.clock() - max(0.0, time.time() - entry.started))
    rest = {other for other, session in pids.items() if session == pid and other != pid}
    if rest and pid:
        life.process = replace(life.process, leader_gone=True, deadline=engine.clock() + entry.stop_seconds)
        engine.deadlines.arm(life)
        engine.endings.sweep(life, pid, 15)
    elif pid:
        engine.endings.exited(life, pid, code, rest=False)
    else:  # it had ended, or waited for its next start, or the former daemon ended before it made the process
        life.process = replace(life.process, state=State.STOPPED)
        engine.forget(life)
        engine.clear_desk(life)
    return False


def _waits_for_an_event(ear: Ear, output: int, pid: int) -> bool:
    """Whether a listener has read all that it was given, and has said all that it has to say: it waits for more. What
    it does is looked at first, so that nothing can come between."""
    return procstat.waits_for_input(pid) and ear.usable and not unread(ear.fd) and not unread(output)


def _resume(engine: LocalEngine, life: Life, entry: Entry, pid: int, birth: str) -> None:
    life.started_at = entry.started
    life.release = entry.release
    life.paused = entry.paused
    life.adopted = procstat.parent(pid) != os.getpid()
    lived = max(0.0, time.time() - entry.started)
    life.process = lifecycle.Process(State.STARTING, wanted=True, starts=max(0, entry.starts - 1))
    engine.record.change(life.number, pid=pid, birth=birth)
    engine.endings.watch(life, pid)
    engine.handle(life, lifecycle.Spawned(pid, lived, adopted=life.adopted))
    if entry.retiring:
        left = max(0.0, entry.kill_at - time.time())
        life.process = replace(
            life.process, state=State.STOPPING, wanted=False, deadline=engine.clock() + left, reason="stopped"
        )
        engine.deadlines.arm(life)


def _life(engine: LocalEngine, entry: Entry) -> Life:
    name = entry.process
    pool = engine.pools.get(name.pool)
    spec = pool.process(name.slot) if pool else _departed(name, entry)
    pipes = (entry.pipe, entry.err) if entry.err else (entry.pipe,)
    return Life(name, entry.life, spec, Revision(entry.fingerprint, entry.serial), pipes=pipes)


def _departed(name: ProcessName, entry: Entry) -> ProcessSpec:
    """What is needed to drain a process whose program is no longer in the file."""
    launch = Launch(("",), "/", redirect_stderr=entry.err is None)
    return ProcessSpec(
        name, str(name), launch, Policy(stop_seconds=entry.stop_seconds), LogPolicy(entry.log), LogPolicy(entry.log)
    )


def _sweep_pipes(engine: LocalEngine) -> None:
    """Remove the pipes of lives that are gone."""
    known = [life for lives in engine.lives.values() for life in lives]
    used = {pipe for life in known for pipe in life.pipes}
    used |= {path for life in known if life.ear for path in (life.ear.path, life.ear.event_path)}
    for name in os.listdir(engine.pipes.directory):
        path = os.path.join(engine.pipes.directory, name)
        if path not in used:
            with contextlib.suppress(OSError):
                os.unlink(path)
