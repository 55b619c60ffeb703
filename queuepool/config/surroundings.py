"""Whether this machine has what the pools need: users, directories, programs, as far as files tell; nothing is run.
`config check` warns of it, and doctor/preflight.py before a start. The daemon finds out when it starts a process, and
says so then."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from queuepool.domain import command
from queuepool.domain.pool import PoolSpec, ProcessSpec

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Missing:
    """What one program lacks here. what: a phrase such as "the user www does not exist here". remedy: what to do, or
    "". fatal: whether no process of it can start, as far as its first slot tells."""

    what: str
    remedy: str = ""
    fatal: bool = True


class Surroundings:
    """Looks at this machine once: what many programs share is looked up for the first of them alone."""

    def __init__(self) -> None:
        self._user = lru_cache(None)(lambda name: _exists(pwd.getpwnam, pwd.getpwuid, name))
        self._group = lru_cache(None)(lambda name: _exists(grp.getgrnam, grp.getgrgid, name))
        self._is_directory = lru_cache(None)(os.path.isdir)
        self._is_there = lru_cache(None)(os.path.exists)
        self._which = lru_cache(None)(lambda program, path: shutil.which(program, path=path))
        self._blocked = lru_cache(None)(_not_a_directory)

    def missing(self, pool: PoolSpec, spec: ProcessSpec) -> Iterator[Missing]:
        """What a process of the pool lacks."""
        launch = spec.launch
        if launch.user is not None and not self._user(launch.user):
            yield Missing(f"the user {launch.user} does not exist here", "create it with `useradd`, or change `user`")
        for name in (launch.group, *(launch.groups or ())):
            if name is not None and not self._group(name):
                yield Missing(f"the group {name} does not exist here", "create it with `groupadd`, or change `group`")
        if not self._is_directory(launch.directory):
            yield Missing(_no_directory(launch.directory, self._blocked(launch.directory)))
        elif pool.artisan and pool.app and not self._is_there(os.path.join(pool.app, "artisan")):
            yield Missing(f"there is no artisan in {pool.app}", "set `app` to the root of the Laravel application")
        path = dict(launch.environment).get("PATH", "")
        if not path:  # as system/children.py gives it to the process
            path = _PATH if launch.clear_env and launch.user is not None else os.environ.get("PATH", _PATH)
        program = launch.argv[0]
        if "/" in program:
            program = os.path.join(launch.directory, program)
        if self._which(program, path) is None:
            where = "" if "/" in program else f" in {path}"
            yield Missing(f"the program {launch.argv[0]} is not there, or not executable{where}")
        for log in (spec.stdout, spec.stderr):
            if log is not None and log.path is not None and (blocked := self._blocked(os.path.dirname(log.path))):
                yield Missing(f"the log {log.path} cannot be made: {blocked} is not a directory", fatal=False)


def warnings(pools: Mapping[str, PoolSpec]) -> list[str]:
    """What is missing here, `file:line: programs.mail: what (hint)`; what several programs miss is said once."""
    here = Surroundings()
    said: set[str] = set()
    found = []
    for pool in pools.values():
        spec = pool.process(0)
        lacks = [one.what + (f" ({one.remedy})" if one.remedy else "") for one in here.missing(pool, spec)]
        for text in [*lacks, *_misunderstood(pool, spec), *_shut_out(pool, spec)]:
            if text not in said:
                said.add(text)
                found.append(f"{pool.source}: programs.{pool.name}: {text}")
    return found


def _misunderstood(pool: PoolSpec, spec: ProcessSpec) -> Iterator[str]:
    if pool.kind == "command" and (meant := command.parse(spec.launch.argv)) is not None:
        yield (
            f"this runs {command.ARTISAN[meant.kind]}; with `type: {meant.kind}` its exits and time-outs are understood"
        )


def _shut_out(pool: PoolSpec, spec: ProcessSpec) -> Iterator[str]:
    """Of an event listener that runs as somebody who cannot open the control socket, which has mode 0600."""
    user = spec.launch.user
    if pool.listening is None or user is None:
        return
    with contextlib.suppress(KeyError):
        uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        if uid not in (0, os.geteuid()):
            yield (
                f"runs as {user}, who cannot open the daemon's control socket: a listener that calls back, as memmon "
                "and httpok do, cannot run (`user: root`, if the daemon is root's; one that only listens needs nothing)"
            )


def _exists(by_name: object, by_number: object, name: str) -> bool:
    for lookup, key in ((by_name, name), (by_number, int(name) if name.isdecimal() else None)):
        try:
            if key is not None:
                lookup(key)  # type: ignore[operator]
                return True
        except (KeyError, OverflowError, ValueError):
            continue
    return False


def _no_directory(directory: str, blocked: str) -> str:
    """Why one cannot be entered. blocked: the part of the way to it that is no directory, "" when there is nothing."""
    if blocked and os.path.exists(blocked):
        return f"{blocked} is not a directory"
    if blocked:  # a `current` whose release was removed
        return f"the directory {blocked} is a link to {os.readlink(blocked)}, which does not exist"
    return f"the directory {directory} does not exist here"


def _not_a_directory(folder: str) -> str:
    """The part of the way to `folder` that is there and no directory; "" when the way is free."""
    while folder != os.path.dirname(folder):
        if os.path.lexists(folder):
            return "" if os.path.isdir(folder) else folder
        folder = os.path.dirname(folder)
    return ""
