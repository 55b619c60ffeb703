"""Looks for others that work for the same application: processes, and what supervisord, systemd and cron are set up to
start. Files are only read, and only their beginning where they are large."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Collection, Iterator, Mapping
from glob import glob

from queuepool.doctor.facts.managers import SCHEDULE, WORK, OtherEntry, OthersFacts
from queuepool.doctor.looks.crowd import Crowd, artisan_in, belongs, family, paths_in, shown
from queuepool.doctor.looks.places import MOST_FILES, Places, read
from queuepool.domain.command import is_scheduler
from queuepool.domain.pool import PoolSpec
from queuepool.formats.supervisor_slots import owner_of
from queuepool.formats.systemd import config_of
from queuepool.system import procstat

SUPERVISOR_FILES = (
    "/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "/usr/etc/supervisord.conf",
)  # fmt: skip
"""Where supervisord looks (supervisor/options.py, default_configfile), but for its working directory."""
SUPERVISOR_PARTS = ("/etc/supervisor/conf.d/*.conf", "/etc/supervisord.d/*.ini", "/etc/supervisord.d/*.conf")
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
"""systemd.unit(5), those that a person or a package would use."""
CRONTABS = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*")
"""Of Debian and of Red Hat."""

Found = tuple[str, OtherEntry, list[str]]
"""A command that runs artisan, the entry, and paths that tell whose artisan it is."""


def look(
    pools: Mapping[str, PoolSpec], places: Places, crowd: Crowd, ours: Collection[int], config: str
) -> tuple[OthersFacts, ...]:
    """Of each application, in the order of the file. ours: pids of the daemon and of what it started. config: the
    queuepool.yml; what it has in supervisord itself does not count."""
    apps: dict[str, list[PoolSpec]] = {}
    for pool in pools.values():
        if pool.app is not None:
            apps.setdefault(pool.app, []).append(pool)
    found = [*supervisor_programs(places, crowd, config), *units(places), *crontabs(places)] if apps else []
    return tuple(_of_app(app, of_it, found, crowd, ours) for app, of_it in apps.items())


def _of_app(app: str, pools: list[PoolSpec], found: list[Found], crowd: Crowd, ours: Collection[int]) -> OthersFacts:
    directories = family(app)
    return OthersFacts(
        app,
        tuple(pool.name for pool in pools),
        tuple(pool.name for pool in pools if is_scheduler(pool.process(0).launch.argv)),
        tuple(crowd.workers(directories, ours)),
        tuple(entry for _, entry, paths in found if belongs(paths, directories)),
    )


def supervisor_programs(places: Places, crowd: Crowd, config: str = "") -> Iterator[Found]:
    """Programs of supervisord's configuration that run artisan, but for those that this queuepool.yml put there."""
    running: set[str] = set()
    for pid, named in crowd.supervisords().items():
        mains = [named] if named else list(map(places.of, SUPERVISOR_FILES))
        for main in mains:
            path = os.path.join(procstat.directory(pid) or "/", main)
            if os.path.isfile(path):
                running.update(map(os.path.realpath, [path, *_included(path)]))
                break
    files = [*running, *places.glob(*SUPERVISOR_FILES, *SUPERVISOR_PARTS)]
    for path in list(dict.fromkeys(map(os.path.realpath, files)))[:MOST_FILES]:
        text = read(path)
        ours = bool(text) and owner_of(text or "") == config
        parser = _parsed(text) if text and "artisan" in text and not ours else None
        for section in parser.sections() if parser else ():
            kind, _, name = section.partition(":")
            command = parser.get(section, "command", fallback="") if parser else ""
            artisan = artisan_in(command)
            if kind == "program" and artisan and parser and text:
                directory = parser.get(section, "directory", fallback="")
                where = f"{path}:{_line_of(text, f'[{section}]')}"
                entry = OtherEntry(
                    "supervisord",
                    _what(artisan),
                    where,
                    name.strip(),
                    shown(command),
                    os.path.realpath(path) in running,
                )
                yield artisan, entry, [*paths_in(command), directory]


def _parsed(text: str) -> configparser.RawConfigParser | None:
    """As supervisord reads it (supervisor/options.py, UnhosedConfigParser)."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        parser.read_string(text)
    except (configparser.Error, ValueError):
        return None
    return parser


def _included(path: str) -> list[str]:
    parser = _parsed(read(path) or "")
    here = os.path.dirname(os.path.realpath(path))
    patterns = parser.get("include", "files", fallback="").split() if parser else []
    found = (one for text in patterns for one in sorted(glob(os.path.join(here, text.replace("%(here)s", here)))))
    return list(found)[:MOST_FILES]


def units(places: Places) -> Iterator[Found]:
    """Units of systemd that run artisan, but for those that queuepool wrote. A user's own count too."""
    system = [places.of(path) for path in UNITS]
    seen: set[str] = set()
    for directory in [*system, places.user_units()]:
        wanted = {os.path.basename(link) for link in glob(os.path.join(directory, "*.wants", "*.service"))}
        wanted |= {f"{name.partition('@')[0]}@.service" for name in wanted if "@" in name}
        for path in sorted(glob(os.path.join(directory, "*.service")))[:MOST_FILES]:
            name, text = os.path.basename(path), read(path, 1 << 16)
            if name in seen or not text:
                continue
            seen.add(name)  # one in a directory before this has precedence
            if "artisan" in text and config_of(text) is None:
                yield from _unit(name, path, text, name in wanted)


def _unit(name: str, path: str, text: str, enabled: bool) -> Iterator[Found]:
    joined = re.sub(r"\\\r?\n\s*", " ", text)
    directory = re.findall(r"^\s*WorkingDirectory\s*=\s*-?(.*?)\s*$", joined, re.M)[-1:]
    for command in re.findall(r"^\s*ExecStart\s*=\s*[-@:+!|]*(.*?)\s*$", joined, re.M):
        if artisan := artisan_in(command):
            where = f"{path}:{_line_of(text, 'ExecStart')}"
            entry = OtherEntry("systemd", _what(artisan), where, name, shown(command), enabled)
            yield artisan, entry, [*paths_in(command), *directory]


def crontabs(places: Places) -> Iterator[Found]:
    """Lines of crontabs that run artisan's worker, or its scheduler."""
    for path in places.glob(*CRONTABS):
        for number, line in enumerate((read(path) or "").splitlines(), 1):
            if not line.lstrip().startswith("#") and (artisan := artisan_in(line)):
                entry = OtherEntry("cron", _what(artisan), f"{path}:{number}", "", shown(line), True)
                yield artisan, entry, paths_in(line)


def _what(artisan: str) -> str:
    return SCHEDULE if artisan.startswith("schedule:") else WORK


def _line_of(text: str, begins: str) -> int:
    """The number of the first line that begins so."""
    return next((at for at, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith(begins)), 1)
