"""The XML-RPC methods of `reread`, `update`, `add` and `remove`. Part of operations.py: it brings settings in force."""

from __future__ import annotations

import asyncio
import copy

from queuepool.control import messages, updating
from queuepool.control.choosing import note
from queuepool.control.xmlrpc_acting import is_stopped, stop_members
from queuepool.control.xmlrpc_face import Face, silent
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_intents import Reread, Update
from queuepool.control.xmlrpc_names import difference, groups_of
from queuepool.control.xmlrpc_table import Caller, method
from queuepool.controller.controller import announce
from queuepool.domain.pool import Loaded


@method("supervisor.reloadConfig", returns="array")
async def reload_config(face: Face, caller: Caller) -> list[list[list[str]]]:
    """Read the file and change nothing. Return [[added, changed, removed]], each an array of names of groups."""
    found = await _reread(face)
    if caller.update is not None:
        await settle(face, caller.update)
        caller.update = Update(found)
    return [[list(found.added), list(found.changed), list(found.removed)]]


@method("supervisor.addProcessGroup", returns="boolean", name="string")
async def add_group(face: Face, caller: Caller, name: str) -> bool:
    """Bring a group of the file, as it was read last, in force. As the end of an update of a changed group: apply what
    changed, and return when that is done."""
    update = caller.update
    if update is not None and update.reread is not None and update.applies(name):
        change = name in update.parts
        caller.update = update.done(name)
        await _apply(face, update.reread.loaded, update.reread.programs(name), wait=change)
        return True
    loaded = face.latest
    group = groups_of(face.control.wanted(loaded), loaded.groups).get(name)
    if group is None:
        raise RpcFault(Code.BAD_NAME, name)
    if name in face.groups():
        raise RpcFault(Code.ALREADY_ADDED, name)
    await _apply(face, loaded, group.programs, wait=False)
    return True


@method("supervisor.removeProcessGroup", returns="boolean", name="string")
async def remove_group(face: Face, caller: Caller, name: str) -> bool:
    """Take a group whose processes are stopped out of force, until it is added again or the daemon begins anew."""
    update = caller.update
    if update is not None and update.postpones_removal(name):
        caller.update = update.with_part(name, "remove")
        return True
    programs: tuple[str, ...]
    if update is not None and update.reread is not None and name in update.reread.removed:
        programs = update.reread.gone(name)  # the others go on in another group
    elif name in (groups := face.groups()):
        programs = groups[name].programs
    else:
        raise RpcFault(Code.BAD_NAME, name)
    if not is_stopped(face, [member for member in face.roster().members if member.slot.pool in programs]):
        raise RpcFault(Code.STILL_RUNNING, name)
    _remove(face, programs)
    return True


async def settle(face: Face, update: Update) -> None:
    """Do what was answered to a client that went away in the middle, or wants something else now."""
    for name, part in update.parts.items():
        programs = set(update.reread.programs(name)) & set(face.control.pools) if update.reread else set()
        if part == "remove":
            _remove(face, tuple(programs))
        else:
            members = [member for member in face.roster().members if member.slot.pool in programs]
            await stop_members(face, Caller(), members, wait=False)


async def _reread(face: Face) -> Reread:
    control = face.control
    loaded = face.latest = await asyncio.to_thread(face.operator.load)
    before, after = face.groups(), groups_of(control.wanted(loaded), loaded.groups)
    added, changed, removed = difference(before, after, control.difference(loaded))
    return Reread(loaded, before, after, tuple(added), tuple(changed), tuple(removed))


async def _apply(face: Face, loaded: Loaded, programs: tuple[str, ...], *, wait: bool) -> None:
    """Bring what the file says of these in force."""
    control = face.control
    known = tuple(program for program in programs if program in loaded.pools or program in control.pools)
    if not known:
        return
    operator = copy.copy(face.operator)
    operator.load = lambda: loaded
    await updating.update(operator, messages.Update(known, wait=wait), silent)


def _remove(face: Face, programs: tuple[str, ...]) -> None:
    if not programs:
        return
    operator, control = face.operator, face.control
    operator.deploys.refuse_while_under_way("remove a group")
    note(operator, "remove", programs)
    operator.deploys.lift(programs)
    changes = control.impose({name: spec for name, spec in control.pools.items() if name not in programs})
    control.tidy()
    announce(control.journal, changes, control.loaded)
    control.turn()
