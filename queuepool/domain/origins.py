"""Where a request may come from: by which names a browser may know the listener (else any page could rebind its own
name to it), from which pages it may POST, which proxies are believed, and where a login may lead to. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\Z", re.ASCII)
_PORTS = {"http": "80", "https": "443"}


def host_and_port(authority: str) -> tuple[str, str] | None:
    """The host in lower case, without brackets and final dot, and the port or ""; None when it is neither."""
    match = _AUTHORITY.match(authority)
    return (match[1].lower().strip("[]").rstrip("."), match[2] or "") if match else None


def host_is_known(header: str | None, allowed: Iterable[str], own_name: str) -> bool:
    """Whether the Host header names this listener: by an address, which nobody can rebind, as localhost, by the name of
    the machine, or by a name of `allowed` (`*.example.org` for every name below, `*` for all). None: a client that
    says none; a browser always does (RFC 9110, 7.2)."""
    if header is None:
        return True
    found = host_and_port(header)
    if found is None:
        return False
    host = found[0]
    if host == "localhost" or host.endswith(".localhost") or (own_name and host == own_name.lower()):
        return True
    if _address(host) is not None:
        return True
    for name in allowed:
        name = name.lower().rstrip(".")
        if name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def may_post(host: str | None, origin: str | None, site: str | None) -> bool:
    """Whether a POST comes from one of our own pages, or from no page at all. host, origin, site: the headers Host,
    Origin and Sec-Fetch-Site, None where there is none; every browser sends Origin with a POST of another site (Fetch
    standard, "append a request Origin header"), and clients that are no browsers send none."""
    if site is not None and site not in ("same-origin", "none"):
        return False
    if origin is None:
        return True
    if origin == "null":
        return site == "same-origin"
    scheme, _, authority = origin.partition("://")
    theirs, ours = host_and_port(authority), host_and_port(host or "")
    if scheme not in _PORTS or theirs is None or ours is None:
        return False
    port = _PORTS[scheme]
    return theirs[0] == ours[0] and (theirs[1] or port) == (ours[1] or port)


def is_local(address: str) -> bool:
    """Whether this address is that of this machine alone."""
    found = _address(address)
    return found is not None and found.is_loopback


def is_proxy(address: str, trusted: Iterable[str]) -> bool:
    """Whether what this address forwards is believed: it is this machine, or in one of the networks `trusted`."""
    found = _address(address)
    if found is None:
        return False
    return found.is_loopback or any(found in ipaddress.ip_network(item, strict=False) for item in trusted)


def client_address(peer: str, forwarded: str, trusted: Iterable[str]) -> str:
    """Where a request came from. forwarded: X-Forwarded-For, to whose end each proxy adds whom it spoke with; the last
    address that is no trusted proxy is the client's, and what stands before it anybody may have written."""
    trusted = tuple(trusted)
    address = peer
    for item in reversed(forwarded.split(",") if forwarded else []):
        if not is_proxy(address, trusted):
            break
        known = _address(item.strip())
        if known is None:
            break
        address = str(known)
    return address


def local_path(text: str) -> str:
    """`text` where it is a path of this listener, else "/": a login must not lead to another site. A browser takes
    `//host`, and `/\\host`, for another one, and drops tabs and newlines (URL standard)."""
    plain = text.startswith("/") and not text.startswith("//") and text.isascii() and text.isprintable()
    return text if plain and "\\" not in text and len(text) <= 2000 else "/"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found
