"""Whether this machine has what the pools need: users, directories, programs. Only `config check` asks; the daemon
finds out when it starts a process, and says so then."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping

from queuepool.domain import command
from queuepool.domain.pool import PoolSpec, ProcessSpec

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def warnings(pools: Mapping[str, PoolSpec]) -> list[str]:
    """What is missing here, `file:line: programs.mail: what (hint)`; what several programs miss is said once."""
    said: set[str] = set()
    found = []
    for pool in pools.values():
        for text in _missing(pool, pool.process(0)):
            if text not in said:
                said.add(text)
                found.append(f"{pool.source}: programs.{pool.name}: {text}")
    return found


def _missing(pool: PoolSpec, spec: ProcessSpec) -> Iterator[str]:
    launch = spec.launch
    if launch.user is not None and not _exists(pwd.getpwnam, pwd.getpwuid, launch.user):
        yield f"the user {launch.user} does not exist here (create it with `useradd`, or change `user`)"
    for name in (launch.group, *(launch.groups or ())):
        if name is not None and not _exists(grp.getgrnam, grp.getgrgid, name):
            yield f"the group {name} does not exist here (create it with `groupadd`, or change `group`)"
    if not os.path.isdir(launch.directory):
        yield f"the directory {launch.directory} does not exist here"
    elif pool.kind != "command" and pool.app and not os.path.exists(os.path.join(pool.app, "artisan")):
        yield f"there is no artisan in {pool.app} (set `app` to the root of the Laravel application)"
    path = dict(launch.environment).get("PATH", "")
    if not path:  # as system/children.py gives it to the process
        path = _PATH if launch.clear_env and launch.user is not None else os.environ.get("PATH", _PATH)
    program = launch.argv[0]
    if "/" in program:
        program = os.path.join(launch.directory, program)
    if shutil.which(program, path=path) is None:
        where = "" if "/" in program else f" in {path}"
        yield f"the program {launch.argv[0]} is not there, or not executable{where}"
    if pool.kind == "command" and (meant := command.parse(launch.argv)) is not None:
        yield (
            f"this runs {command.ARTISAN[meant.kind]}; with `type: {meant.kind}` its exits and time-outs are understood"
        )
    for log in (spec.stdout, spec.stderr):
        if log is not None and log.path is not None and (blocked := _not_a_directory(log.path)):
            yield f"the log {log.path} cannot be made: {blocked} is not a directory"


def _exists(by_name: object, by_number: object, name: str) -> bool:
    for lookup, key in ((by_name, name), (by_number, int(name) if name.isdecimal() else None)):
        try:
            if key is not None:
                lookup(key)  # type: ignore[operator]
                return True
        except (KeyError, OverflowError, ValueError):
            continue
    return False


def _not_a_directory(path: str) -> str:
    """The part of the way to `path` that is there and no directory; "" when the way is free."""
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder):
        if os.path.lexists(folder):
            return "" if os.path.isdir(folder) else folder
        folder = os.path.dirname(folder)
    return ""
