"""What is to be written for a process of `engine: supervisord`: from which release, under a name that is free. How a
section reads is formats/supervisor_slots.py's."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from queuepool.domain.pool import PoolSpec
from queuepool.domain.release import at_release
from queuepool.domain.supervised import section_name
from queuepool.engines.life import Life
from queuepool.engines.supervisord_files import owner_at
from queuepool.engines.supervisord_link import Link
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_slots import Entry, entry
from queuepool.system.children import identity


def release_of(pool: PoolSpec, pinned: str | None) -> str | None:
    """Where `app` leads now, unless a deploy says otherwise. It is a real path: a worker that Supervisor starts anew,
    after a job too many or a crash, is of the release that the last deploy chose, also after a roll back."""
    return None if pool.app is None else pinned or os.path.realpath(pool.app)


def taken(section: str, link: Link, strangers: Collection[str]) -> str:
    """Who has a name already, and what to do; "" when it is free. Raises UsageError."""
    if where := link.installed.foreign.get(section):
        if not (owner := owner_at(where)):
            return f"{where} has a program or group of that name, {section}; rename one of them"
        end = f"`queuepool -c {owner} down`"
        if not os.path.exists(owner):  # of an application that was moved or taken away
            end = f"`rm {where}`, then `supervisorctl update` ends what it has"
        return f"{where} has a {section} as well, which queuepool wrote there from {owner}; {end}"
    if section in strangers:
        return (
            f"supervisord runs a {section} that is in no file of its; "
            f"`supervisorctl stop {section}`, then `supervisorctl remove {section}`"
        )
    return ""


def section_for(
    life: Life, pool: PoolSpec, link: Link, strangers: Collection[str], patience: float | None = None
) -> Entry:
    """What is to be written for a life of the pool. strangers: names in supervisord that are not ours. patience:
    seconds that its process gets to end; None: as its settings say. Raises QueuepoolError where its name is taken or
    its user unknown, CannotExport for what no file can hold."""
    spec = life.spec if patience is None else pool.patient(patience).process(life.name.slot)
    section = section_name(spec)
    if why := taken(section, link, strangers):
        raise QueuepoolError(why)
    launch = spec.launch
    if pool.app is not None and life.release is not None:
        launch = at_release(launch, pool.app, life.release)
    told = {
        "QUEUEPOOL_CONFIG": link.owner,
        "QUEUEPOOL_PROGRAM": life.name.pool,
        "QUEUEPOOL_PROCESS": str(life.name),
        "QUEUEPOOL_SLOT": str(life.name.slot),
    }
    launch = replace(launch, environment=tuple(sorted({**told, **dict(launch.environment)}.items())))
    user = spec.launch.user
    homes = {user: identity(user, None, None).home} if user is not None else {}
    made = entry(section, pool, replace(spec, launch=launch), life.revision.serial, life.release, homes)
    return replace(made, fingerprint=life.revision.fingerprint)
