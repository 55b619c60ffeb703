"""Looks at the applications of the programs: asks them and their PHP, reads their files, and tries what their users
may do in them."""

from __future__ import annotations

import asyncio
import grp
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from queuepool.controller.applications import Application
from queuepool.controller.asking import environment_of
from queuepool.doctor.facts.access import Try
from queuepool.doctor.facts.application import ApplicationFacts, FilesFacts
from queuepool.doctor.looks import files, php, tries
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import Launch, PoolSpec
from queuepool.errors import QueuepoolError, SpawnError
from queuepool.laravel.config import APPLICATION, AppConfig
from queuepool.laravel.inside import Inside, inside
from queuepool.system import children

MOST_CACHE_DIRECTORIES = 256


async def look(scene: Scene) -> tuple[ApplicationFacts, ...]:
    """Each application as each user and PHP that programs run it with, in the order of the file."""
    return tuple(await asyncio.gather(*(_look_at(scene, who, pools) for who, pools in scene.by_application().items())))


async def _look_at(scene: Scene, who: Application, pools: Sequence[PoolSpec]) -> ApplicationFacts:
    applications = scene.insight.applications
    launch = Launch(
        who.php, who.app, who.user, who.group, who.groups, environment=who.environment, clear_env=who.clear_env
    )
    environment = _environment(who)
    config, inner, runtime = await asyncio.gather(
        applications.of(pools[0]),
        _inside(who, environment, [pool.connection or "" for pool in pools]),
        php.look(launch, os.path.join(who.app, "vendor/composer/platform_check.php")),
    )
    found = await asyncio.to_thread(files.look, who.app, config, environment or {})
    return ApplicationFacts(
        root=who.app,
        release=os.path.realpath(who.app),
        php=who.php,
        user=who.user,
        group=who.group,
        own_group=_own_group(who),
        programs=tuple(pool.name for pool in pools),
        config=config,
        failure=applications.why(pools[0]),
        runtime=runtime,
        files=found,
        inside=inner,
        tries=await asyncio.to_thread(_tried, who, [pool.name for pool in pools], config, inner, found),
        launch=launch,
    )


def _environment(who: Application) -> Mapping[str, str] | None:
    """None where its user does not exist, or cannot be had."""
    try:
        return environment_of(who)
    except QueuepoolError:
        return None


def _own_group(who: Application) -> str:
    """Its group, or that of its user; "" where there is none."""
    try:
        gid = children.identity(who.user, who.group, who.groups).gid
        return who.group or grp.getgrgid(os.getegid() if gid is None else gid).gr_name
    except (SpawnError, KeyError):
        return ""


async def _inside(who: Application, environment: Mapping[str, str] | None, connections: Sequence[str]) -> Inside | None:
    if environment is None:
        return None
    names = list(dict.fromkeys(connections))
    try:
        return await inside(who.php, who.app, names, user=who.user, group=who.group, environment=environment)
    except QueuepoolError:
        return None  # probe.php's answer tells what hinders it


def _tried(
    who: Application, programs: Sequence[str], config: AppConfig | None, inner: Inside | None, found: FilesFacts
) -> tuple[Try, ...]:
    if not found.there:
        return ()
    try:
        identity = children.identity(who.user, who.group, who.groups)
    except SpawnError:
        return ()
    wanted = [
        Try(goal, act, path, subject=f"application {who.app}", programs=tuple(programs))
        for goal, act, path in dict.fromkeys(_needs(who.app, config, inner))
    ]
    return tuple(one for one in tries.tried(identity, wanted) if one.error)


def _needs(root: str, config: AppConfig | None, inner: Inside | None) -> Iterator[tuple[str, str, str]]:
    """(goal, act, path) of all that workers need. What the application did not tell has its usual place."""
    storage = config.storage_path if config else os.path.join(root, "storage")
    writes = config.writes if config else {}
    usual = {"logs": "logs", "cache": "framework/cache"}
    yield "directory", "enter", root
    yield "artisan", "read", os.path.join(root, "artisan")
    for name in ("", "app", "framework", "framework/views", "framework/sessions"):
        if os.path.isdir(path := os.path.join(storage, name).rstrip("/")):
            yield "storage", "write", path
    for goal, place in usual.items():
        yield goal, "write", writes[goal].path if goal in writes else os.path.join(storage, place)
    for path in _file_cache(config):
        yield "cache", "write", path
    bootstrap = writes.get("bootstrap/cache")
    yield "bootstrap/cache", "inside", bootstrap.path if bootstrap else os.path.join(root, "bootstrap/cache")
    if config is None or config.source != APPLICATION:
        yield "log", "append", os.path.join(storage, "logs/laravel.log")
    elif "log" in writes:
        yield "log", "append", writes["log"].path
    if config and config.environment_file and os.path.exists(config.environment_file) and not config.config_cached:
        yield "env", "read", config.environment_file
    for table in inner.tables if inner else ():
        if table.path and os.path.exists(table.path):
            yield "sqlite", "append", table.path
            yield "sqlite", "write", os.path.dirname(table.path)


def _file_cache(config: AppConfig | None) -> Iterator[str]:
    """Where a file store writes: its directory, and those in it that somebody else may have made."""
    store = config.cache if config else None
    if store is None or store.driver != "file" or not store.path:
        return
    yield store.path
    if os.path.isdir(store.path):
        with os.scandir(store.path) as entries:
            yield from (entry.path for entry in islice(entries, MOST_CACHE_DIRECTORIES) if entry.is_dir())
