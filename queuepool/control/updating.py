"""What a person may ask of a file that was edited: what it would change, and to bring that in force. Part of
operations.py; a deploy, which also looks whether all goes well, is deploying.py's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from queuepool.control import messages
from queuepool.control.choosing import no_such, note, refuse_while_stopping
from queuepool.control.following import Progress, Reply, Verdict, follow, settled, wanted_lives
from queuepool.controller.controller import Controller, announce, announce_refusal
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Loaded
from queuepool.errors import ConfigError

if TYPE_CHECKING:
    from queuepool.control.operations import Operator

SECTIONS: dict[str, Callable[[Loaded], object]] = {
    "http": lambda loaded: loaded.http,
    "notifications": lambda loaded: loaded.notify,
    "deploy": lambda loaded: loaded.deploy,
}
"""What of the file concerns no program, by its key."""


async def reread(operator: Operator, request: messages.Reread, progress: Progress) -> Reply:
    """See messages.Reread."""
    loaded = await asyncio.to_thread(operator.load)
    return _changes(operator, loaded)


async def update(operator: Operator, request: messages.Update, progress: Progress) -> Reply:
    """See messages.Update. A pool whose numbers changed starts and drains the difference; one whose command changed is
    restarted in batches; all others are not touched. A file that does not validate changes nothing."""
    control = operator.controller
    refuse_while_stopping(control)
    operator.deploys.refuse_while_under_way("update")
    try:
        loaded = await asyncio.to_thread(operator.load)
    except ConfigError as error:
        announce_refusal(control.journal, error)
        raise
    unknown = set(request.names) - set(loaded.pools) - set(control.pools)
    if unknown:
        raise no_such(control, sorted(unknown)[0])
    report = _changes(operator, loaded, request.names or None)
    note(operator, "update", request.names)
    before = {name: _signature(control, name) for name in control.displays()}
    operator.deploys.lift(request.names)
    changes = control.use(loaded, request.names or None)
    announce(control.journal, changes, loaded)
    control.turn()
    touched = {*changes.added, *changes.removed, *(name for name, _ in changes.changed)}
    names = tuple(name for name in control.displays() if name.pool in touched)

    def verdict(name: ProcessName) -> Verdict | None:
        found = settled(control, name)
        if found and found[0] == "started" and before.get(name) == _signature(control, name):
            return "unchanged", ""
        return found

    done = await follow(control, names, verdict, progress, wait=request.wait, promise="")
    if trouble := await operator.listen():
        report["problems"].append(trouble)
    return report | done


def _changes(operator: Operator, loaded: Loaded, names: Iterable[str] | None = None) -> Reply:
    changes = operator.controller.difference(loaded, names)
    return {
        "added": list(changes.added),
        "changed": [
            {"name": name, "what": list(what), "restarts": name in changes.restarts} for name, what in changes.changed
        ],
        "removed": list(changes.removed),
        "sections": [name for name, of in SECTIONS.items() if of(loaded) != of(operator.controller.loaded)],
        "problems": list(loaded.problems),
    }


def _signature(control: Controller, name: ProcessName) -> tuple[int, ...]:
    return tuple(life.life for life in wanted_lives(control, name))
