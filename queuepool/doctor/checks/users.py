"""Whom programs run as, and what they need beside their application: commands and logs. PURE. The group is that of
permissions.py."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Note, Severity

CHECKS = Checks("permissions", needs=("access", "running"))


@CHECKS.add("user", Severity.ERROR, "The users and groups of the programs exist")
def user(facts: Facts) -> Iterator[Note]:
    """`user:` or `group:` of a program names nobody on this machine, so none of its processes can be started. The user
    is that of the web server (www-data on Debian and Ubuntu, nginx or apache elsewhere) or the one that deploys."""
    for one in facts.access.users if facts.access else ():
        if one.missing:
            kind, _, name = one.missing.partition(" ")
            lookup = "passwd" if kind == "user" else "group"
            near = f"change `{kind}:` in the file to {' or '.join(one.near)}, or " if one.near else ""
            add = f"{kind}add --system {shlex.quote(name)}"
            yield Note(_programs(one.programs), f"there is no {kind} {name} here, so none of its processes can start",
                       (f"getent {lookup} {name}: nothing",), f"{near}create it: {add}", one.programs)  # fmt: skip


def _programs(names: tuple[str, ...]) -> str:
    return f"program {names[0]}" if len(names) == 1 else f"programs {', '.join(names)}"


@CHECKS.add("root", Severity.WARNING, "Workers do not run as root")
def root(facts: Facts) -> Iterator[Note]:
    """Without `user:` a daemon of root runs workers as root: a job that can be talked into something may do everything,
    and each file that it writes (laravel.log, the cache) is then closed to the web server. Where queuepool is the first
    process of a container, that is the container's matter and nothing is said."""
    access = facts.access
    if access is None or access.contained:
        return
    for one in access.users:
        if one.uid == 0:
            yield Note(_programs(one.programs), "it runs as root", (f"user: {one.user or 'root'} (uid 0)",),
                       "set `user: www-data` (or whom your web server runs as) in the file", one.programs)  # fmt: skip


@CHECKS.add("switch", Severity.ERROR, "queuepool may run programs as their users", unless=("permissions.user",))
def switch(facts: Facts) -> Iterator[Note]:
    """Only root can start processes of another user. A daemon that you start without sudo cannot run these programs.
    Where a daemon runs and only the doctor was called without sudo, it cannot try what their user may do: what it says
    of permissions is not complete (an info)."""
    for one in facts.access.users if facts.access else ():
        if not one.refused:
            continue
        runs = facts.running is not None and facts.running.daemon is not None
        what = (
            f"what {one.user or one.group} may do cannot be tried: only root can"
            if runs
            else f"it cannot be run as {one.user or one.group}: only root can do that"
        )
        yield Note(_programs(one.programs), what, (f"we are uid {facts.uid}", one.refused),
                   "sudo queuepool doctor" if runs else "sudo queuepool up, or take `user:` out of the file",
                   one.programs, Severity.INFO if runs else None)  # fmt: skip


@CHECKS.add("worker_log", Severity.ERROR, "The logs of the programs can be written",
            unless=("permissions.readonly", "permissions.switch", "application.directory"))  # fmt: skip
def worker_log(facts: Facts) -> Iterator[Note]:
    """stdout_logfile or stderr_logfile of a program: the daemon writes it and makes missing directories. Where it
    cannot, what workers print is lost, and with it what they do and why they end."""
    for one in (one for user in (facts.access.users if facts.access else ()) for one in user.tries):
        if one.goal != "worker_log":
            continue
        place = one.closed or one.where
        if one.error == "EISDIR":
            remedy = "name a file in it as `stdout_logfile:`"
        elif one.error == "ENOTDIR":
            remedy = "a part of this path is a file: name another place as `stdout_logfile:`"
        else:
            remedy = (
                f"give whoever runs queuepool a place to write: chown USER {shlex.quote(place)}, or name another "
                "as `stdout_logfile:`"
            )
        yield Note(one.subject, f"its log {one.path} cannot be written", (one.evidence,), remedy, one.programs)


@CHECKS.add("command", Severity.ERROR, "The commands of the programs are there and can be executed",
            unless=("permissions.traverse", "permissions.user"))  # fmt: skip
def command(facts: Facts) -> Iterator[Note]:
    """`command:` of a program is looked for in the PATH of its user, without a shell. It is not there, not executable
    for that user, a script whose interpreter is missing, or on a file system that is mounted noexec. Give its whole
    path, or make it executable."""
    for one in facts.access.users if facts.access else ():
        for tried in one.tries:
            if tried.goal != "command" or not tried.error:
                continue
            place = shlex.quote(tried.path)
            if "interpreter" in tried.words:
                remedy = "install it, or name another interpreter in the first line"
            elif tried.error == "ENOENT" or tried.act == "enter":
                remedy = "give the whole path in `command:`, or set `directory:` to one that is there"
            elif "noexec" in tried.words:
                remedy = f"move it, or name its interpreter: command: sh {posixpath.basename(tried.path)}"
            else:
                remedy = f"chmod a+rx {place}"
            what = (
                f"its command {tried.path} cannot be executed"
                if tried.act == "execute"
                else f"its directory {tried.path} cannot be entered"
            )
            yield Note(tried.subject, what, (tried.evidence,), remedy, tried.programs)
