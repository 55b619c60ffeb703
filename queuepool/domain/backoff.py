"""How long to wait before a start: exponential for failures, a leaky bucket for restarts of what ran well, and a brake
for pools that fail as a whole."""

from __future__ import annotations

from collections.abc import Collection

BASE_SECONDS = 0.5
CAP_SECONDS = 60.0
JITTER = 0.2
BURST = 10.0
"""Restarts that follow at once before the bucket is full."""
LEAK_SECONDS = 6.0
"""The bucket loses one restart in this time, so a slot restarts ten times a minute for ever at the most."""
BRIEF_SECONDS = 0.25
"""A process that lived shorter did no work worth a free restart; it fills the bucket four times as fast."""


BRAKE_FROM = 4
"""So many processes of one pool that fail alike are taken to have one cause."""
BRAKE_SECONDS = 5.0
"""When a process that waits for another's success looks again, in case that one is gone."""


def braked(slot: int, alike: Collection[int]) -> bool:
    """Whether a slot waits for another one to succeed. alike: the slots of its pool that failed at their start in the
    same way, itself included. Then only the lowest tries again: a broken release must not boot 200 PHPs in vain, each
    for a tenth of a second of processor time."""
    return len(alike) >= BRAKE_FROM and slot != min(alike)


def delay(failures: int, luck: float) -> float:
    """Seconds to wait before the next start after `failures` failed ones in a row (1, 2, ...): 0.5 s doubled each
    time up to a minute, +- 20 %. luck: a random number in [0, 1), so that a pool does not restart in step."""
    raw = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 32))
    return raw * (1 - JITTER + 2 * JITTER * luck)


def warmed(heat: float, since: float, lived: float) -> float:
    """The bucket after one more restart. heat: before, `since` seconds ago; lived: seconds the process had run."""
    return max(0.0, heat - since / LEAK_SECONDS) + (1.0 if lived >= BRIEF_SECONDS else 4.0)


def restart_delay(heat: float, luck: float) -> float:
    """Seconds to wait with the bucket at `heat`: none while it is not full, then exponential."""
    return 0.0 if heat <= BURST else delay(int(heat - BURST) + 1, luck)
