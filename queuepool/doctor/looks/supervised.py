"""Looks at the supervisord of `engine: supervisord`, and at the one file that is ours among its own."""

from __future__ import annotations

import os

from queuepool.doctor.facts.supervised import SupervisedFacts
from queuepool.doctor.looks.bounded import bounded
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.supervised import section_name
from queuepool.errors import QueuepoolError
from queuepool.system.rundir import RunDirectory

LOOK_SECONDS = 8.0


async def look(scene: Scene) -> SupervisedFacts | None:
    """What is there; None for another engine."""
    if scene.loaded.engine.type != "supervisord":
        return None
    return await bounded(LOOK_SECONDS, _look, scene)


def _look(scene: Scene) -> SupervisedFacts:
    from queuepool.engines.supervisord_client import reach
    from queuepool.engines.supervisord_files import OurFile, find

    directory = RunDirectory(scene.path, scene.environ)
    try:
        installed = find(scene.loaded.engine, os.path.basename(directory.path), scene.environ)
    except QueuepoolError as error:
        return SupervisedFacts(config=scene.loaded.engine.config or "", trouble=error.message, remedy=error.hint)
    names = [section_name(pool.process(slot)) for pool in scene.loaded.pools.values() for slot in range(pool.numprocs)]
    refused = remedy = where = away = ""
    entries: frozenset[str] = frozenset()
    there: frozenset[str] | None = None
    written = None
    try:
        written = OurFile(installed.file, directory.config).read()
        entries = frozenset(written.entries) if written else frozenset()
        OurFile(installed.file, directory.config).refuse_unwritable()
    except QueuepoolError as error:
        refused, remedy = error.message, error.hint
    try:
        client = reach(installed.endpoints, LOOK_SECONDS / 4)
        try:
            where, there = str(client.endpoint), frozenset(info.group for info in client.infos())
        finally:
            client.close()
    except QueuepoolError as error:
        away = error.message
    return SupervisedFacts(
        installed.config,
        where,
        away,
        installed.patterns,
        installed.file,
        installed.covered,
        written is not None or bool(refused),
        refused,
        remedy,
        tuple((name, installed.foreign[name]) for name in names if name in installed.foreign),
        tuple(sorted(entries - there)) if there is not None else (),
    )
