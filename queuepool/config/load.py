"""Reads queuepool.yml and what it includes, and gives the pools or every reason why not. One file alone is reading.py's
matter; what its words mean is domain/resolve.py's."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from queuepool.config.problems import MOST
from queuepool.config.reading import Reading, read_file
from queuepool.domain.amounts import count
from queuepool.domain.deployment import deployment
from queuepool.domain.http import http_spec
from queuepool.domain.places import Fault, absolute
from queuepool.domain.pool import Deployment, EngineSpec, Loaded, PoolSpec
from queuepool.domain.resolve import (
    broken_links,
    memberships,
    resolve,
    several_horizons,
    several_schedulers,
    shared_logs,
)
from queuepool.domain.spec import Group, Included, Settings
from queuepool.domain.supervised import alike, engine_of, supervised
from queuepool.errors import ConfigError

if TYPE_CHECKING:
    from queuepool.domain.notify import Notify


@dataclass(slots=True)
class Whole:
    """All files together. files: the main one first, then the included ones that can be used. broken: the others."""

    files: list[Reading]
    broken: list[Reading] = field(default_factory=list)
    pools: dict[str, PoolSpec] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    @property
    def main(self) -> Reading:
        """queuepool.yml itself."""
        return self.files[0]

    def problems(self) -> tuple[str, ...]:
        """What is wrong in all files, those that could not be used at the end."""
        found: list[str] = []
        for reading in [*self.files, *self.broken]:
            sentences = list(reading.problems())
            found += sentences[:MOST]
            if len(sentences) > MOST:
                found.append(f"{reading.shown}: and {len(sentences) - MOST} more")
        return tuple(found)


def load(path: str, environ: Mapping[str, str]) -> Loaded:
    """The pools of the file at `path`. environ: where ${X} comes from.

    A bad included file takes down only itself and stands in `broken`. Raises ConfigError with all problems, of every
    file, when the main file cannot be used.
    """
    return loaded(read(path, environ))


def loaded(whole: Whole) -> Loaded:
    """What was read, as the pools that can be used."""
    groups = {
        name: tuple(program for program in group.programs if program in whole.pools)
        for name, group in whole.groups.items()
    }
    content = "\0".join([reading.content for reading in whole.files] + [reading.path for reading in whole.broken])
    return Loaded(
        path=whole.main.path,
        pools=whole.pools,
        groups=groups,
        problems=whole.problems(),
        broken=tuple(reading.shown for reading in whole.broken),
        app=whole.main.place.app,
        deploy=deployment(whole.main.file) if whole.main.section else Deployment(),
        http=http_spec(whole.main.file) if whole.main.section else None,
        engine=engine_of(whole.main.file) if whole.main.section else EngineSpec(),
        digest=hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest(),
        notify=_notify(whole),
    )


def _notify(whole: Whole) -> Notify | None:
    """Loaded where the file says something of it alone."""
    section = whole.main.section
    if not isinstance(section, Settings) or section.notifications is None:
        return None
    from queuepool.domain.notification import notifications

    return notifications(whole.main.file, {name: group.programs for name, group in whole.groups.items()})


def read(path: str, environ: Mapping[str, str]) -> Whole:
    """As `load`, with the files as they were read, for those that want to explain them. Raises ConfigError."""
    whole = read_anyway(path, environ)
    if not whole.main.usable:
        problems = whole.problems()
        raise ConfigError(
            f"cannot use {whole.main.shown}: {count(len(problems), 'problem')}",
            problems,
            hint="`queuepool config check` checks it again",
        )
    return whole


def read_anyway(path: str, environ: Mapping[str, str]) -> Whole:
    """As `read`, whatever is wrong: the pools are then those of programs in which nothing is. Raises nothing."""
    path = os.path.abspath(path)
    host = os.uname().nodename
    main = read_file(path, shown_name(path), environ, host, Settings)
    whole = Whole([main])
    for included in _included(main):
        reading = read_file(included, shown_name(included), environ, host, Included, main)
        (whole.files if reading.usable else whole.broken).append(reading)
    if main.section is not None:
        _join(whole)
    return whole


def _included(main: Reading) -> list[str]:
    """The files that `include` names, each once; what is named without a wildcard need not be there to count."""
    found: dict[str, None] = {}
    section = main.section
    for pattern in section.include if isinstance(section, Settings) else ():
        wanted = absolute(glob.escape(main.place.here), os.path.expanduser(pattern))
        for file in sorted(glob.glob(wanted)) if glob.has_magic(pattern) else [absolute(main.place.here, pattern)]:
            if file != main.path and not (glob.has_magic(pattern) and os.path.isdir(file)):
                found[file] = None
    return list(found)


def _join(whole: Whole) -> None:
    """Resolve all files together. An included file in which something is wrong is left out, and the rest looked at
    again without it, until nothing more is found."""
    while True:
        bad = _clashes(whole)
        if not bad:
            bad = _resolve(whole)
        if not bad:
            return
        for reading in bad:
            whole.files.remove(reading)
            whole.broken.append(reading)


def _clashes(whole: Whole) -> list[Reading]:
    """Note programs and groups that a former file has already; the files to leave out for it."""
    bad: list[Reading] = []
    for what in ("programs", "groups"):
        owners: dict[str, Reading] = {}
        for reading in whole.files:
            for name in getattr(reading.section, what):
                owner = owners.setdefault(name, reading)
                if owner is not reading and reading not in bad:
                    line = owner.document.line((what, name))
                    reading.add(
                        Fault((what, name), f"is given twice, first in {owner.shown}:{line}", "rename one of them")
                    )
                    bad.append(reading)
    return bad


def _resolve(whole: Whole) -> list[Reading]:
    """Make the pools and note what is wrong; the files to leave out for it, unless it is the main one."""
    main = whole.main
    groups: dict[str, Group] = {}
    for reading in whole.files:
        groups.update(reading.file.section.groups)
    members = memberships(groups)
    noted: list[tuple[Reading, Fault]] = []
    pools: dict[str, PoolSpec] = {}
    owners: dict[tuple[str, str], Reading] = {}
    waits_for: dict[str, tuple[str, ...]] = {}
    for reading in whole.files:
        file = reading.file
        found, faults = resolve(file.section, file.place, members, None if reading is main else main.file)
        if reading.doubtful is None:
            faults = []
        elif reading.doubtful:
            faults = [f for f in faults if f.where[0] != "programs" or f.where[1] not in reading.doubtful]
        noted += [(reading, fault) for fault in faults]
        pools.update(found)
        waits_for.update({name: program.depends_on for name, program in file.section.programs.items()})
        owners.update({("programs", name): reading for name in file.section.programs})
        owners.update({("groups", name): reading for name in file.section.groups})
    if engine_of(main.file).type == "supervisord":
        pools = {name: supervised(pool) for name, pool in pools.items()}
    between = [*broken_links(waits_for, groups, missing=bool(whole.broken)), *shared_logs(pools)]
    between += alike(pools) if engine_of(main.file).type == "supervisord" else []
    for fault in [*between, *several_horizons(pools), *several_schedulers(pools)]:
        noted.append((owners[str(fault.where[0]), str(fault.where[1])], fault))
    if isinstance(main.section, Settings) and main.section.notifications is not None:
        from queuepool.domain.notification import mistakes

        known = [name for what, name in owners if what == "programs"]
        noted += [(main, fault) for fault in mistakes(main.file, known, groups, missing=bool(whole.broken))]
    bad = [reading for reading in whole.files[1:] if any(r is reading and not f.warning for r, f in noted)]
    for reading, fault in noted:
        if not bad or (reading in bad and not fault.warning):
            reading.add(fault)
    if not bad:
        whole.pools = _linked(pools)
        whole.groups = groups
    return bad


def _linked(pools: dict[str, PoolSpec]) -> dict[str, PoolSpec]:
    """The pools without waiting for programs that are not there: a warning says so."""
    for name, pool in pools.items():
        if any(program not in pools for program in pool.depends_on):
            pools[name] = replace(pool, depends_on=tuple(program for program in pool.depends_on if program in pools))
    return pools


def shown_name(path: str) -> str:
    """How problems call a file: from the working directory where it is below that, else in full."""
    try:
        cwd = os.getcwd()
    except OSError:
        return path
    inside = cwd != "/" and path.startswith(cwd.rstrip("/") + "/")
    return path[len(cwd.rstrip("/")) + 1 :] if inside else path
