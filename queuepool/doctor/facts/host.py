"""The machine: memory, disks, limits. PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostFacts:
    """memory, available, swap: bytes."""

    memory: int
    available: int
    swap: int = 0
