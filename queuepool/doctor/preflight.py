"""What `queuepool up` sees before it starts anything: programs that cannot run here, as far as files tell. No PHP, no
network, and a few microseconds per program, since `up` has to be fast. The whole examination is examine.py's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from queuepool.config.surroundings import Missing, Surroundings
from queuepool.domain.pool import PoolSpec


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that programs lack. what, remedy: for a person. fatal: whether they cannot run at all."""

    programs: tuple[str, ...]
    what: str
    remedy: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Preflight:
    """lacks: each thing once. hopeless: there are programs, and none of them can run."""

    lacks: tuple[Lack, ...] = ()
    hopeless: bool = False


def preflight(pools: Iterable[PoolSpec]) -> Preflight:
    """Look for what would keep programs from running."""
    here = Surroundings()
    found: dict[Missing, list[PoolSpec]] = {}
    hopeless = True
    count = 0
    for pool in pools:
        count += 1
        fatal = False
        for one in here.missing(pool, pool.process(0)):
            found.setdefault(one, []).append(pool)
            fatal = fatal or one.fatal
        hopeless = hopeless and fatal and (pool.numprocs < 2 or _last_fails(here, pool))
    lacks = tuple(
        Lack(tuple(pool.name for pool in lacking), one.what, one.remedy or f"look at {lacking[0].source}", one.fatal)
        for one, lacking in found.items()
    )
    return Preflight(lacks, hopeless and count > 0)


def _last_fails(here: Surroundings, pool: PoolSpec) -> bool:
    """Whether the last slot fails too: a directory or a command may have the number of the slot in it."""
    return any(one.fatal for one in here.missing(pool, pool.process(pool.numprocs - 1)))
