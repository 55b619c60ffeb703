"""What is to be written for a process of `engine: supervisord`: from which release, under a name that is free. How a
section reads is formats/supervisor_slots.py's."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from queuepool.domain.deployment import at_release
from queuepool.domain.pool import PoolSpec
from queuepool.domain.supervised import section_name
from queuepool.engines.life import Life
from queuepool.engines.supervisord_link import Link
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_slots import Entry, entry
from queuepool.system.children import identity


def release_of(pool: PoolSpec, pinned: str | None) -> str | None:
    """Where `app` leads now, unless a deploy says otherwise. It is a real path: a worker that Supervisor starts anew,
    after a job too many or a crash, is of the release that the last deploy chose, also after a roll back."""
    return None if pool.app is None else pinned or os.path.realpath(pool.app)


def section_for(
    life: Life, pool: PoolSpec, link: Link, strangers: Collection[str], patience: float | None = None
) -> Entry:
    """What is to be written for a life of the pool. strangers: names in supervisord that are not ours. patience:
    seconds that its process gets to end; None: as its settings say. Raises QueuepoolError where its name is taken or
    its user unknown, CannotExport for what no file can hold."""
    spec = life.spec if patience is None else pool.patient(patience).process(life.name.slot)
    section = section_name(spec)
    if where := link.installed.foreign.get(section):
        raise QueuepoolError(f"{where} has a program or group of that name, {section}; rename one of them")
    if section in strangers:
        raise QueuepoolError(
            f"supervisord runs a {section} that is in no file of its; "
            f"`supervisorctl stop {section}`, then `supervisorctl remove {section}`"
        )
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
