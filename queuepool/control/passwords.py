"""Passwords and tokens: making them, hashing them, comparing with a hash. Who has which, and how often one may try, is
access.py's matter.

A password's hash is `scrypt:N:R:P$salt$hex`, as Werkzeug writes it (werkzeug/security.py, generate_password_hash), so
that either can read the other's. A token is 256 random bits that nobody can guess, so `sha256:hex` suffices for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from queuepool.domain.units import HASH

COST = (1 << 15, 8, 1)
"""N, r and p of new hashes: 32 MB and about 0.1 s each (Werkzeug's, and more than OWASP's least for scrypt)."""

MOST_MEMORY = 256 << 20
"""Bytes that comparing with one hash may take."""

_SALT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def hash_password(password: str) -> str:
    """A new hash of a password, with a salt of its own."""
    salt = "".join(secrets.choice(_SALT) for _ in range(16))
    return f"scrypt:{COST[0]}:{COST[1]}:{COST[2]}${salt}${_scrypt(password, salt, COST).hex()}"


def password_matches(password: str, hashed: str) -> bool:
    """Whether `hashed` is a hash of `password`. Raises ValueError when it is no hash, or one that takes too much."""
    cost, salt, expected = _parts(hashed)
    return hmac.compare_digest(_scrypt(password, salt, cost), expected)


def check_hash(hashed: str) -> None:
    """Raises ValueError when this is no hash of a password that can be compared with."""
    _parts(hashed)


def cost_of(hashed: str) -> tuple[int, int, int]:
    """What comparing with it costs."""
    return _parts(hashed)[0]


def _parts(hashed: str) -> tuple[tuple[int, int, int], str, bytes]:
    if not re.match(HASH["password_hash"], hashed, re.ASCII):
        raise ValueError("is no hash of a password")
    method, salt, digest = hashed.split("$")
    n, r, p = map(int, method.split(":")[1:])
    if n < 2 or n & (n - 1) or not r or not p or 132 * n * r * p > MOST_MEMORY:
        raise ValueError("has a cost that is none, or that is too large")
    return (n, r, p), salt, bytes.fromhex(digest)


def _scrypt(password: str, salt: str, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    raw = password.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(raw, salt=salt.encode(), n=n, r=r, p=p, maxmem=MOST_MEMORY + (1 << 20))


def new_token() -> str:
    """A token that nobody can guess."""
    return f"qp_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """The hash by which a token is known."""
    return f"sha256:{digest(token)}"


def digest(text: str) -> str:
    """A hash of something that nobody can guess: to look it up without keeping it, and without comparing its bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
