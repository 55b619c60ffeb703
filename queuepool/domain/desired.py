"""What should run: the file's pools and the overrides in force, in; the wanted slots of each pool, out. What is done
about the difference to what does run is reconcile.py's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec, Strategy


@dataclass(frozen=True, slots=True)
class Rolling:
    """What a deploy lays over one pool, while it goes on and after it was rolled back.

    release: real path to start from; None: what `app` links to at each start. waiting: slots whose turn has not come:
    what runs there is left alone. later: slots that are not to start yet. forced: slots to be restarted although
    nothing of them changed, with `serial` as the number of that restart. strategy: instead of the program's. why: in
    words, for `status`.
    """

    release: str | None = None
    waiting: frozenset[int] = frozenset()
    later: frozenset[int] = frozenset()
    forced: frozenset[int] = frozenset()
    serial: int = 0
    strategy: Strategy | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What people and deploys changed at runtime, over what the file says.

    scale: pool -> count. held: processes stopped by hand. started: processes of autostart=false programs that were
    started by hand. restarts: process -> number of the last restart asked for; a process with a lower one is replaced.
    serial: the highest number given so far. rolling: pool -> what a deploy says of it.
    """

    scale: Mapping[str, int] = field(default_factory=dict)
    held: frozenset[ProcessName] = frozenset()
    started: frozenset[ProcessName] = frozenset()
    restarts: Mapping[ProcessName, int] = field(default_factory=dict)
    serial: int = 0
    rolling: Mapping[str, Rolling] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a process was started as, or is to be. Two that differ mean a replacement. fingerprint: of its Launch.
    serial: of the last restart that it fulfils. release: real path that is wanted; None: any."""

    fingerprint: str
    serial: int = 0
    release: str | None = None

    def is_met_by(self, other: Revision, release: str | None) -> bool:
        """Whether a process started as `other`, which runs `release` (None: it has not been made yet), is as wanted."""
        if self.fingerprint != other.fingerprint or self.serial != other.serial:
            return False
        return self.release is None or release is None or release == self.release


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """The slots of a pool that should run, and as what. size: how many slots there are, held ones included.
    why: in words, for `status`. waiting: slots whose turn has not come in a deploy, also beyond the size."""

    spec: PoolSpec
    size: int
    slots: Mapping[int, Revision]
    why: str
    waiting: frozenset[int] = frozenset()

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
    rolling = overrides.rolling.get(spec.name, _STILL)
    release = rolling.release if spec.app is not None else None
    slots: dict[int, Revision] = {}
    for slot in range(count):
        name = ProcessName(spec.name, slot)
        if slot in rolling.later or name in overrides.held or (not spec.autostart and name not in overrides.started):
            continue
        launch = spec.process(slot).launch
        serial = overrides.restarts.get(name, 0)
        slots[slot] = Revision(launch.fingerprint, rolling.serial if slot in rolling.forced else serial, release)
    scaled = spec.name in overrides.scale and overrides.scale[spec.name] != spec.numprocs
    why = "scaled by an operator" if scaled else "numprocs"
    if count and not slots:
        why = "stopped by an operator" if spec.autostart else "autostart is off"
    if rolling.why:
        why = rolling.why if why == "numprocs" else f"{why}; {rolling.why}"
    if rolling.strategy is not None:
        spec = replace(spec, strategy=rolling.strategy)
    return DesiredPool(spec, count, slots, why, rolling.waiting)


_STILL = Rolling()
