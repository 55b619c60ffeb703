"""What should run: the file's pools and the overrides in force, in; the wanted slots of each pool, out. What is done
about the difference to what does run is reconcile.py's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec


@dataclass(frozen=True, slots=True)
class Overrides:
    """What people changed at runtime, over what the file says.

    scale: pool -> count. held: processes stopped by hand. started: processes of autostart=false programs that were
    started by hand. restarts: process -> number of the last restart asked for; a process with a lower one is replaced.
    serial: the highest number given so far.
    """

    scale: Mapping[str, int] = field(default_factory=dict)
    held: frozenset[ProcessName] = frozenset()
    started: frozenset[ProcessName] = frozenset()
    restarts: Mapping[ProcessName, int] = field(default_factory=dict)
    serial: int = 0


@dataclass(frozen=True, slots=True)
class Revision:
    """What a process was started as. Two that differ mean a replacement. fingerprint: of its Launch. serial: of the
    last restart that it fulfils."""

    fingerprint: str
    serial: int = 0


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """The slots of a pool that should run, and as what. size: how many slots there are, held ones included.
    why: in words, for `status`."""

    spec: PoolSpec
    size: int
    slots: Mapping[int, Revision]
    why: str

    @property
    def wanted(self) -> int:
        """How many processes should run."""
        return len(self.slots)

    def why_ended(self, slot: int) -> str:
        """Why a process of a slot that is not desired is stopped, in words."""
        return "scaled down" if slot >= self.size else "stopped" if self.slots else self.why


def size(spec: PoolSpec, overrides: Overrides) -> int:
    """How many slots the pool has now."""
    return overrides.scale.get(spec.name, spec.numprocs)


def desired(spec: PoolSpec, overrides: Overrides) -> DesiredPool:
    """What should run of one pool."""
    count = size(spec, overrides)
    slots: dict[int, Revision] = {}
    for slot in range(count):
        name = ProcessName(spec.name, slot)
        if name in overrides.held or (not spec.autostart and name not in overrides.started):
            continue
        launch = spec.process(slot).launch
        slots[slot] = Revision(launch.fingerprint, overrides.restarts.get(name, 0))
    scaled = spec.name in overrides.scale and overrides.scale[spec.name] != spec.numprocs
    why = "scaled by an operator" if scaled else "numprocs"
    if count and not slots:
        why = "stopped by an operator" if spec.autostart else "autostart is off"
    return DesiredPool(spec, count, slots, why)
