"""What `engine: supervisord` makes of a file: which keys it cannot honour, and pools as that engine can run them. How
they are written down for Supervisor is formats/supervisor_slots.py's."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queuepool.domain.expand import Template
from queuepool.domain.places import Fault, File
from queuepool.domain.pool import EngineSpec, PoolSpec, ProcessSpec, Strategy
from queuepool.domain.slots import Slots
from queuepool.domain.spec import Settings

_PLAIN = "Supervisor writes the lines as they come, and rotates by size alone"
NOT_SUPERVISED: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "nice": ((None,), "Supervisor has no option for it", "put `nice` before the command of a `command` program"),
    "rlimits": (
        ({},),
        "Supervisor has no option for it",
        "give supervisord itself the limits, such as its minfds",
    ),
    "groups": ((None,), "Supervisor has no option for it", "leave it out: the processes have the groups of their user"),
    "memory_limit": ((0,), "nobody would watch it", "give `memory`: the worker ends itself above it"),
    "requeue": ((False,), "Supervisor does not tell which job a worker died in", "leave it out"),
    "depends_on": (((),), "supervisord starts everything side by side", "give `priority`, the order of the starts"),
    "stdout_logfile_rotate": (("never",), _PLAIN, "leave it out, or let logrotate do it"),
    "stdout_logfile_compress": ((False,), _PLAIN, "leave it out, or let logrotate do it"),
    "stderr_logfile_rotate": (("never",), _PLAIN, "leave it out, or let logrotate do it"),
    "stderr_logfile_compress": ((False,), _PLAIN, "leave it out, or let logrotate do it"),
    "log_prefix": (((),), _PLAIN, "leave it out: each process has a log of its own"),
    "log_format": (("plain",), _PLAIN, "leave it out"),
}
"""Field of a program -> values that ask for nothing, why others cannot be had, and what to do."""
OTHERWISE_SUPERVISED: dict[str, tuple[tuple[Any, ...], str]] = {
    "fatal_retry": ((0.0,), "means nothing to Supervisor: a FATAL process stays so until `queuepool start`"),
    "clear_env": ((False,), "cannot be kept: with `engine: supervisord` a process also has supervisord's environment"),
}
"""Field of a program -> values that ask for nothing, and what becomes of others."""


def engine_of(file: File) -> EngineSpec:
    """What the main file says of the engine, with paths as seen from the file."""
    section = file.section
    if not isinstance(section, Settings):
        return EngineSpec()
    said = section.engine

    def path(text: str | None) -> str | None:
        return text and posixpath.normpath(posixpath.join(file.place.here, text))

    return EngineSpec(
        said.type,
        path(said.config),
        path(said.directory),
        said.url,
        said.username,
        said.password.get_secret_value() if said.password is not None else None,
    )


def supervised(pool: PoolSpec) -> PoolSpec:
    """The pool as Supervisor can run it: each process with a log of its own, since each has a writer of its own;
    replaced in its place; and replaced for any change, since Supervisor changes nothing of a living process."""
    slots = pool.process
    if not isinstance(slots, Slots):
        return pool
    alone = pool.kind == "horizon"
    stdout, stderr = slots.stdout, slots.stderr
    if not alone:
        stdout, stderr = (path and _of_slot(path) for path in (stdout, stderr))
    spec = slots.spec
    policy = (replace(spec.policy, exitcodes=frozenset()), sorted(spec.policy.exitcodes))
    rest = repr((policy, slots.process_name, stdout, _rules(spec), stderr, pool.priority))
    spec = replace(spec, launch=replace(spec.launch, settled=hashlib.sha256(rest.encode()).hexdigest()[:16]))
    missing = pool.strategy.max_unavailable
    strategy = replace(pool.strategy, max_surge=0, max_unavailable=1 if missing in (0, "0%") else missing)
    return replace(
        pool,
        process=replace(slots, stdout=stdout, stderr=stderr, spec=spec, _made={}),
        strategy=strategy,
        says=False,
        requeue=False,
        pace=False,
    )


def in_place(strategy: Strategy) -> bool:
    """Whether nothing new is started beside what is to be replaced."""
    return strategy.max_surge in (0, "0%")


def section_name(spec: ProcessSpec) -> str:
    """What the process is called in Supervisor, where each is a program and a group of its own: `laravel-worker_03`."""
    shown = spec.display.rpartition(":")[2]
    return shown if shown.startswith(spec.name.pool) else f"{spec.name.pool}_{shown}"


def alike(pools: Mapping[str, PoolSpec]) -> list[Fault]:
    """Processes of two programs that would have the same name in Supervisor."""
    owners: dict[str, str] = {}
    faults = []
    for name, pool in pools.items():
        for slot in range(pool.numprocs):
            section = section_name(pool.process(slot))
            if owners.setdefault(section, name) != name:
                what = f"has a process {section}, and so has {owners[section]}: in Supervisor a name is there once"
                faults.append(Fault(("programs", name), what, "rename one of them"))
                break
    return faults


def _rules(spec: ProcessSpec) -> tuple[object, ...]:
    logs = (spec.stdout, spec.stderr)
    return tuple((log.path, log.maxbytes, log.backups) for log in logs if log is not None)


def _of_slot(path: Template) -> Template:
    """`storage/logs/mail_03.log` for `storage/logs/mail.log`."""
    last = path.pieces[-1]
    if path.per_slot or not isinstance(last, str) or str(path.pieces[0]).startswith("/dev/"):
        return path
    root, ending = posixpath.splitext(last)
    return Template(tuple(piece for piece in (*path.pieces[:-1], f"{root}_", ("process_num", "02d"), ending) if piece))
