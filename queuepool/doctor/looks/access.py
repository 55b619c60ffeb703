"""Looks at the users of the programs, and tries what their programs need beside an application: commands and logs."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from queuepool.doctor.facts.access import AccessFacts, Try, UserFacts
from queuepool.doctor.looks import tries
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.pool import Launch, PoolSpec
from queuepool.errors import SpawnError
from queuepool.system import children

Whose = tuple[str | None, str | None, tuple[str, ...] | None]
"""user, group and groups, as in a Launch."""


async def look(scene: Scene) -> AccessFacts:
    """Each user that programs run as, in the order of the file."""
    return await asyncio.to_thread(_look, list(scene.pools.values()))


def _look(pools: Sequence[PoolSpec]) -> AccessFacts:
    users: dict[Whose, list[PoolSpec]] = {}
    for pool in pools:
        launch = pool.process(0).launch
        users.setdefault((launch.user, launch.group, launch.groups), []).append(pool)
    return AccessFacts(tuple(_user(whose, served) for whose, served in users.items()), _contained(), _security())


def _user(whose: Whose, pools: Sequence[PoolSpec]) -> UserFacts:
    user, group, groups = whose
    facts = UserFacts(user or "", tuple(pool.name for pool in pools), group)
    missing = next(_missing(user, group, groups), None)
    if missing is not None:
        return replace(facts, missing=missing, near=_near(missing))
    try:
        who = children.identity(user, group, groups)
    except SpawnError as error:
        return replace(facts, refused=error.message, tries=tuple(_logs(pools)))
    uid = os.geteuid() if who.uid is None else who.uid
    return replace(facts, user=user or who.name, uid=uid, tries=(*_programs(who, pools), *_logs(pools)))


def _missing(user: str | None, group: str | None, groups: tuple[str, ...] | None) -> Iterator[str]:
    import grp

    if user is not None and not user.isdecimal():
        try:
            pwd.getpwnam(user)
        except KeyError:
            yield f"user {user}"
    for name in filter(None, (group, *(groups or ()))):
        try:
            grp.getgrgid(int(name)) if name.isdecimal() else grp.getgrnam(name)
        except (KeyError, OverflowError):
            if not name.isdecimal():  # a number without an entry, as containers have
                yield f"group {name}"


def _near(missing: str) -> tuple[str, ...]:
    """Names like the one that is missing, the likeliest first."""
    import grp

    kind, _, name = missing.partition(" ")
    names = [e.pw_name for e in pwd.getpwall()] if kind == "user" else [e.gr_name for e in grp.getgrall()]
    usual = [known for known in ("www-data", "nginx", "apache", "http", "forge", "deploy") if known in names]
    return tuple(dict.fromkeys([*get_close_matches(name, names, 3, 0.6), *usual]))[:3]


def _programs(who: children.Identity, pools: Sequence[PoolSpec]) -> Iterator[Try]:
    wanted, failed = [], []
    for pool in pools:
        if pool.artisan:
            continue  # its PHP is looked at with its application
        launch = pool.process(0).launch
        asks = Try("command", "execute", "", subject=f"program {pool.name}", programs=(pool.name,), user=who.name)
        path, why = _command(launch, children.environment(launch, who, {})["PATH"])
        if why:
            failed.append(replace(asks, path=path, error="ENOENT", words=why))
        else:
            wanted += [replace(asks, act="enter", path=launch.directory), replace(asks, path=path)]
    yield from failed
    if wanted:
        yield from (one for one in tries.tried(who, wanted) if one.error)


def _command(launch: Launch, searched: str) -> tuple[str, str]:
    """The program that would be executed, and why there is none."""
    name = launch.argv[0]
    if "/" in name:
        path = os.path.join(launch.directory, name)
        if not os.path.exists(path):
            return path, "there is no such file"
    else:
        # Whether the user may execute it is tried; which file is meant is found as ourselves.
        path = shutil.which(name, path=searched) or ""
        if not path:
            return name, f"it is not in PATH ({searched})"
    interpreter = _interpreter(path)
    if interpreter and not os.path.exists(interpreter):
        return path, f"the interpreter in its first line, {interpreter}, does not exist"
    return path, ""


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.read(256)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    words = first[2:].split(b"\n", 1)[0].split()
    return words[0].decode(errors="replace") if words else ""


def _logs(pools: Sequence[PoolSpec]) -> Iterator[Try]:
    """The logs of processes are written by the daemon, so they are tried as whoever we are."""
    wanted: dict[str, list[str]] = {}
    for pool in pools:
        spec = pool.process(0)
        for log in (spec.stdout, spec.stderr):
            if log is not None and log.path and not log.path.startswith("/dev/"):
                wanted.setdefault(log.path, []).append(pool.name)
    asked = [
        Try("worker_log", "append", path, subject=f"program {names[0]}", programs=tuple(names))
        for path, names in wanted.items()
    ]
    ourselves = children.identity(None, None, None)
    yield from (one for one in tries.tried(ourselves, asked) if one.error)


def _contained() -> bool:
    try:
        return b"queuepool" in Path("/proc/1/cmdline").read_bytes()
    except OSError:
        return False


def _security() -> str:
    try:
        if Path("/sys/fs/selinux/enforce").read_text().strip() == "1":
            return "SELinux"
    except OSError:
        pass
    try:
        profiles = Path("/sys/kernel/security/apparmor/profiles").read_text()
    except OSError:
        return ""
    return "AppArmor" if any("php" in line and "(enforce)" in line for line in profiles.splitlines()) else ""
