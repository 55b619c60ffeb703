"""Passwords, tokens and sessions: what lets somebody in, what ends a session, and what guessing costs."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from queuepool.control import access, passwords
from queuepool.control.access import Access, Unusable, Wait, know
from queuepool.control.sessions import NAME, SessionStore
from queuepool.domain import throttle
from queuepool.domain.access import Account, HttpSpec, Role, Secret
from tests.support.turns import turns

TOKEN = "t" * 40
SPEC = HttpSpec(
    "127.0.0.1:1",
    users=(Account("ann", Role.OPERATOR, Secret("plain", "right")), Account("bob", Role.VIEWER, Secret("plain", "b"))),
    tokens=(Account("ci", Role.OPERATOR, Secret("plain", TOKEN)),),
)


ANOTHER_ANN = pytest.mark.parametrize(
    "user",
    [
        Account("ann", Role.VIEWER, Secret("plain", "right")),
        Account("ann", Role.OPERATOR, Secret("plain", "other")),
        Account("eve", Role.OPERATOR, Secret("plain", "right")),
    ],
    ids=["another role", "another password", "gone"],
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", (2, 1, 1))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Access:
    made = Access(clock)
    made.use(SPEC, know(SPEC, made.known))
    return made


def basic(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_hash_tells_the_right_password_from_others() -> None:
    hashed = passwords.hash_password("pässword:$x")
    assert passwords.password_matches("pässword:$x", hashed)
    assert not passwords.password_matches("pässword:$", hashed)
    assert passwords.hash_password("pässword:$x") != hashed


def test_a_hash_of_werkzeug_is_taken() -> None:
    """Made by werkzeug.security.generate_password_hash("secret", "scrypt:1024:8:1")."""
    hashed = (
        "scrypt:1024:8:1$1nlToT2Lj6nPRBUr$"
        "b3ea2251cd00a40e0852975eacb0d554f372a878c435a8b081a92f36a195f07b"
        "da7e925d5c4fa89915c2e3ad49b5a9de4c3ba3939fb42b7b1aaedec47a1fbbf0"
    )
    assert passwords.password_matches("secret", hashed)


@pytest.mark.parametrize(
    "hashed",
    ["", "x", "scrypt:3:1:1$s$" + "0" * 128, "scrypt:2:0:1$s$" + "0" * 128, "scrypt:4194304:99:99$s$" + "0" * 128,
     "scrypt:2:1:1$s$00", "pbkdf2:sha256:1$s$" + "0" * 128],
)  # fmt: skip
def test_what_is_no_hash_or_costs_too_much_is_refused(hashed: str) -> None:
    with pytest.raises(ValueError, match=r"is no hash|has a cost"):
        passwords.check_hash(hashed)


def test_credentials_let_in_who_has_them(door: Access) -> None:
    async def visit() -> None:
        ann = await door.by_basic(basic("ann", "right"), "1.1.1.1")
        assert ann is not None
        assert (ann.name, ann.role, ann.by, ann.address) == ("ann", Role.OPERATOR, "basic", "1.1.1.1")
        bob = await door.by_basic(basic("bob", "b"), "")
        assert bob is not None
        assert bob.role is Role.VIEWER
        for wrong in (
            basic("ann", "wrong"),
            basic("ann", ""),
            basic("nobody", "right"),
            "",
            "x",
            "////",
            "bm9jb2xvbg==",
        ):
            assert await door.by_basic(wrong, "") is None
        assert door.by_token(TOKEN, "") is not None
        assert door.by_token(TOKEN[:-1], "") is None
        assert door.by_token("", "") is None

    asyncio.run(visit())


def test_basic_credentials_are_compared_once_in_a_while_and_a_change_is_seen_at_once(
    door: Access, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    real = passwords.password_matches
    monkeypatch.setattr(passwords, "password_matches", lambda text, hash_: compared.append(text) or real(text, hash_))

    async def visit() -> None:
        for _ in range(5):
            assert await door.by_basic(basic("ann", "right"), "") is not None
        assert compared == ["right"]
        clock.now += access.REMEMBER_SECONDS + 1
        assert await door.by_basic(basic("ann", "right"), "") is not None
        assert compared == ["right", "right"]
        other = replace(SPEC, users=(Account("ann", Role.OPERATOR, Secret("plain", "new")),))
        door.use(other, know(other, door.known))
        assert await door.by_basic(basic("ann", "right"), "") is None

    asyncio.run(visit())


def test_a_name_that_nobody_has_is_compared_with_a_hash_as_dear(door: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[tuple[int, int, int]] = []
    real = passwords.password_matches

    def spy(text: str, hashed: str) -> bool:
        costs.append(passwords.cost_of(hashed))
        return real(text, hashed)

    monkeypatch.setattr(passwords, "password_matches", spy)

    async def visit() -> None:
        await door.by_basic(basic("ann", "wrong"), "1")
        await door.by_basic(basic("nobody", "wrong"), "2")

    asyncio.run(visit())
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_guessing_is_slowed_down_and_those_who_are_in_stay_in(door: Access, clock: Clock) -> None:
    async def visit() -> None:
        assert await door.by_basic(basic("ann", "right"), "9.9.9.9") is not None
        for _ in range(throttle.BY_ADDRESS.burst):
            assert await door.login("ann", "guess", "9.9.9.9") is None
        with pytest.raises(Wait):
            await door.login("ann", "right", "9.9.9.9")
        with pytest.raises(Wait):
            await door.by_basic(basic("bob", "b"), "9.9.9.9")
        assert await door.by_basic(basic("ann", "right"), "9.9.9.9") is not None, "it was right before"
        assert door.by_token(TOKEN, "9.9.9.9") is not None
        assert await door.login("ann", "right", "8.8.8.8") is not None
        clock.now += throttle.BY_ADDRESS.every
        assert await door.login("ann", "right", "9.9.9.9") is not None

    asyncio.run(visit())


def test_guesses_at_the_same_time_do_not_slip_through(door: Access) -> None:
    async def guess() -> str:
        try:
            return str(await door.login("ann", "guess", "9.9.9.9"))
        except Wait:
            return "wait"

    async def visit() -> list[str]:
        return await asyncio.gather(*(guess() for _ in range(30)))

    answers = asyncio.run(visit())
    assert answers.count("None") < throttle.BY_ADDRESS.burst + access.MAX_CHECKS
    assert answers.count("wait") > 10


def test_more_checks_than_can_wait_are_told_to_try_again(door: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_WAITING", 3)

    async def visit() -> int:
        tries = (door.login("ann", "right", f"10.0.0.{number}") for number in range(10))
        return sum(isinstance(found, Wait) for found in await asyncio.gather(*tries, return_exceptions=True))

    assert asyncio.run(visit()) == 7


def test_a_session_lets_in_until_it_is_over(door: Access, clock: Clock) -> None:
    async def visit() -> None:
        found = await door.login("ann", "right", "1.1.1.1")
        assert found is not None
        cookie = found[1]
        seen = door.by_session(cookie, "2.2.2.2")
        assert seen is not None
        assert (seen[0].name, seen[0].by, seen[0].address) == ("ann", "session", "2.2.2.2")
        clock.now += throttle.SESSION_IDLE_SECONDS - 1
        assert door.by_session(cookie, "") is not None
        clock.now += throttle.SESSION_IDLE_SECONDS
        assert door.by_session(cookie, "") is None
        for wrong in ("", "x", cookie.lower(), cookie + "x", "x" * 5000):
            assert door.by_session(wrong, "") is None

    asyncio.run(visit())


def test_a_session_that_is_used_all_the_time_ends_at_its_age(door: Access, clock: Clock) -> None:
    async def visit() -> None:
        found = await door.login("ann", "right", "")
        assert found is not None
        begun = clock.now
        while door.by_session(found[1], "") is not None:
            clock.now += 3600
        assert clock.now - begun == pytest.approx(throttle.SESSION_SECONDS, abs=3600)

    asyncio.run(visit())


@ANOTHER_ANN
def test_a_change_of_an_account_ends_its_sessions_and_their_streams(door: Access, user: Account) -> None:
    async def visit() -> None:
        ann, bob = await door.login("ann", "right", ""), await door.login("bob", "b", "")
        assert ann is not None
        assert bob is not None
        session = door.by_session(ann[1], "")
        assert session is not None
        async with asyncio.timeout(20):
            try:
                async with asyncio.timeout(None) as limit:
                    door.end_with(session[1], limit)
                    spec = replace(SPEC, users=(user, SPEC.users[1]))
                    door.use(spec, know(spec, door.known))
                    await asyncio.Event().wait()
            except TimeoutError:
                assert limit.expired()
        door.ended(limit)
        assert door.by_session(ann[1], "") is None
        assert door.by_session(bob[1], "") is not None, "nothing of it changed"

    asyncio.run(visit())


def test_a_logout_ends_the_session_and_what_it_follows(door: Access) -> None:
    async def visit() -> None:
        found = await door.login("ann", "right", "")
        assert found is not None
        session = door.by_session(found[1], "")
        assert session is not None
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(None) as limit:
                door.end_with(session[1], limit)
                door.logout(found[1])
                await turns(100)
        assert door.by_session(found[1], "") is None

    asyncio.run(visit())


def test_sessions_are_bounded_and_the_longest_unused_goes(
    door: Access, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_SESSIONS", 3)

    async def visit() -> None:
        cookies = []
        for _ in range(5):
            clock.now += 1
            found = await door.login("ann", "right", "")
            assert found is not None
            cookies.append(found[1])
        assert [door.by_session(cookie, "") is not None for cookie in cookies] == [False, False, True, True, True]

    asyncio.run(visit())


def test_a_session_that_follows_something_is_used_all_the_while(door: Access, clock: Clock) -> None:
    async def visit() -> None:
        found = await door.login("ann", "right", "")
        assert found is not None
        session = door.by_session(found[1], "")
        assert session is not None
        async with asyncio.timeout(None) as limit:
            door.end_with(session[1], limit)
            await asyncio.sleep(0)
            clock.now += throttle.SESSION_IDLE_SECONDS + 1
            assert door.by_session(found[1], "") is not None, "the page is open: a click on it is no new login"
            door.ended(limit)

    asyncio.run(visit())


class Life:
    """One daemon after another, at the same state directory. now: of the wall's clock; the monotonic one of each daemon
    begins anew, as it does after a boot."""

    def __init__(self, state: Path) -> None:
        self.state, self.now, self.said = state, 5e8, list[str]()

    def begin(self, spec: HttpSpec = SPEC) -> Access:
        store = SessionStore(str(self.state), self.said.append, clock=lambda: self.now)
        began = self.now
        door = Access(lambda: 7.0 + self.now - began, store)
        door.take_up(store.load())
        door.use(spec, know(spec, door.known))
        return door

    @property
    def file(self) -> Path:
        return self.state / NAME


def test_sessions_outlive_the_daemon(tmp_path: Path) -> None:
    life = Life(tmp_path)

    async def visit() -> None:
        first = life.begin()
        assert not life.file.exists()
        ann, bob = await first.login("ann", "right", ""), await first.login("bob", "b", "")
        assert ann is not None
        assert bob is not None
        before = first.by_session(ann[1], "")
        assert before is not None
        life.now += 3600
        second = life.begin()  # the first one was killed
        found = second.by_session(ann[1], "9.9.9.9")
        assert found is not None
        assert (found[0].name, found[0].role, found[0].address) == ("ann", Role.OPERATOR, "9.9.9.9")
        assert found[1].csrf == before[1].csrf, "a page that is open goes on acting"
        second.logout(bob[1])
        life.now += throttle.SESSION_IDLE_SECONDS - 10
        third = life.begin()
        assert third.by_session(bob[1], "") is None, "a logout holds"
        assert third.by_session(ann[1], "") is not None
        third.save()
        life.now += throttle.SESSION_IDLE_SECONDS + 1
        assert life.begin().by_session(ann[1], "") is None, "it was not used for too long"

    asyncio.run(visit())
    assert life.said == []


@ANOTHER_ANN
def test_a_change_of_an_account_while_no_daemon_ran_ends_its_sessions(tmp_path: Path, user: Account) -> None:
    life = Life(tmp_path)

    async def visit() -> None:
        first = life.begin()
        ann, bob = await first.login("ann", "right", ""), await first.login("bob", "b", "")
        assert ann is not None
        assert bob is not None
        for _ in range(2):  # and they do not come back with the next daemon
            second = life.begin(replace(SPEC, users=(user, SPEC.users[1])))
            assert second.by_session(ann[1], "") is None
            assert second.by_session(bob[1], "") is not None
        assert life.begin().by_session(ann[1], "") is None

    asyncio.run(visit())


def test_the_file_of_sessions_is_for_its_owner_and_lets_nobody_in(tmp_path: Path) -> None:
    life = Life(tmp_path)

    async def visit() -> tuple[str, str]:
        door = life.begin()
        found = await door.login("ann", "right", "")
        assert found is not None
        session = door.by_session(found[1], "")
        assert session is not None
        return found[1], session[1].csrf

    cookie, csrf = asyncio.run(visit())
    assert stat.S_IMODE(life.file.stat().st_mode) == 0o600
    text = life.file.read_text()
    for secret in ("right", cookie, csrf, TOKEN):
        assert secret not in text
    kept = json.loads(text)
    door = life.begin()
    for stolen in (kept["sessions"][0]["key"], kept["proofs"]["ann"]):
        assert door.by_session(stolen, "") is None
        assert asyncio.run(door.login("ann", stolen, "")) is None
    kept["proofs"]["ann"] = "rubbish"
    life.file.write_text(json.dumps(kept))
    assert life.begin().by_session(cookie, "") is None
    assert life.said == []
    for rubbish in ("", "[]", '{"proofs": {}}', '{"proofs": 1, "sessions": []}', '{"proofs": {}, "sessions": [{}]}'):
        life.file.write_text(rubbish)
        life.begin()
        assert "has to log in again" in life.said.pop()


def test_a_disk_that_takes_no_sessions_is_said_once_and_keeps_nobody_out(tmp_path: Path) -> None:
    life = Life(tmp_path / "none")

    async def visit() -> None:
        door = life.begin()
        for _ in range(2):
            found = await door.login("ann", "right", "")
            assert found is not None
            assert door.by_session(found[1], "") is not None

    asyncio.run(visit())
    [said] = life.said
    assert "will have to log in again" in said


def test_nothing_secret_is_kept_or_shown(door: Access) -> None:
    async def visit() -> None:
        found = await door.login("ann", "right", "")
        assert found is not None
        session = door.by_session(found[1], "")
        assert session is not None
        await door.by_basic(basic("bob", "b"), "")
        kept = repr(vars(door)) + repr(session[1])
        for secret in ("right", TOKEN, found[1], session[1].csrf):
            assert secret not in kept

    asyncio.run(visit())


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("right\n")
    (tmp_path / "hash").write_text(passwords.hash_password("hashed") + "\n")
    (tmp_path / "token").write_text(passwords.hash_token(TOKEN) + "\n")

    def at(name: str) -> Secret:
        return Secret("file", str(tmp_path / name))

    spec = HttpSpec(
        "127.0.0.1:1",
        users=(Account("ann", Role.OPERATOR, at("plain")), Account("bob", Role.VIEWER, at("hash"))),
        tokens=(Account("ci", Role.VIEWER, at("token")),),
    )

    async def visit() -> None:
        door = Access()
        door.use(spec, know(spec, door.known))
        assert await door.by_basic(basic("ann", "right"), "") is not None
        assert await door.by_basic(basic("bob", "hashed"), "") is not None
        assert door.by_token(TOKEN, "") is not None

    asyncio.run(visit())


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), ("", "is empty"), ("\n", "is empty"), ("scrypt:1$x", "is no hash")]
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "p").write_text(content)
    spec = HttpSpec("127.0.0.1:1", users=(Account("ann", Role.VIEWER, Secret("file", str(tmp_path / "p"))),))
    with pytest.raises(Unusable, match=says):
        know(spec, access.Known())


def test_the_same_password_keeps_its_hash_when_the_file_is_read_again(door: Access) -> None:
    assert know(SPEC, door.known).users["ann"][1] == door.known.users["ann"][1]


def test_config_password_prints_a_hash_of_the_line_it_reads() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "queuepool", "config", "password"], input="hunter2\n", capture_output=True, text=True
    )
    assert done.returncode == 0
    assert passwords.password_matches("hunter2", done.stdout.strip())
    assert passwords.cost_of(done.stdout.strip()) == (1 << 15, 8, 1)


def test_config_token_prints_what_to_send_and_what_to_write() -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "queuepool", "config", "token", "ci", "--json", "--role", "operator"],
        capture_output=True, text=True,
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert passwords.hash_token(made["token"]) == made["token_hash"]
    assert (made["name"], made["role"]) == ("ci", "operator")
    assert len(made["token"]) > 40
