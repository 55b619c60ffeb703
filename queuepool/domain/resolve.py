"""What a file asks for -> its pools: which defaults reach which program, and what goes wrong between programs. One
program is program.py's matter; reading the file and all it refers to is config/load.py's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from queuepool.domain import command
from queuepool.domain.places import Fault, File, Membership, Path, Place, key_of
from queuepool.domain.pool import LogPolicy, PoolSpec
from queuepool.domain.program import ARTISAN_KEYS, Inherited, OneProgram, kind_of
from queuepool.domain.spec import KIND_DEFAULTS, NO_DEFAULT, Group, Section

_MERGED = frozenset({"environment", "env_file", "user", "group", "groups"})
"""Keys of `defaults` that are no default to be replaced: they are joined, or go with each other."""


def resolve(
    section: Section, place: Place, members: Mapping[str, Membership] | None = None, main: File | None = None
) -> tuple[dict[str, PoolSpec], list[Fault]]:
    """The pools of one file in its order, and what is wrong with it; one with a fault (not a warning) has no pool.

    members: program -> its group; without it, those of this file. main: the file that includes this one; its defaults
    come before this one's.
    """
    files = [File(section, place)] if main is None else [main, File(section, place)]
    members = memberships(section.groups) if members is None else members
    faults = [
        Fault(("defaults", name), "cannot be a default", "give it to each program")
        for name in sorted(section.defaults.model_fields_set & NO_DEFAULT)
    ]
    inherited = {kind: inherit(kind, files) for kind in KIND_DEFAULTS}
    pools = {}
    for name, program in section.programs.items():
        member = members.get(name) or Membership(name)
        one = OneProgram(name, program, files, inherited[kind_of(program)], member)
        resolved = one.pool()
        faults += one.faults
        if resolved is not None and all(fault.warning for fault in one.faults):
            pools[name] = resolved
    return pools, faults


def inherit(kind: str, files: Sequence[File]) -> Inherited:
    """What the defaults of these files, the outermost first, give to programs of this kind."""
    values: dict[str, Any] = dict(KIND_DEFAULTS[kind])
    said: dict[str, int] = {}
    skipped = NO_DEFAULT | _MERGED | (ARTISAN_KEYS - command.keys(kind))
    if kind == "eventlistener":
        skipped |= {"redirect_stderr", "stdout_logfile", "priority"}  # those of other programs would break the protocol
    if kind == "horizon":
        skipped |= {"options"}  # raw arguments in defaults are meant for queue:work
    for level, file in enumerate(files):
        defaults = file.section.defaults
        for name in defaults.model_fields_set:
            if key_of(name) not in skipped:
                values[name] = getattr(defaults, name)
                said[name] = level
    return Inherited(values, said)


def memberships(groups: Mapping[str, Group]) -> dict[str, Membership]:
    """Program -> the first group that has it."""
    found: dict[str, Membership] = {}
    for name, group in groups.items():
        for program in group.programs:
            found.setdefault(program, Membership(name, group.priority))
    return found


def shared_logs(pools: Mapping[str, PoolSpec]) -> list[Fault]:
    """Warnings about logs that two programs keep by different rules: a log has one writer, with one set of rules."""
    known: dict[str, tuple[str, LogPolicy]] = {}
    faults = []
    for name, pool in pools.items():
        first = pool.process(0)
        for stream, policy in (("stdout", first.stdout), ("stderr", first.stderr)):
            if policy is None or policy.path is None or policy.path.startswith("/dev/"):
                continue
            other, rules = known.setdefault(policy.path, (name, policy))
            if rules != policy:
                what = f"is the log of {other} too, which keeps it by other rules or for another user"
                where = ("programs", name, f"{stream}_logfile")
                faults.append(Fault(where, what, "give each program its own log", warning=True))
    return faults


def several_horizons(pools: Mapping[str, PoolSpec]) -> list[Fault]:
    """Warnings about a second Horizon of one application. Two that read different `.env` files may be meant."""
    known: dict[tuple[object, ...], str] = {}
    faults = []
    for name, pool in pools.items():
        if pool.kind != "horizon":
            continue
        launch = pool.process(0).launch
        parsed = command.parse(launch.argv)
        env = parsed.options.get("env") if parsed else None
        first = known.setdefault((pool.app, env, launch.environment), name)
        if first != name:
            what = f"is a second Horizon of this application, beside {first}: each master starts all the workers"
            hint = "remove one of them; maxProcesses in config/horizon.php says how many workers there are"
            faults.append(Fault(("programs", name, "type"), what, hint, warning=True))
    return faults


def several_schedulers(pools: Mapping[str, PoolSpec]) -> list[Fault]:
    """Warnings about a scheduler that is to run more than once."""
    what = "starts several schedulers: each runs every scheduled task, mails and invoices too"
    return [
        Fault(("programs", name, "numprocs"), what, "leave it at 1", warning=True)
        for name, pool in pools.items()
        if pool.numprocs > 1 and command.is_scheduler(pool.process(0).launch.argv)
    ]


def broken_links(waits_for: Mapping[str, Sequence[str]], groups: Mapping[str, Group], *, missing: bool) -> list[Fault]:
    """What is wrong with depends_on and groups over all files. waits_for: every program with its depends_on. missing:
    an included file could not be used, so that a name that is not there may have been in it: that is a warning then."""
    faults: list[Fault] = []

    def check(names: Sequence[str], where: Path) -> None:
        for name in names:
            if name not in waits_for:
                hint = "it may be in an included file that could not be used" if missing else _near(name, waits_for)
                faults.append(Fault(where, f"names {name!r}, which is no program", hint, missing))

    for name, group in groups.items():
        if name in waits_for:
            faults.append(Fault(("groups", name), "has the name of a program", "rename one of them"))
        check(group.programs, ("groups", name))
    for name, others in waits_for.items():
        check(others, ("programs", name, "depends_on"))
    for circle in circles(waits_for):
        what = "waits for itself: " + " -> ".join((*circle, circle[0]))
        faults.append(Fault(("programs", circle[0], "depends_on"), what, "one of them has to start first"))
    return faults


def _near(name: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known)[:2000], 1)
    return f"did you mean {near[0]}?" if near else ""


def circles(waits_for: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """The circles in who waits for whom, one for each way back to a name on the path."""
    found: list[tuple[str, ...]] = []
    done: set[str] = set()
    for start in waits_for:
        path: list[str] = []
        at: dict[str, int] = {}
        stack = [(start, iter(waits_for[start]))] if start not in done else []
        if stack:
            path, at = [start], {start: 0}
        while stack:
            name, others = stack[-1]
            for other in others:
                if other in at:
                    found.append(tuple(path[at[other] :]))
                elif other in waits_for and other not in done:
                    stack.append((other, iter(waits_for[other])))
                    at[other] = len(path)
                    path.append(other)
                    break
            else:
                stack.pop()
                path.pop()
                del at[name]
                done.add(name)
    return found
