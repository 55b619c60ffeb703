"""Who may do what, where a request may come from, and how often one may try: as tables, and over sequences of tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.control.operations import OPERATIONS
from queuepool.domain import throttle
from queuepool.domain.access import ONLY_READS, HttpSpec, Role, Secret, Visitor, is_public, needed
from queuepool.domain.origins import client_address, host_is_known, is_local, is_proxy, local_path, may_post
from queuepool.domain.throttle import Allowance, Failures, Ration, network, session_ends

CHANGES = {
    "start", "stop", "restart", "signal", "pause", "continue", "scale", "update", "shutdown", "upgrade", "reopen",
    "deploy", "abortdeploy", "notify",
}  # fmt: skip


def test_every_operation_either_only_reads_or_needs_an_operator() -> None:
    """A new operation has to be put into one of the two sets: this one, or ONLY_READS."""
    assert {name for name in OPERATIONS if needed("POST", f"/api/v1/{name}") is Role.OPERATOR} == CHANGES
    assert {name for name in OPERATIONS if needed("POST", f"/api/v1/{name}") is Role.VIEWER} == ONLY_READS


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1/queues/", "/api/v1/Queues", "//api/v1/queues", "/api/v1/queues/../scale", "/doctor", "/RPC2/x", ""],
)
def test_a_post_that_is_not_known_to_read_needs_an_operator(path: str) -> None:
    assert needed("POST", path) is Role.OPERATOR
    assert needed("DELETE", path) is Role.OPERATOR


def test_looking_needs_a_viewer_and_an_operator_may_look_too() -> None:
    assert needed("GET", "/api/v1/status") is Role.VIEWER
    viewer, operator = Visitor("bob", Role.VIEWER, "token"), Visitor("ann", Role.OPERATOR, "session", "10.0.0.1")
    assert (viewer.may(Role.VIEWER), viewer.may(Role.OPERATOR)) == (True, False)
    assert (operator.may(Role.VIEWER), operator.may(Role.OPERATOR)) == (True, True)
    assert operator.facts == {"who": "ann", "from": "10.0.0.1", "by": "session"}


@pytest.mark.parametrize(
    ("method", "path", "public"),
    [
        ("GET", "/login", True),
        ("POST", "/login", True),
        ("GET", "/assets/page.js", True),
        ("HEAD", "/healthz", True),
        ("GET", "/api/v1/openapi.json", True),
        ("POST", "/assets/page.js", False),
        ("GET", "/assets", False),
        ("GET", "/assets/../api/v1/status", False),
        ("POST", "/healthz", False),
        ("GET", "/login/", False),
        ("GET", "/login/../api/v1/status", False),
        ("GET", "//assets/x", False),
        ("GET", "/", False),
        ("GET", "/api/v1/status", False),
        ("GET", "/logtail/x", False),
    ],
)
def test_only_what_tells_nothing_is_public(method: str, path: str, public: bool) -> None:
    assert is_public(method, path) is public


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(Secret("plain", "hunter2"))


def test_the_address_is_taken_apart() -> None:
    assert HttpSpec("[::1]:9001").address == ("::1", 9001)
    assert HttpSpec("0.0.0.0:80").address == ("0.0.0.0", 80)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        (None, True),
        ("127.0.0.1:9001", True),
        ("[::1]:9001", True),
        ("192.168.1.7", True),
        ("localhost:9001", True),
        ("box:9001", True),
        ("BOX", True),
        ("queue.example.org", True),
        ("QUEUE.example.org.:443", True),
        ("a.b.internal", True),
        ("internal", False),
        ("evil.example", False),
        ("queue.example.org.evil.example", False),
        ("xqueue.example.org", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:80@127.0.0.1", False),
        ("127.0.0.1 evil", False),
        ("", False),
        ("[::1", False),
        ("2130706433", False),
    ],
)
def test_a_name_that_the_listener_is_not_called_by_is_none_of_its_hosts(host: str | None, known: bool) -> None:
    assert host_is_known(host, ("queue.example.org", "*.internal"), "box") is known


def test_all_hosts_may_be_allowed() -> None:
    assert host_is_known("evil.example", ("*",), "box")


@pytest.mark.parametrize(
    ("host", "origin", "site", "allowed"),
    [
        ("localhost:9001", None, None, True),
        (None, None, None, True),
        ("localhost:9001", "http://localhost:9001", None, True),
        ("queue.example.org", "https://queue.example.org", "same-origin", True),
        ("queue.example.org:443", "https://queue.example.org", None, True),
        ("Queue.example.org", "https://queue.example.org:443", None, True),
        ("localhost:9001", "null", "same-origin", True),
        ("localhost:9001", None, "none", True),
        ("localhost:9001", "null", None, False),
        ("localhost:9001", "http://localhost:9002", None, False),
        ("localhost:9001", "http://evil.example", None, False),
        ("localhost:9001", None, "cross-site", False),
        ("localhost:9001", None, "same-site", False),
        ("localhost:9001", "http://localhost:9001", "cross-site", False),
        ("localhost:9001", "file://localhost:9001", None, False),
        ("localhost:9001", "http://localhost:9001.evil.example", None, False),
        ("localhost:9001", "localhost:9001", None, False),
        ("localhost:9001", "", None, False),
        (None, "http://localhost:9001", None, False),
    ],
)
def test_only_our_own_pages_and_no_page_at_all_may_post(
    host: str | None, origin: str | None, site: str | None, allowed: bool
) -> None:
    assert may_post(host, origin, site) is allowed


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "9.9.9.9, 1.2.3.4, 10.0.0.5", "1.2.3.4"),
        ("10.0.0.5", "1.2.3.4", "1.2.3.4"),
        ("8.8.8.8", "127.0.0.1", "8.8.8.8"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1, nonsense, 10.0.0.5", "10.0.0.5"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_only_what_trusted_proxies_say_is_believed(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, forwarded, ["10.0.0.0/8"]) == client


def test_only_this_machine_is_local() -> None:
    assert is_local("127.0.0.1")
    assert is_local("::1")
    assert is_local("::ffff:127.0.0.1")
    assert not is_local("10.0.0.1")
    assert not is_local("testclient")
    assert not is_proxy("", ())


@pytest.mark.parametrize("text", ["/", "/queues?a=b#c", "/a//b"])
def test_a_login_may_lead_to_a_path_of_its_own(text: str) -> None:
    assert local_path(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "queues", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/\n/x", "/é",
     "javascript:alert(1)", "\\\\evil", "/" * 2001],
)  # fmt: skip
def test_a_login_leads_to_no_other_site(text: str) -> None:
    assert local_path(text) == "/"


# --- how often --------------------------------------------------------------------------------------------------------


def failed_often(times: int, *, address: str = "1.1.1.1", name: str = "ann", at: float = 0.0) -> Failures:
    failures = Failures()
    for _ in range(times):
        failures = failures.failed(address, name, at)
    return failures


def test_whoever_guesses_at_a_name_does_not_shut_its_owner_out() -> None:
    failures, now = Failures().succeeded("9.9.9.9", "ann", 0.0), 0.0
    for number in range(10 * throttle.BY_NAME.burst):
        failures = failures.failed(f"10.0.{number // 250}.{number % 250}", "ann", now)
    assert failures.wait("9.9.9.9", "ann", now) == 0
    assert failures.wait("8.8.8.8", "ann", now) > 0
    assert failures.wait("9.9.9.9", "bob", now) == 0
    for _ in range(throttle.BY_ADDRESS.burst):
        failures = failures.failed("9.9.9.9", "ann", now)
    assert failures.wait("9.9.9.9", "ann", now) > 0, "there one may guess no more than elsewhere"
    for number in range(2 * throttle.MOST_KEYS):
        failures = failures.succeeded(f"10.{number >> 8}.{number & 255}.1", "ann", 1.0 + number)
    assert len(failures.homes) == throttle.MOST_KEYS


def test_an_address_that_fails_too_often_has_to_wait_and_others_do_not() -> None:
    burst, every = throttle.BY_ADDRESS.burst, throttle.BY_ADDRESS.every
    assert failed_often(burst - 1).wait("1.1.1.1", "ann", 0.0) == 0
    failures = failed_often(burst)
    assert failures.wait("1.1.1.1", "ann", 0.0) == failures.wait("1.1.1.1", "bob", 0.0) == every
    assert failures.wait("1.1.1.1", "ann", every) == 0
    assert failures.wait("2.2.2.2", "ann", 0.0) == 0


def test_a_name_that_is_tried_from_many_addresses_has_to_wait() -> None:
    failures = Failures()
    for number in range(throttle.BY_NAME.burst):
        failures = failures.failed(f"10.0.{number // 250}.{number % 250}", "ann", 0.0)
    assert 0 < failures.wait("9.9.9.9", "ann", 0.0) <= throttle.BY_NAME.every
    assert failures.wait("9.9.9.9", "bob", 0.0) == 0


def test_a_login_forgives_its_address() -> None:
    failures = failed_often(throttle.BY_ADDRESS.burst).succeeded("1.1.1.1", "ann", 0.0)
    assert failures.wait("1.1.1.1", "bob", 0.0) == 0


def test_the_addresses_of_one_ipv6_network_count_together() -> None:
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2::9") != network("2001:db8:1:3::9")
    assert network("::1") == "::1"
    assert network("10.0.0.1") != network("10.0.0.2")


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.floats(0, 50)), max_size=200))
def test_the_wait_is_bounded_whoever_fails_when(tries: list[tuple[int, int, float]]) -> None:
    failures, now = Failures(), 0.0
    for address, name, later in tries:
        now += later
        failures = failures.failed(f"a{address}", f"n{name}", now)
        assert failures.wait(f"a{address}", f"n{name}", now) <= max(throttle.BY_ADDRESS.every, throttle.BY_NAME.every)


def test_what_is_remembered_of_strangers_is_bounded_and_the_worst_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_KEYS", 20)
    failures = failed_often(throttle.BY_ADDRESS.burst)
    for number in range(100):
        failures = failures.failed(f"10.0.0.{number}", f"n{number}", 0.0)
    assert len(failures.addresses) <= 20
    assert len(failures.names) <= 20
    assert failures.wait("1.1.1.1", "x", 0.0) > 0


def test_of_many_refusals_some_are_written_and_the_rest_is_counted() -> None:
    ration, written = Ration(), 0
    for _ in range(50):
        ration, take = ration.take(100.0, Allowance(3, 10.0))
        written += take
    assert (written, ration.dropped) == (3, 47)
    after, take = ration.take(110.0, Allowance(3, 10.0))
    assert take
    assert after.dropped == 0


@given(begun=st.floats(0, 1e6), after=st.floats(0, 2e5))
def test_a_session_ends_when_unused_and_at_a_certain_age(begun: float, after: float) -> None:
    ends = session_ends(begun, begun + after)
    assert ends <= begun + throttle.SESSION_SECONDS
    assert ends <= begun + after + throttle.SESSION_IDLE_SECONDS
