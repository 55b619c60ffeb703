"""Who is it? Checks passwords and tokens against those of `http:`, and keeps the sessions of those who logged in.
Nothing here speaks HTTP, which is web.py's matter; what a visitor may do is domain/access.py's.

No password, token or session id is kept: only hashes of them; those of sessions are on disk as well (sessions.py). A
password is compared in a thread, for it takes a tenth of a second on purpose, and one at a time. A name that nobody has
costs as much as one that somebody has.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from queuepool.control import passwords
from queuepool.control.sessions import Kept, KeptSession, SessionStore
from queuepool.domain.access import Account, HttpSpec, Role, Secret, Visitor
from queuepool.domain.origins import is_local
from queuepool.domain.throttle import SESSION_SECONDS, Failures, session_ends

MAX_CHECKS = 1
"""Passwords compared at a time: whoever guesses may cost one core, and not those of the workers as well."""

MAX_WAITING = 32
"""Further ones that wait for their turn; more are told to try again."""

MAX_SESSIONS = 1000
MAX_REMEMBERED = 1000
"""Basic credentials that were right, and need not be compared again with each request."""

REMEMBER_SECONDS = 600.0
SAVE_SECONDS = 600.0
"""How old on disk may be when a session was used last; logins and logouts are saved at once."""

_LONGEST = 1024
"""Characters of a password; scrypt itself takes any number, at a cost."""


class Unusable(Exception):
    """A password or token of the file cannot be used: what is wrong."""


class Wait(Exception):
    """Too many failed logins, or too many at once: it may be tried again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"try again in {seconds:.0f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Known:
    """The accounts, with what they are compared with. users: name -> (account, hash of the password). tokens: hash ->
    account."""

    users: dict[str, tuple[Account, str]] = field(default_factory=dict, repr=False)
    tokens: dict[str, Account] = field(default_factory=dict, repr=False)


@dataclass(eq=False, slots=True)
class Session:
    """Somebody who logged in. proof: the password's hash then, so that a new password ends it. csrf: what a POST of
    this session has to repeat; it follows from the id, which is not kept, so it is "" until somebody brings that.
    streams: answers in progress, which end with it."""

    name: str
    role: Role
    proof: str = field(repr=False)
    begun: float
    used: float
    csrf: str = field(default="", repr=False)
    streams: set[asyncio.Timeout] = field(default_factory=set)


def know(spec: HttpSpec, before: Known) -> Known:
    """Read and hash what the file gives; slow, for a thread. before: what was known; a password that is still the same
    keeps its hash, and so its sessions. Raises Unusable."""
    users = {}
    for account in spec.users:
        text = _text(account)
        if text.startswith("scrypt:") and account.secret.kind != "plain":
            try:
                passwords.check_hash(text)
            except ValueError as error:
                raise Unusable(f"the password of {account.name} {error}") from None
            users[account.name] = (account, text)
        else:
            _, former = before.users.get(account.name, (None, ""))
            same = former and passwords.password_matches(text, former)
            users[account.name] = (account, former if same else passwords.hash_password(text))
    tokens = {}
    for account in spec.tokens:
        text = _text(account)
        hashed = text.startswith("sha256:") and account.secret.kind != "plain"
        if not hashed and len(text) < 32:
            raise Unusable(f"the token of {account.name} has less than 32 characters")
        tokens[text.removeprefix("sha256:") if hashed else passwords.digest(text)] = account
    return Known(users, tokens)


def _text(account: Account) -> str:
    if account.secret.kind != "file":
        return account.secret.text
    path = account.secret.text
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(10_000).partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if not text:
        raise Unusable(f"{path} is empty")
    return text


def _is_hash(text: str) -> bool:
    try:
        passwords.check_hash(text)
    except ValueError:
        return False
    return True


def csrf_of(cookie: str) -> str:
    """What a POST of the session with this id has to repeat. It tells nothing of the id."""
    return hmac.new(cookie.encode("utf-8", "surrogateescape"), b"csrf", "sha256").hexdigest()


class Access:
    """Those who may come in, and those who are in. clock: monotonic seconds. store: where sessions outlive the
    daemon."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, store: SessionStore | None = None) -> None:
        self._clock = clock
        self._store = store
        self._saved = clock()
        self._known = Known()
        self._open = True
        self._failures = Failures()
        self._sessions: dict[str, Session] = {}
        self._streaming: dict[asyncio.Timeout, Session] = {}
        self._remembered: dict[bytes, tuple[float, Account]] = {}
        self._key = os.urandom(32)
        self._checks = asyncio.Semaphore(MAX_CHECKS)
        self._waiting = 0
        self._decoys: list[str] = []

    def use(self, spec: HttpSpec, known: Known) -> None:
        """Take other accounts. Sessions of those whose name, role and password are the same go on."""
        self._known, self._open = known, spec.open
        self._remembered.clear()
        self._decoys = []
        before = len(self._sessions)
        for key, session in list(self._sessions.items()):
            found = known.users.get(session.name)
            if found is None or (found[0].role, found[1]) != (session.role, session.proof):
                self._end(key)
        if len(self._sessions) != before:
            self.save()

    def take_up(self, kept: Kept) -> None:
        """Go on with the sessions that a former daemon left, before anything is served. Whether they are still good is
        found by the next `use`: the passwords are compared with the hashes that are known from now on."""
        assert self._store is not None
        now = self._clock()
        shift = now - self._store.clock()
        proofs = {name: proof for name, proof in kept.proofs.items() if _is_hash(proof)}
        for one in kept.sessions[:MAX_SESSIONS]:
            begun, used = min(now, one.begun + shift), min(now, one.used + shift)
            if one.name in proofs and one.role in set(Role) and session_ends(begun, used) > now:
                self._sessions[one.key] = Session(one.name, Role(one.role), proofs[one.name], begun, used)
        nobody = Secret("hash", "")
        self._known = Known({name: (Account(name, Role.VIEWER, nobody), proof) for name, proof in proofs.items()})

    def save(self) -> None:
        """Write the sessions down."""
        self._saved = now = self._clock()
        if self._store is None:
            return
        shift = self._store.clock() - now
        sessions = [
            KeptSession(key, one.name, one.role.value, one.begun + shift, (now if one.streams else one.used) + shift)
            for key, one in self._sessions.items()
            if session_ends(one.begun, one.used) > now
        ]
        self._store.save({one.name: one.proof for one in self._sessions.values()}, sessions)

    @property
    def known(self) -> Known:
        """The accounts in force."""
        return self._known

    # --- one request --------------------------------------------------------------------------------------------------

    def open_to(self, address: str) -> Visitor | None:
        """The visitor of a listener that knows nobody: who asks from this machine may look. Whom a proxy speaks for
        asks from elsewhere."""
        return Visitor("", Role.VIEWER, "open", address) if self._open and is_local(address) else None

    def by_token(self, token: str, address: str) -> Visitor | None:
        """Whose token it is. No limit of tries: it cannot be guessed."""
        account = self._known.tokens.get(passwords.digest(token)) if len(token) <= _LONGEST else None
        return Visitor(account.name, account.role, "token", address) if account else None

    async def by_basic(self, encoded: str, address: str) -> Visitor | None:
        """Whose credentials these are (RFC 7617). Raises Wait."""
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return None
        if not colon:
            return None
        key = hmac.digest(self._key, f"{name}:{password}".encode(), "sha256")
        now = self._clock()
        until, account = self._remembered.get(key, (0.0, None))
        if account is None or until < now:
            self._remembered.pop(key, None)
            account = await self._check(name, password, address)
            if account is None:
                return None
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[key] = (now + REMEMBER_SECONDS, account)
        return Visitor(account.name, account.role, "basic", address)

    def by_session(self, cookie: str, address: str) -> tuple[Visitor, Session] | None:
        """Whose session it is; being asked counts as using it."""
        key = passwords.digest(cookie)
        session = self._sessions.get(key) if 0 < len(cookie) <= 100 else None
        if session is None:
            return None
        now = self._clock()
        if session_ends(session.begun, now if session.streams else session.used) <= now:
            self._end(key)
            return None
        session.used = now
        session.csrf = session.csrf or csrf_of(cookie)
        if now - self._saved >= SAVE_SECONDS:
            self.save()
        return Visitor(session.name, session.role, "session", address), session

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def login(self, name: str, password: str, address: str) -> tuple[Visitor, str] | None:
        """Begin a session: the visitor, and the id for the cookie; None when the password is wrong. Raises Wait."""
        account = await self._check(name, password, address)
        if account is None:
            return None
        now = self._clock()
        if len(self._sessions) >= MAX_SESSIONS:
            self._end(min(self._sessions, key=lambda key: self._sessions[key].used))
        cookie = secrets.token_urlsafe(32)
        proof = self._known.users[account.name][1]
        self._sessions[passwords.digest(cookie)] = Session(account.name, account.role, proof, now, now)
        self.save()
        return Visitor(account.name, account.role, "session", address), cookie

    def logout(self, cookie: str) -> None:
        """End a session, and the answers that it still gets."""
        self._end(passwords.digest(cookie))
        self.save()

    def end_with(self, session: Session, limit: asyncio.Timeout) -> None:
        """Let an answer end with its session: one that streams would go on for ever. While it lasts, the session is
        used."""
        left = session_ends(session.begun, session.begun + SESSION_SECONDS) - self._clock()
        limit.reschedule(asyncio.get_running_loop().time() + max(0.0, left))
        session.streams.add(limit)
        self._streaming[limit] = session

    def ended(self, limit: asyncio.Timeout) -> None:
        """An answer has ended, by itself or not."""
        if session := self._streaming.pop(limit, None):
            session.streams.discard(limit)
            session.used = self._clock()

    def _end(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        for limit in list(session.streams) if session else ():
            limit.reschedule(asyncio.get_running_loop().time())

    # --- passwords ----------------------------------------------------------------------------------------------------

    async def _check(self, name: str, password: str, address: str) -> Account | None:
        """The account of this name, if the password is right. Raises Wait."""
        wait = self._failures.wait(address, name, self._clock())
        if wait > 0:
            raise Wait(wait)
        if self._waiting >= MAX_WAITING:
            raise Wait(1.0)
        self._waiting += 1
        try:
            async with self._checks:
                wait = self._failures.wait(address, name, self._clock())  # others may have failed meanwhile
                if wait > 0:
                    raise Wait(wait)
                known = self._known
                found = known.users.get(name)
                hashed = found[1] if found else self._decoy(name)
                right = len(password) <= _LONGEST and await asyncio.to_thread(
                    passwords.password_matches, password, hashed
                )
        finally:
            self._waiting -= 1
        if not (right and found) or known is not self._known:
            self._failures = self._failures.failed(address, name, self._clock())
            return None
        self._failures = self._failures.succeeded(address, name, self._clock())
        return found[0]

    def _decoy(self, name: str) -> str:
        """A hash that no password matches, which costs as much as one of the known."""
        if not self._decoys:
            costs = sorted({passwords.cost_of(hashed) for _, hashed in self._known.users.values()}) or [passwords.COST]
            self._decoys = [f"scrypt:{n}:{r}:{p}${secrets.token_hex(8)}${secrets.token_hex(64)}" for n, r, p in costs]
        chosen = hmac.digest(self._key, name.encode("utf-8", "surrogateescape"), "sha256")[0]
        return self._decoys[chosen % len(self._decoys)]
