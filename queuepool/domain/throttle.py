"""How often one may try: failed logins by address and by name, refusals that are written down, and how long a session
lasts. Pure: the state goes in and comes out, and so does the time."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SESSION_IDLE_SECONDS = 8 * 3600.0
"""A session ends when nobody used it for so long: a working day's page that was left open overnight asks again."""

SESSION_SECONDS = 24 * 3600.0
"""A session ends at this age, used or not."""

MOST_KEYS = 2000
"""Addresses and names remembered each; about 200 bytes for one."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """burst: how many at once. every: seconds after which one more is allowed."""

    burst: int
    every: float


BY_ADDRESS = Allowance(10, 20.0)
BY_NAME = Allowance(50, 10.0)
"""Many addresses may try one name. Whoever owns the name is not shut out by them where he was let in before."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed logins: key -> the time at which it is forgiven entirely. Keys are addresses (an IPv6 network of a site
    counts as one) and names. homes: address and name -> when that name was let in from there; what others do to the
    name does not concern it."""

    addresses: Mapping[str, float] = field(default_factory=dict)
    names: Mapping[str, float] = field(default_factory=dict)
    homes: Mapping[str, float] = field(default_factory=dict)

    def wait(self, address: str, name: str, now: float) -> float:
        """Seconds until the next try is looked at; 0: now."""
        at_address = _wait(self.addresses.get(network(address), 0.0), BY_ADDRESS, now)
        if _home(address, name) in self.homes:
            return at_address
        return max(at_address, _wait(self.names.get(name[:100], 0.0), BY_NAME, now))

    def failed(self, address: str, name: str, now: float) -> Failures:
        """After one more failure."""
        return replace(
            self,
            addresses=_add(self.addresses, network(address), BY_ADDRESS, now),
            names=_add(self.names, name[:100], BY_NAME, now),
        )

    def succeeded(self, address: str, name: str, now: float) -> Failures:
        """After a login: the address is nobody's who guesses, and one where that name is at home."""
        left = dict(self.addresses)
        left.pop(network(address), None)
        homes = {**self.homes, _home(address, name): now}
        if len(homes) > MOST_KEYS:
            del homes[min(homes, key=lambda home: homes[home])]
        return replace(self, addresses=left, homes=homes)


def _home(address: str, name: str) -> str:
    return f"{network(address)} {name[:100]}"


def _wait(forgiven_at: float, allowance: Allowance, now: float) -> float:
    """A failure moves the time of forgiveness by `every` seconds; with `burst` of them ahead, one has to wait."""
    return max(0.0, forgiven_at - now - (allowance.burst - 1) * allowance.every)


def _add(known: Mapping[str, float], key: str, allowance: Allowance, now: float) -> dict[str, float]:
    after = dict(known)
    after[key] = min(max(after.get(key, now), now) + allowance.every, now + allowance.burst * allowance.every)
    if len(after) > MOST_KEYS:
        after = {key: until for key, until in after.items() if until > now}
        for stale in sorted(after, key=lambda name: after[name])[: max(0, len(after) - MOST_KEYS)]:
            del after[stale]
    return after


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which a single host can roam."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if found.version == 6 and not found.is_loopback:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)


@dataclass(frozen=True, slots=True)
class Ration:
    """How much of something that strangers cause is written down. dropped: since the last that was."""

    full_at: float = 0.0
    dropped: int = 0

    def take(self, now: float, allowance: Allowance) -> tuple[Ration, bool]:
        """After one more, and whether it is to be written down."""
        if _wait(self.full_at, allowance, now) > 0:
            return replace(self, dropped=self.dropped + 1), False
        return Ration(max(self.full_at, now) + allowance.every), True


def session_ends(begun: float, used: float) -> float:
    """When a session ends that was begun and last used at these times."""
    return min(begun + SESSION_SECONDS, used + SESSION_IDLE_SECONDS)
