"""What the workers' user may do in the application, each really tried. PURE. Who that is, is in users.py."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.access import Try
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.finding import Fix, GiveTo, MakeDirectory, Note, Severity

CHECKS = Checks("permissions", needs=("applications", "access"))

_BEFORE = ("permissions.traverse", "permissions.readonly", "permissions.user", "application.directory",
           "application.artisan", "application.config_elsewhere")  # fmt: skip
"""What explains that nothing can be written."""


def _tries(facts: Facts) -> Iterator[Try]:
    """All that was refused."""
    for app in facts.applications:
        yield from app.tries
    for one in facts.access.users if facts.access else ():
        yield from one.tries


def _refused(facts: Facts, *goals: str) -> Iterator[tuple[ApplicationFacts, tuple[Try, ...]]]:
    """Applications with what they were refused, no directory on the way being closed."""
    for app in facts.applications:
        found = tuple(one for one in app.tries if one.goal in goals and one.error and not one.closed)
        if found:
            yield app, found


@CHECKS.add("traverse", Severity.ERROR, "The workers' user can enter every directory on the way",
            unless=("application.directory",))  # fmt: skip
def traverse(facts: Facts) -> Iterator[Note]:
    """To open a file its user needs the permission to enter (x) each directory above it. Home directories are mode 700
    or 750 on newer systems, so an application in /home/deploy is closed to www-data, whatever its own files allow. Let
    everybody enter that one directory (which does not let them list it), or only the user by an ACL."""
    closed: dict[tuple[str, str], list[Try]] = {}
    for one in _tries(facts):
        if one.closed:
            closed.setdefault((one.user, one.closed), []).append(one)
    for (name, directory), found in closed.items():
        programs = tuple(dict.fromkeys(program for one in found for program in one.programs))
        place = shlex.quote(directory)
        yield Note(found[0].subject, f"{name or 'its user'} cannot enter {directory}",
                   (f"{found[0].closed_shown} {directory}", *(one.evidence for one in found[:3])),
                   f"chmod o+x {place}, or for this user alone: setfacl -m u:{name}:x {place}", programs)  # fmt: skip


@CHECKS.add("readonly", Severity.ERROR, "What workers write to is not mounted read-only")
def readonly(facts: Facts) -> Iterator[Note]:
    """The file system is mounted read-only: by a container that has only some volumes, by a systemd unit with
    ProtectSystem=, or by the kernel after an error of the disk (see dmesg)."""
    found: list[list[Try]] = []
    for one in _tries(facts):
        if one.error == "EROFS":
            group = next((group for group in found if set(group[0].programs) & set(one.programs)), None)
            found.append([one]) if group is None else group.append(one)
    for tries in found:
        programs = tuple(dict.fromkeys(program for one in tries for program in one.programs))
        place = shlex.quote(tries[0].where)
        yield Note(tries[0].subject, "what it writes to is mounted read-only", tuple(one.evidence for one in tries[:5]),
                   f"see which mount it is: findmnt -T {place}; then mount it writable: mount -o remount,rw MOUNT",
                   programs)  # fmt: skip


def _given(facts: Facts, app: ApplicationFacts, tries: Iterable[Try], *, recursive: bool) -> tuple[str, Fix | None]:
    """What gives these files and directories to the user of the application, to type and to be done. What is not there
    is made; nothing above it is given away. What another user's workers need too is not taken from them."""
    tries = list(tries)
    missing = [one.path for one in tries if one.where != one.path]
    if missing:
        path = missing[0] if tries[0].act != "append" else posixpath.dirname(missing[0])
        command = f"mkdir -p {shlex.quote(path)} && chown {_owner(app, tries[0])} {shlex.quote(path)}"
        if path == tries[0].where:  # the directory of a file, which other programs may use as well
            return f"install -o {_owner(app, tries[0]).partition(':')[0]} -m 640 /dev/null {missing[0]}", None
        return command, MakeDirectory(path, app.user, app.group) if app.user and _inside(app, path) else None
    paths = _outermost(one.where for one in tries)
    flag = "-R " if recursive else ""
    others = {one.user or "" for one in facts.applications if one.root == app.root} - {app.user or ""}
    if others:
        group = f"GROUP {shlex.join(paths)} && chmod {flag}g+rwX {shlex.join(paths)}"
        return f"put {' and '.join(sorted({app.user or '', *others}))} into one group, then: chgrp {flag}{group}", None
    command = f"chown {flag}{_owner(app, tries[0])} {shlex.join(paths)}"
    modes = "" if all(_owner_may_write(one.shown) for one in tries) else f" && chmod {flag}u+w {shlex.join(paths)}"
    if not app.user or not all(_inside(app, path) for path in paths):
        return command + modes, None
    return command + modes, GiveTo(paths, app.user, app.group, recursive, 0o200 if modes else 0)


def _owner(app: ApplicationFacts, one: Try) -> str:
    """As chown takes it; without a group the user's own."""
    return shlex.quote(f"{app.user or one.user}:{app.group or ''}")


def _inside(app: ApplicationFacts, path: str) -> bool:
    """Whether a path is the application's own, so that giving it away concerns nobody else."""
    storage = app.config.storage_path if app.config else ""
    return any(place and f"{path}/".startswith(f"{place}/") for place in (app.root, app.release, storage))


def _owner_may_write(shown: str) -> bool:
    return shown[2:3] == "w"


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Without those that lie in another of them."""
    listed = sorted(set(paths))
    return tuple(path for path in listed if not any(path.startswith(f"{other}/") for other in listed if other != path))


@CHECKS.add("storage", Severity.ERROR, "The workers can write to storage/", unless=_BEFORE)
def storage(facts: Facts) -> Iterator[Note]:
    """Laravel writes compiled views, sessions, uploads and more below storage/. Mostly the files belong to the user
    that deploys, or to root since somebody ran artisan with sudo once. Give storage/ to the workers' user, who should
    be the one of the web server too."""
    for app, tries in _refused(facts, "storage"):
        if all(one.path == (app.config.storage_path if app.config else "") for one in tries):
            continue  # Laravel writes nothing right into storage/ itself
        also = [one for one in app.tries if one.goal in ("logs", "cache") and one.error and not one.closed]
        command, fix = _given(facts, app, [*tries, *also], recursive=True)
        yield Note(app.subject, f"{tries[0].user} cannot write to storage/",
                   tuple(one.evidence for one in (*tries, *also)[:6]), command, app.programs, fix=fix)  # fmt: skip


@CHECKS.add("logs", Severity.ERROR, "The workers can write to storage/logs", unless=(*_BEFORE, "permissions.storage"))
def logs(facts: Facts) -> Iterator[Note]:
    """An exception that cannot be logged brings the next one: workers end or repeat "StreamHandler: Failed to open
    stream: Permission denied" for ever, and the failure that it was about is never seen."""
    for app, tries in _refused(facts, "logs"):
        command, fix = _given(facts, app, tries, recursive=True)
        yield Note(app.subject, f"{tries[0].user} cannot write to {tries[0].path}",
                   tuple(one.evidence for one in tries), command, app.programs, fix=fix)  # fmt: skip


@CHECKS.add("log_file", Severity.ERROR, "The workers can write to Laravel's log",
            unless=(*_BEFORE, "permissions.storage", "permissions.logs"))  # fmt: skip
def log_file(facts: Facts) -> Iterator[Note]:
    """laravel.log, or today's of the daily channel, belongs to somebody else: mostly artisan was run as root once, and
    made it. What workers want to log raises an exception of its own. Give them the file, and run artisan as their user
    (sudo -u www-data php artisan ...)."""
    for app, tries in _refused(facts, "log"):
        command, fix = _given(facts, app, tries, recursive=False)
        yield Note(app.subject, f"{tries[0].user} cannot write to its log {tries[0].path}",
                   tuple(one.evidence for one in tries), command, app.programs, fix=fix)  # fmt: skip


@CHECKS.add("cache", Severity.ERROR, "The workers can write to storage/framework/cache",
            unless=(*_BEFORE, "permissions.storage"))  # fmt: skip
def cache(facts: Facts) -> Iterator[Note]:
    """The file cache, and what the framework makes on the fly, is written there. A directory in it that root made keeps
    just some keys from being written, so that locks and rate limits fail now and then."""
    for app, tries in _refused(facts, "cache"):
        command, fix = _given(facts, app, tries, recursive=True)
        yield Note(app.subject, f"{tries[0].user} cannot write to {tries[0].path}",
                   tuple(one.evidence for one in tries[:5]), command, app.programs, fix=fix)  # fmt: skip


@CHECKS.add("bootstrap_cache", Severity.ERROR, "bootstrap/cache is there and can be written", unless=_BEFORE)
def bootstrap_cache(facts: Facts) -> Iterator[Note]:
    """Laravel keeps lists of packages and providers in bootstrap/cache. Where they have to be made and the directory is
    missing or closed, it does not boot: "The bootstrap/cache directory must be present and writable". A directory that
    is closed on purpose, with the lists in it, is no fault, and nothing is said."""
    for app, tries in _refused(facts, "bootstrap/cache"):
        if "must be present and writable" not in app.failure and "Failed to open stream" not in app.failure:
            continue
        command, fix = _given(facts, app, tries, recursive=True)
        yield Note(app.subject, f"{tries[0].user} cannot write to bootstrap/cache, so the application does not boot",
                   (tries[0].evidence, app.failure.partition("; what its")[0]), command, app.programs,
                   fix=fix)  # fmt: skip


@CHECKS.add("artisan", Severity.ERROR, "The workers can read artisan", unless=(*_BEFORE, "application.artisan"))
def artisan(facts: Facts) -> Iterator[Note]:
    """PHP says "Could not open input file: artisan", as if it were not there. The code belongs to somebody else and is
    closed to others."""
    for app, tries in _refused(facts, "artisan", "directory"):
        if app.files.artisan:
            place = shlex.quote(app.root)
            yield Note(app.subject, f"{tries[0].user} cannot read artisan",
                       tuple(one.evidence for one in tries), f"chgrp -R {app.own_group or 'GROUP'} {place} && "
                       f"chmod -R g+rX {place}", app.programs)  # fmt: skip


@CHECKS.add("env_file", Severity.WARNING, "Passwords in .env are not for everybody")
def env_file(facts: Facts) -> Iterator[Note]:
    """Every user of the machine can read .env in production, with APP_KEY and the passwords of databases. Let its owner
    and one group read it, the group being that of the workers and of the web server."""
    for app in facts.applications:
        config = app.config
        if config and app.files.environment_open and config.environment == "production":
            path = config.environment_file or app.path(".env")
            yield Note(app.subject, "every user of this machine can read .env",
                       (f"{app.files.environment_shown} {path}", "APP_ENV is production"),
                       f"chgrp {app.own_group or 'GROUP'} {shlex.quote(path)} && chmod 640 {shlex.quote(path)}",
                       app.programs)  # fmt: skip


@CHECKS.add(
    "sqlite",
    Severity.ERROR,
    "The workers can write to SQLite's file and its directory",
    unless=(*_BEFORE, "permissions.storage"),
)
def sqlite(facts: Facts) -> Iterator[Note]:
    """SQLite writes to its file and makes a journal next to it, so both the file and its directory have to be writable.
    Otherwise: "attempt to write a readonly database", for a queue, a cache or failed jobs that are kept there."""
    for app, tries in _refused(facts, "sqlite"):
        uses = [f"{one.use} ({one.name})" for one in app.inside.tables if one.path] if app.inside else []
        command, fix = _given(facts, app, tries, recursive=False)
        yield Note(app.subject, f"{tries[0].user} cannot write to its SQLite database",
                   (*(one.evidence for one in tries), "it is used for: " + ", ".join(dict.fromkeys(uses))), command,
                   app.programs, fix=fix)  # fmt: skip


@CHECKS.add("security", Severity.INFO, "No security module forbids what modes allow")
def security(facts: Facts) -> Iterator[Note]:
    """A permission was refused although owner and mode would grant it, and SELinux or AppArmor is in force: it decides
    by labels or profiles. For SELinux, files that web processes write need the type httpd_sys_rw_content_t."""
    module = facts.access.security if facts.access else ""
    odd = [one for one in _tries(facts) if one.allowed and one.error == "EACCES"]
    if module and odd:
        place = shlex.quote(odd[0].path)
        remedy = (
            f"semanage fcontext -a -t httpd_sys_rw_content_t '{odd[0].path}(/.*)?' && restorecon -Rv {place}"
            if module == "SELinux"
            else "see what it refused: journalctl -k --grep apparmor"
        )
        yield Note(odd[0].subject, f"{module} may be what forbids it: modes would allow it",
                   tuple(one.evidence for one in odd[:5]), remedy, odd[0].programs)  # fmt: skip
