"""Where notices go, as values, and the small languages of that section of the file. Its keys are notifyspec.py's, how
they become these values notification.py's; what is told is notices.py's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queuepool.domain import units

if TYPE_CHECKING:
    from queuepool.domain.alarm import Limits
    from queuepool.domain.notices import About, Notice
    from queuepool.domain.notifyspec import Secret
    from queuepool.domain.outbox import Rate


@dataclass(frozen=True, slots=True)
class Hidden:
    """A secret: the text, or the path of the file that holds it."""

    text: str = field(default="", repr=False)
    file: str = ""


@dataclass(frozen=True, slots=True)
class Slack:
    """An incoming webhook of Slack."""

    url: Hidden


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that gets the notice as JSON. secret: that signs the body."""

    url: Hidden
    headers: tuple[tuple[str, Hidden], ...] = ()
    secret: Hidden | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail. security: none, starttls or tls."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    security: str = "none"
    username: str = ""
    password: Hidden | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command that gets the notice as JSON."""

    argv: tuple[str, ...]
    directory: str


Way = Slack | Webhook | Mail | Command


@dataclass(frozen=True, slots=True)
class Target:
    """One target. on: what it is told of. programs: only these; empty: all."""

    name: str
    way: Way
    on: frozenset[About]
    rate: Rate
    programs: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        """`slack`, `webhook`, `email` or `command`."""
        return {Slack: "slack", Webhook: "webhook", Mail: "email", Command: "command"}[type(self.way)]

    def wants(self, notice: Notice) -> bool:
        """Whether it is to be told this."""
        concerned = not self.programs or not notice.programs or not self.programs.isdisjoint(notice.programs)
        abouts = {notice.about.value, *(key.partition(":")[0] for key in notice.closes)}
        return concerned and not abouts.isdisjoint(self.on)


@dataclass(frozen=True, slots=True)
class Notify:
    """All that the file says of notifications."""

    targets: tuple[Target, ...]
    limits: Limits


_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}\Z", re.ASCII)
_SERVER = re.compile(r"((?:\[[0-9a-fA-F:.]+\])|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?\Z", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z", re.ASCII)


def mail_address(value: object) -> str:
    """`ops@example.com`."""
    if not isinstance(value, str) or not _MAIL.match(value.strip()):
        raise ValueError("is not an e-mail address such as ops@example.com")
    return value.strip()


def mail_addresses(value: object) -> tuple[str, ...]:
    """Addresses from a text with commas, or a list."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError("is not an e-mail address, or a list of them")
    return tuple(dict.fromkeys(map(mail_address, items)))


def mail_server(value: object) -> str:
    """`host:port` from `mail.example.com:587`, `localhost` (port 25) or `[::1]:25`."""
    match = _SERVER.match(str(value).strip())
    if match is None or not 0 < int(match[2] or 25) < 65536:
        raise ValueError("is not a mail server such as mail.example.com:587")
    return f"{match[1]}:{match[2] or 25}"


def is_here(address: str) -> bool:
    """Whether `host:port`, or a host, is this machine itself."""
    host = (address.rpartition(":")[0] if re.search(r":\d+\Z", address) else address).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(url: str, *, safe: bool) -> None:
    """Raises ValueError for what is no http address to POST to. safe: only by TLS, but on this machine."""
    match = re.match(r"(https?)://([^/?#@\s]+)(?:[/?#]\S*)?\Z", url.strip(), re.IGNORECASE)
    if match is None or not match[2].isascii() or not url.isprintable():
        at = "@" in url.partition("://")[2].partition("/")[0]
        why = ": put the name and password into `headers`" if at else " such as https://example.com/hook"
        raise ValueError(f"is not an address{why}")
    if safe and match[1].lower() == "http" and not is_here(match[2].lower()):
        raise ValueError("is not an https address: whoever sees it can write there")


def check_headers(headers: Mapping[str, Secret]) -> None:
    """Raises ValueError for what cannot be the header of a request."""
    for name, value in headers.items():
        if not _HEADER.match(name) or name.lower() in ("content-length", "host", "content-type"):
            raise ValueError(f"cannot send a header named {name!r}")
        if value.text is not None and not (value.text.get_secret_value().isprintable()):
            raise ValueError(f"cannot send the header {name}: its value holds a control character")


def kinds(value: object) -> tuple[str, ...]:
    """What is told, from a list or a text with commas."""
    from queuepool.domain.notices import MEANING

    known = [*MEANING, "default", "all"]
    for name in (found := units.names(value)):
        if name not in known:
            near = nearest(name, known) if name.isprintable() else ""
            raise ValueError(f"is not a list of {', '.join(known)}" + (f"; {near}" if near else ""))
    return found


def wait_limits(value: object) -> dict[str, float]:
    """Program -> seconds, from one time for all ("") or a mapping."""
    if isinstance(value, Mapping):
        return {str(name): units.duration(seconds) for name, seconds in value.items()}
    return {"": units.duration(value)}


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean mail?`, or ""."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""
