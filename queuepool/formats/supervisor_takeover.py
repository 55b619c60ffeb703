"""What runs in a live supervisord and what queuepool.yml holds -> the moves that bring the one to the other. PURE. They
are made by cli/takeover.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from queuepool.domain.amounts import count
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import COMMANDS
from queuepool.domain.program import LARAVEL_TIMEOUT, NO_LIMIT_STOP
from queuepool.formats.supervisor_import import Drafts
from queuepool.formats.supervisor_model import Config, Surroundings
from queuepool.formats.supervisor_program import Draft

STARTING, RUNNING, BACKOFF, STOPPING = 10, 20, 30, 40
WANTED = frozenset({STARTING, RUNNING, BACKOFF})
"""States of Supervisor (supervisor/states.py) in which a process is to run."""
ALIVE = WANTED | {STOPPING}


@dataclass(frozen=True, slots=True)
class There:
    """A process of supervisord. state: its code. stopwaitsecs: how long a stop waits before it kills, None when that
    is not known."""

    group: str
    name: str
    state: int
    stopwaitsecs: int | None = None

    @property
    def full(self) -> str:
        """The name that supervisord's calls take."""
        return f"{self.group}:{self.name}"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept between two calls. moved: groups that were moved. group: the one that is being moved, "" for none;
    ran: those of its processes that ran before."""

    moved: tuple[str, ...] = ()
    group: str = ""
    ran: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """One group. ran: processes there that are started there again on failure. stop: those of them that are still to be
    stopped; whole: nothing else of the group lives, so that one call stops it. start: processes here. warnings:
    sentences."""

    group: str
    ran: tuple[str, ...]
    stop: tuple[str, ...]
    whole: bool
    start: tuple[ProcessName, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """moves: in their order. hold: processes here that must not start before their group is stopped there. done: groups
    that were moved before. stays: (what, why it is not moved)."""

    moves: tuple[Move, ...]
    hold: tuple[ProcessName, ...] = ()
    done: tuple[str, ...] = ()
    stays: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Facts:
    """What `plan` was told of all groups."""

    here: Mapping[str, ProcessName]
    sizes: Mapping[str, int]
    jobs: Mapping[str, float | None]
    shells: Collection[str]


def counterparts(config: Config, drafts: Drafts, around: Surroundings, most: int) -> dict[str, ProcessName]:
    """The full name of each process of Supervisor that was carried -> the process here. most: how many supervisord has:
    a pool may be larger there than in a file that was changed since."""
    found: dict[str, ProcessName] = {}
    for draft in drafts.programs:
        program = draft.program
        known: dict[str, str | int] = {f"ENV_{name}": value for name, value in around.environ.items()}
        known |= {"program_name": program.name, "numprocs": program.numprocs}
        known |= {"here": around.here, "host_node_name": around.host}
        numbered = "process_num" in program.process_name.names
        for group in sorted(_groups_of(config, draft)):
            for slot in range(max(program.numprocs, most) if numbered else 1):
                try:
                    name = program.process_name.render(
                        {**known, "group_name": group, "process_num": program.numprocs_start + slot}
                    )
                except (KeyError, ValueError):
                    break
                found.setdefault(f"{group}:{name}", ProcessName(draft.name, slot))
    return found


def job_seconds(draft: Draft) -> float | None:
    """How long a job of this program may take; None where it has none."""
    if draft.kind in COMMANDS:
        return None
    timeout = draft.keys.get("timeout", LARAVEL_TIMEOUT) if draft.kind != "horizon" else 0
    return float(timeout or NO_LIMIT_STOP)


def plan(
    there: Sequence[There],
    here: Mapping[str, ProcessName],
    sizes: Mapping[str, int],
    jobs: Mapping[str, float | None],
    running: Collection[ProcessName] = (),
    memory: Memory = Memory(),
    shells: Collection[str] = (),
) -> Plan:
    """What is to be done. here: as `counterparts` gives it. sizes: pool -> processes in queuepool.yml. jobs: pool ->
    seconds that a job may take. running: what runs here already. shells: pools that a shell starts there, which a stop
    ends alone."""
    facts = _Facts(here, sizes, jobs, shells)
    moves: list[Move] = []
    done: list[str] = []
    stays: list[tuple[str, str]] = []
    for group in dict.fromkeys(process.group for process in there):
        members = [process for process in there if process.group == group]
        ours = [process for process in members if process.full in here and here[process.full].pool in sizes]
        others = [process for process in members if process not in ours and process.state in ALIVE]
        stays += [(process.full, "runs there, and queuepool.yml has no program for it") for process in others]
        earlier = memory.ran if memory.group == group else ()
        moving = [process for process in ours if process.state in WANTED or process.full in earlier]
        if moving:
            idle = [process for process in ours if process not in moving]
            stays += [(process.full, "does not run there; stays stopped here") for process in idle]
            moves.append(_move(group, moving, ours, facts, whole=not others))
        elif ours and (group in memory.moved or any(here[process.full] in running for process in ours)):
            done.append(group)
        elif ours:
            stays.append((group, "does not run there; stays stopped here"))
    groups = {process.group for process in there}
    absent = {(_group(name), process.pool): None for name, process in _known(here, sizes) if _group(name) not in groups}
    for group, pool in absent:
        if group in memory.moved or any(name.pool == pool for name in running):
            done.append(group)
        else:
            stays.append((pool, "is in the files, and supervisord does not know it; stays stopped here"))
    settled = {process.pool for name, process in _known(here, sizes) if _group(name) in done}
    settled |= {name.pool for name in running}
    pools = dict.fromkeys(process.pool for _, process in _known(here, sizes) if process.pool not in settled)
    hold = tuple(ProcessName(pool, slot) for pool in pools for slot in range(sizes[pool]))
    return Plan(tuple(moves), hold, tuple(dict.fromkeys(done)), tuple(stays))


def files_done(config: Config, drafts: Drafts, groups: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What remains to be done by hand in Supervisor's files once these groups were moved: files that can go, and the
    sections in others. A file can go when an [include] that asks for an ending names it, and all in it was moved."""
    included = next((one for one in config.others if one.name == "include"), None)
    said = included.options.get("files") if included else None
    endings = said.value.split() if said else []
    main = included.where[0].file if included else ""
    moved = {one.program.section.name for one in drafts.programs if _groups_of(config, one) & set(groups)}
    moved |= {one.section.name for one in config.groups if one.name in groups}
    by_file: dict[str, dict[str, None]] = {}
    named = [*(one.section for one in config.programs), *(one.section for one in config.groups)]
    for section in (*named, *(one.section for one in config.servers), *config.others):
        for where in section.where:
            by_file.setdefault(where.file, {})[section.name] = None
    whole: list[str] = []
    parts: dict[str, list[str]] = {}
    for file, names in by_file.items():
        out = [name for name in names if name in moved]
        if out and len(out) == len(names) and file != main and endings and all(e[-1] != "*" for e in endings):
            whole.append(file)
        elif out:
            parts[file] = out
    return whole, parts


def _groups_of(config: Config, one: Draft) -> set[str]:
    return {group.name for group in config.groups if one.program.name in group.programs} or {one.program.name}


def _known(here: Mapping[str, ProcessName], sizes: Mapping[str, int]) -> Iterable[tuple[str, ProcessName]]:
    return ((name, process) for name, process in here.items() if process.pool in sizes)


def _group(full: str) -> str:
    return full.partition(":")[0]


def _move(
    group: str,
    moving: Sequence[There],
    ours: Sequence[There],
    facts: _Facts,
    *,
    whole: bool,
) -> Move:
    here, sizes = facts.here, facts.sizes
    warnings: list[str] = []
    start: list[ProcessName] = []
    for pool in dict.fromkeys(here[process.full].pool for process in moving):
        theirs = [process for process in moving if here[process.full].pool == pool]
        start += [here[process.full] for process in theirs if here[process.full].slot < sizes[pool]]
        there = {here[process.full].slot for process in ours if here[process.full].pool == pool}
        start += [ProcessName(pool, slot) for slot in range(sizes[pool]) if slot not in there]
        beyond = sum(here[process.full].slot >= sizes[pool] for process in theirs)
        if beyond:
            more = "one more that runs there gets" if beyond == 1 else f"{beyond} more that run there get"
            warnings.append(f"{pool} has {count(sizes[pool], 'process', 'processes')} here: {more} no successor")
        patience = min((p.stopwaitsecs for p in theirs if p.stopwaitsecs is not None), default=None)
        job = facts.jobs.get(pool)
        if pool in facts.shells:
            warnings.append(f"{pool}: a stop there may end its shell alone; what it started, and runs on, is told then")
        elif patience is not None and job is not None and patience < job:
            warnings.append(
                f"{pool}: Supervisor kills what does not stop within {patience} s (stopwaitsecs), and a job may take "
                f"{job:.0f} s; before: `supervisorctl signal USR2 {group}:*`, then it ends its job and takes no other"
            )
    stop = tuple(process.full for process in moving if process.state in ALIVE)
    return Move(group, tuple(p.full for p in moving), stop, whole, tuple(dict.fromkeys(start)), tuple(warnings))
