"""The XML-RPC methods that tell of the daemon and its processes, and those that end it or begin it anew."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from typing import Any

from queuepool.control import messages, operations
from queuepool.control.xmlrpc_face import Face, silent
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_names import groups_of, roster
from queuepool.control.xmlrpc_structs import config_info, process_info
from queuepool.control.xmlrpc_table import Caller, method
from queuepool.domain.names import ProcessName
from queuepool.domain.supervisor_events import remote_notice

API_VERSION = "3.0"
SUPERVISOR_VERSION = "4.3.0"
"""The Supervisor whose behaviour is kept to; some clients compare it."""

IDENTIFICATION = "queuepool"


@method("supervisor.getAPIVersion", "supervisor.getVersion", returns="string")
async def api_version(face: Face, caller: Caller) -> str:
    """Return the version of this interface."""
    return API_VERSION


@method("supervisor.getSupervisorVersion", returns="string")
async def supervisor_version(face: Face, caller: Caller) -> str:
    """Return the version of Supervisor that this interface is equal to."""
    return SUPERVISOR_VERSION


@method("supervisor.getIdentification", returns="string")
async def identification(face: Face, caller: Caller) -> str:
    """Return what this daemon is: queuepool."""
    return IDENTIFICATION


@method("supervisor.getState", returns="struct")
async def state(face: Face, caller: Caller) -> dict[str, Any]:
    """Return the state of the daemon: statecode and statename."""
    return {"statecode": 1, "statename": "RUNNING"}


@method("supervisor.getPID", returns="int")
async def pid(face: Face, caller: Caller) -> int:
    """Return the process id of the daemon."""
    return os.getpid()


@method("supervisor.getProcessInfo", returns="struct", name="string")
async def one_process(face: Face, caller: Caller, name: str) -> dict[str, Any]:
    """Return what is known of one process, `group:process`."""
    known = face.roster()
    facts = face.facts(known).get(known.process(name).slot)
    if facts is None:  # it ended for good this very moment
        raise RpcFault(Code.BAD_NAME, name)
    return process_info(facts, time.time())


@method("supervisor.getAllProcessInfo", returns="array")
async def all_processes(face: Face, caller: Caller) -> list[dict[str, Any]]:
    """Return what is known of each process, in the order of their names."""
    now = time.time()
    infos = [process_info(facts, now) for facts in face.facts(face.roster()).values()]
    return sorted(infos, key=lambda info: (info["group"], info["name"]))


@method("supervisor.getAllConfigInfo", returns="array")
async def all_settings(face: Face, caller: Caller) -> list[dict[str, Any]]:
    """Return the settings of each process that the file, as it was read last, asks for."""
    loaded = face.latest
    wanted = face.control.wanted(loaded)
    groups, active = groups_of(wanted, loaded.groups), face.groups()
    displays = {
        ProcessName(spec.name, slot): spec.process(slot).display
        for spec in wanted.values()
        for slot in range(spec.numprocs)
    }
    found = []
    for member in roster(displays, groups, wanted).members:
        spec = wanted[member.slot.pool]
        process = spec.process(member.slot.slot)
        uid = _uid(process.launch.user)
        found.append(config_info(spec, process, member, groups[member.group], uid, inuse=member.group in active))
    return sorted(found, key=lambda info: str(info["name"]))


@method("supervisor.shutdown", returns="boolean")
async def shutdown(face: Face, caller: Caller) -> bool:
    """Let running jobs end, stop every process, and end the daemon."""
    face.ending = True
    face.spawn(operations.shutdown(face.operator, messages.Shutdown(), silent), alone=True)
    return True


@method("supervisor.restart", returns="boolean")
async def restart(face: Face, caller: Caller) -> bool:
    """Begin the daemon anew, with the file as it is now; processes whose settings did not change go on working."""
    await asyncio.to_thread(face.operator.load)  # with a file that is wrong it would not come up again
    await operations.upgrade(face.operator, messages.Upgrade(), silent)
    return True


@method("supervisor.sendRemoteCommEvent", returns="boolean", type="string", data="string")
async def send_event(face: Face, caller: Caller, type: str, data: str) -> bool:
    """Tell event listeners of something, as a REMOTE_COMMUNICATION event. True whether or not there are any."""
    face.control.engine.tell(remote_notice(type, data))
    return True


def _uid(user: str | None) -> int | None:
    if user is None or user.isdecimal():
        return None if user is None else int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
