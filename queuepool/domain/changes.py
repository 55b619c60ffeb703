"""What differs between two readings of queuepool.yml, in words. Applying it is the controller's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from queuepool.domain.pool import PoolSpec

_SECRET = frozenset({"environment"})


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of programs, and for changed ones what changed. restarts: those whose processes have to be replaced."""

    added: tuple[str, ...]
    changed: tuple[tuple[str, tuple[str, ...]], ...]
    removed: tuple[str, ...]
    restarts: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def compare(before: Mapping[str, PoolSpec], after: Mapping[str, PoolSpec]) -> Changes:
    """What applying `after` over `before` would change."""
    changed = []
    restarts = set()
    for name, new in after.items():
        if name not in before:
            continue
        old = before[name]
        if sentences := describe(old, new):
            changed.append((name, sentences))
        if old.process(0).launch.fingerprint != new.process(0).launch.fingerprint:
            restarts.add(name)
    return Changes(
        tuple(name for name in after if name not in before),
        tuple(changed),
        tuple(name for name in before if name not in after),
        frozenset(restarts),
    )


def describe(old: PoolSpec, new: PoolSpec) -> tuple[str, ...]:
    """What differs between two settings of one program: `numprocs 2 -> 4`. Values of the environment are not shown."""
    found = _differences(old, new, skip={"name", "process", "source", "php", "says", "verbose", "home", "listening"})
    if old.group != new.group:
        found.append(f"group {old.group} -> {new.group}")
    if old.listening and new.listening:
        found += _differences(old.listening, new.listening)
    one, other = old.process(0), new.process(0)
    found += _differences(one.launch, other.launch, skip={"settled"})
    found += _differences(one.policy, other.policy)
    found += _differences(one.stdout, other.stdout, prefix="stdout_logfile ")
    found += [
        f"{stream} events"
        for stream, was, now in zip(("stdout", "stderr"), one.taps, other.taps, strict=True)
        if was != now
    ]
    if one.stderr and other.stderr:
        found += _differences(one.stderr, other.stderr, prefix="stderr_logfile ")
    elif one.stderr != other.stderr:
        found.append("stderr_logfile")
    return tuple(found)


def _differences(
    old: object, new: object, *, prefix: str = "", skip: frozenset[str] | set[str] = frozenset()
) -> list[str]:
    found = []
    for item in fields(old):  # type: ignore[arg-type]
        if item.name in skip:
            continue
        before, after = getattr(old, item.name), getattr(new, item.name)
        if before == after:
            continue
        label = prefix + item.name
        found.append(label if item.name in _SECRET else f"{label} {_shown(before)} -> {_shown(after)}")
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple | frozenset):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(getattr(value, "value", value))
