"""The XML-RPC methods that start, stop and signal processes. Each is an operation of queuepool's own with Supervisor's
answers; what several of them mean in a row is xmlrpc_intents.py's matter."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable
from typing import Any

from queuepool.control import acting, messages
from queuepool.control.xmlrpc_face import Face, silent
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_intents import Verdict
from queuepool.control.xmlrpc_names import Member
from queuepool.control.xmlrpc_structs import RUNNING, STOPPED, result
from queuepool.control.xmlrpc_table import Caller, method
from queuepool.domain.names import ProcessName
from queuepool.domain.states import State
from queuepool.domain.units import signal_number
from queuepool.errors import SpawnError
from queuepool.system import children

Results = list[dict[str, Any]]
Outcome = dict[ProcessName, str]


@method("supervisor.startProcess", returns="boolean", name="string", wait="boolean")
async def start_one(face: Face, caller: Caller, name: str, wait: bool = True) -> Any:
    """Start a process, or with `group:*` those of a group. wait: return when it runs or has failed."""
    _, member = face.roster().find(name)
    if member is None:
        return await start_group(face, caller, name.partition(":")[0], wait)
    [item] = await _start(face, caller, [member], wait=wait, running_too=True)
    return _single(item, name)


@method("supervisor.startProcessGroup", returns="array", name="string", wait="boolean")
async def start_group(face: Face, caller: Caller, name: str, wait: bool = True) -> Results:
    """Start the processes of a group that do not run. wait: return when they run or have failed."""
    known = face.roster()
    return await _start(face, caller, known.of(known.group(name)), wait=wait)


@method("supervisor.startAllProcesses", returns="array", wait="boolean")
async def start_all(face: Face, caller: Caller, wait: bool = True) -> Results:
    """Start every process that does not run. wait: return when they run or have failed."""
    return await _start(face, caller, face.roster().members, wait=wait)


@method("supervisor.stopProcess", returns="boolean", name="string", wait="boolean")
async def stop_one(face: Face, caller: Caller, name: str, wait: bool = True) -> Any:
    """Stop a process, or with `group:*` those of a group. wait: return when it is gone."""
    _, member = face.roster().find(name)
    if member is None:
        return await stop_group(face, caller, name.partition(":")[0], wait)
    items = await stop_members(face, caller, [member], wait=wait)
    if not items:
        raise RpcFault(Code.NOT_RUNNING, name)
    return _single(items[0], name)


@method("supervisor.stopProcessGroup", returns="array", name="string", wait="boolean")
async def stop_group(face: Face, caller: Caller, name: str, wait: bool = True) -> Results:
    """Stop the processes of a group that run. wait: return when they are gone."""
    known = face.roster()
    update = caller.update
    if update is not None and update.postpones_stop(name):
        caller.update = update.with_part(name, "stop")
        return [result(member) for member in _in(face, known.of(known.group(name)), RUNNING)]
    members = known.of(known.group(name))
    if update is not None and update.reread is not None and name in update.reread.removed:
        gone = set(update.reread.gone(name))
        members = tuple(member for member in members if member.slot.pool in gone)
    return await stop_members(face, caller, members, wait=wait)


@method("supervisor.stopAllProcesses", returns="array", wait="boolean")
async def stop_all(face: Face, caller: Caller, wait: bool = True) -> Results:
    """Stop every process that runs. wait: return when they are gone."""
    return await stop_members(face, caller, face.roster().members, wait=wait)


@method("supervisor.signalProcess", returns="boolean", name="string", signal="string")
async def signal_one(face: Face, caller: Caller, name: str, signal: str) -> Any:
    """Send a signal, by name or number, to a process, or with `group:*` to those of a group."""
    _, member = face.roster().find(name)
    if member is None:
        return await signal_group(face, caller, name.partition(":")[0], signal)
    _checked(signal)
    items = await _signal(face, [member], signal)
    if not items:
        raise RpcFault(Code.NOT_RUNNING, name)
    return _single(items[0], name)


@method("supervisor.signalProcessGroup", returns="array", name="string", signal="string")
async def signal_group(face: Face, caller: Caller, name: str, signal: str) -> Results:
    """Send a signal to the processes of a group that run."""
    known = face.roster()
    return await _signal(face, known.of(known.group(name)), signal)


@method("supervisor.signalAllProcesses", returns="array", signal="string")
async def signal_all(face: Face, caller: Caller, signal: str) -> Results:
    """Send a signal to every process that runs."""
    return await _signal(face, face.roster().members, signal)


@method("supervisor.sendProcessStdin", returns="boolean", name="string", chars="string")
async def send_stdin(face: Face, caller: Caller, name: str, chars: str) -> bool:
    """Send text to the standard input of a process. Only event listeners have one, the others end in NO_FILE."""
    member = face.roster().process(name)
    if not _in(face, [member], frozenset({State.RUNNING, State.STARTING})):
        raise RpcFault(Code.NOT_RUNNING, name)
    if not face.control.engine.feed(member.slot, chars.encode()):
        raise RpcFault(Code.NO_FILE, name)
    return True


async def stop_members(face: Face, caller: Caller, members: Iterable[Member], *, wait: bool) -> Results:
    """Stop these; an item for each that ran. What is FATAL or waits for another program is kept from starting too: it
    would do so by itself here, and in Supervisor it would not."""
    members = list(members)
    running = _in(face, members, RUNNING)
    if caller.verdict is Verdict.POSTPONE:
        face.postpone(caller, [member.slot for member in running])
    else:
        facts = face.facts(face.roster())
        waiting = [m for m in _in(face, members, frozenset({State.FATAL, State.STOPPED})) if facts[m.slot].view.wanted]
        if words := face.selectors(member.slot for member in (*running, *waiting)):
            await acting.stop(face.operator, messages.Stop(words, wait=wait), silent)
    return [result(member) for member in running]


async def _start(
    face: Face, caller: Caller, members: Iterable[Member], *, wait: bool, running_too: bool = False
) -> Results:
    """Start these; an item for each, running_too: also for those that ran already."""
    members = list(members)
    slots = [member.slot for member in members]
    replaced = face.take(caller, slots) if caller.verdict is Verdict.REPLACE else frozenset()
    running = {member.slot for member in _in(face, members, RUNNING)}
    items: dict[ProcessName, dict[str, Any]] = {}
    fresh = []
    for member in members:
        if member.slot in replaced:
            continue
        if (fault := _cannot_start(face, member)) and (running_too or member.slot not in running):
            items[member.slot] = result(member, fault.code, fault.text)
        elif member.slot in running:
            if running_too:
                fault = RpcFault(Code.ALREADY_STARTED, member.full)
                items[member.slot] = result(member, fault.code, fault.text)
        else:
            fresh.append(member.slot)
    outcome = await _begin(face, replaced, fresh, wait=wait)
    for member in members:
        if member.slot in outcome:
            fault = RpcFault(Code.SPAWN_ERROR, member.full)
            bad = outcome[member.slot] == "failed"
            items[member.slot] = result(member, fault.code, fault.text) if bad else result(member)
    return [items[slot] for slot in slots if slot in items]


async def _begin(face: Face, replaced: Iterable[ProcessName], fresh: Iterable[ProcessName], *, wait: bool) -> Outcome:
    asked = []
    if words := face.selectors(replaced):
        asked.append(acting.restart(face.operator, messages.Restart(words, wait=wait), silent))
    if words := face.selectors(fresh):
        asked.append(acting.start(face.operator, messages.Start(words, wait=wait), silent))
    replies = await asyncio.gather(*asked)
    return {ProcessName.parse(item["name"]): item["result"] for reply in replies for item in reply["results"]}


def _cannot_start(face: Face, member: Member) -> RpcFault | None:
    """Why it is known beforehand that a process cannot be made (supervisor/options.py, check_execv_args)."""
    spec = face.control.pools.get(member.slot.pool)
    if spec is None:
        return RpcFault(Code.BAD_NAME, member.full)
    launch = spec.process(member.slot.slot).launch
    command = launch.argv[0]
    try:
        who = children.identity(launch.user, launch.group, launch.groups)
    except SpawnError:
        return None  # said by the attempt, and kept in `status`
    if "/" in command:
        places = [os.path.join(launch.directory, command)]
    else:
        path = children.environment(launch, who, {})["PATH"].split(":")
        places = [os.path.join(directory, command) for directory in path]
    for place in places:
        try:
            mode = os.stat(place).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            return RpcFault(Code.NOT_EXECUTABLE, f"command at {place!r} is a directory")
        if not mode & 0o111:
            return RpcFault(Code.NOT_EXECUTABLE, f"command at {place!r} is not executable")
        return None
    return RpcFault(Code.NO_FILE, f"can't find command {command!r}")


async def _signal(face: Face, members: Iterable[Member], signal: str) -> Results:
    """Signal these; an item for each that runs. One that is being stopped gets no other signal."""
    running = _in(face, members, frozenset({State.RUNNING, State.STARTING}))
    if not running:
        return []
    try:
        _checked(signal)
    except RpcFault as fault:
        return [result(member, fault.code, fault.text) for member in running]
    words = face.selectors(member.slot for member in running)
    reply = await acting.signal(face.operator, messages.Signal(words, signal), silent)
    sent = {item["name"] for item in reply["results"] if item["result"] == "signalled"}
    missed = Code.NOT_RUNNING
    return [
        result(member) if str(member.slot) in sent else result(member, missed, f"{missed.name}: {member.full}")
        for member in running
    ]


def _checked(signal: str) -> None:
    try:
        signal_number(signal)
    except ValueError:
        raise RpcFault(Code.BAD_SIGNAL, signal) from None


def _in(face: Face, members: Iterable[Member], states: frozenset[State]) -> list[Member]:
    facts = face.facts(face.roster())
    return [member for member in members if member.slot in facts and facts[member.slot].state in states]


def is_stopped(face: Face, members: Iterable[Member]) -> bool:
    """Whether none of these runs or is on its way."""
    members = list(members)
    return len(_in(face, members, STOPPED)) == len(members)


def _single(item: dict[str, Any], name: str) -> bool:
    code = Code(item["status"])
    if code is Code.SUCCESS:
        return True
    words = item["description"] if code in (Code.NO_FILE, Code.NOT_EXECUTABLE) else f"{code.name}: {name}"
    raise RpcFault(code, words.partition(": ")[2])
