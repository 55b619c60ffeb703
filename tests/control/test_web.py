"""The TCP listener against those who should not come in, or should not do that: nothing is done, and the unix socket
answers meanwhile. What lets somebody in is test_access.py's matter."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.control import api, server, tcp, web
from queuepool.control.messages import Scale
from queuepool.control.remote import RemoteClient
from queuepool.domain import throttle
from queuepool.domain.access import Account, Role, Secret
from queuepool.errors import DaemonUnreachable, QueuepoolError, UsageError
from tests.support.ports import free_port
from tests.support.wait import eventually

from .listening import OPERATOR, TOKEN, USERS, VIEWER, Served, listening, spec

SCALE = b'{"name": "w", "count": 4}'
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with listening() as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_happens_unasked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test of the shared listener did to it: no defect, and the unix socket answers."""
    if "served" not in request.fixturenames:
        yield
        return
    served: Served = request.getfixturevalue("served")
    served.fake.asked.clear()
    served.fake.face.acted.clear()
    yield
    assert served.unix.status()["daemon"]["pid"] == 41
    assert not served.fake.defects


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [OPERATOR, basic("ann", "right")], ids=["token", "basic"])
def test_an_operator_may_look_and_act(served: Served, who: dict[str, str]) -> None:
    assert served.request("GET", "/api/v1/status", **who).json["daemon"]["pid"] == 41
    assert served.request("POST", "/api/v1/scale", SCALE, **who).json == {"reply": {}}
    assert served.fake.asked == [Scale("w", 4)]


@pytest.mark.parametrize("who", [VIEWER, basic("bob", "looks")], ids=["token", "basic"])
def test_a_viewer_may_look_and_ask_what_changes_nothing_and_not_act(served: Served, who: dict[str, str]) -> None:
    assert served.request("GET", "/api/v1/status", **who).status == 200
    assert served.request("POST", "/api/v1/reread", b"{}", **who).status == 200
    served.fake.asked.clear()
    for operation in ("scale", "start", "shutdown", "deploy", "upgrade", "reopen", "nonsense"):
        refused = served.request("POST", f"/api/v1/{operation}", SCALE, **who)
        assert (refused.status, "may only look" in refused.message) == (403, True)
    assert served.request("POST", "/act", b"", **who).status == 403
    assert (served.fake.asked, served.fake.face.acted) == ([], [])
    assert served.facts[-1][0] == "refused"
    assert served.facts[-1][1]["from"] == "127.0.0.1"


@pytest.mark.parametrize(
    "who",
    [{}, basic("ann", "wrong"), basic("nobody", "right"), {"Authorization": "Bearer x"}, {"Authorization": "Basic x"},
     {"Authorization": f"bearer{TOKEN}"}, {"Authorization": TOKEN}, {"Cookie": "queuepool_1=x"}],
    ids=str,
)  # fmt: skip
def test_a_stranger_learns_nothing_and_changes_nothing(
    served: Served, who: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "BY_ADDRESS", throttle.Allowance(10_000, 1.0))
    reads = ("/api/v1/status", "/api/v1/events", "/whoami", "/live", "/nothing")
    for method, path in [("GET", path) for path in reads] + [
        ("POST", path) for path in ("/api/v1/scale", "/act", "/logout")
    ]:
        refused = served.request(method, path, SCALE if method == "POST" else None, **who)
        assert refused.status == 401, path
        assert "41" not in refused.body.decode()
        assert refused.headers["www-authenticate"].startswith('Basic realm="queuepool"')
    assert (served.fake.asked, served.fake.face.acted) == ([], [])


def test_a_browser_is_led_to_the_login_and_back_and_a_script_is_not_asked_for_a_password(served: Served) -> None:
    led = served.request("GET", "/whoami?a=b&c=%2F", Accept="text/html,*/*")
    assert (led.status, led.headers["location"]) == (303, "/login?next=/whoami%3Fa%3Db%26c%3D%252F")
    by_script = served.request("GET", "/api/v1/status", Sec_Fetch_Mode="cors", Accept="*/*")
    assert (by_script.status, by_script.headers["www-authenticate"]) == (401, 'Bearer realm="queuepool"')


def test_the_public_paths_answer_without_a_visitor(served: Served) -> None:
    assert served.request("GET", "/healthz").body == b"ok\n"
    assert b'name="password"' in served.request("GET", "/login").body
    assert served.request("GET", "/api/v1/openapi.json").json["openapi"] == "3.1.0"
    assert served.request("GET", "/assets/x.js").json["csrf"] == ""


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_acts_with_its_csrf_token_and_not_without(served: Served) -> None:
    cookie, csrf = served.log_in()
    other = served.log_in()[1]
    for wrong in ({}, {"X_CSRF_Token": ""}, {"X_CSRF_Token": other}, {"X_CSRF_Token": csrf[:-1]}):
        refused = served.request("POST", "/api/v1/scale", SCALE, Cookie=cookie, **wrong)
        assert (refused.status, "CSRF" in refused.message) == (403, True)
    assert served.fake.asked == []
    assert served.request("POST", "/api/v1/scale", SCALE, Cookie=cookie, X_CSRF_Token=csrf).status == 200
    assert served.fake.asked == [Scale("w", 4)]


def test_a_form_may_hold_the_csrf_token_and_reaches_its_handler_whole(served: Served) -> None:
    cookie, csrf = served.log_in()
    body = f"csrf_token={csrf}&x={'y' * 5000}".encode()
    assert served.request("POST", "/act", body, Cookie=cookie, Content_Type=FORM).status == 200
    assert served.fake.face.acted == [body.decode()]
    assert served.request("POST", "/act", b"csrf_token=x", Cookie=cookie, Content_Type=FORM).status == 403
    assert len(served.fake.face.acted) == 1


def test_a_session_ends_with_the_logout_and_so_does_what_it_follows(served: Served) -> None:
    cookie, csrf = served.log_in()
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(f"GET /live HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
        received = b""
        while b"begin" not in received:
            received += connection.recv(4096)
        out = served.request("POST", "/logout", b"", Cookie=cookie, X_CSRF_Token=csrf)
        assert (out.status, out.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in out.headers["set-cookie"]
        while piece := connection.recv(4096):
            received += piece
    assert served.request("GET", "/whoami", Cookie=cookie).status == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Served) -> None:
    body = b"username=ann&password=right&next=/whoami"
    answer = served.request("POST", "/login", body)
    assert answer.headers["location"] == "/whoami"
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert attributes == {"httponly", "path=/", "samesite=strict"}
    by_proxy = served.request("POST", "/login", body, X_Forwarded_Proto="https")
    assert "secure" in by_proxy.headers["set-cookie"].lower()


@pytest.mark.parametrize("there", ["//evil.example", "https://evil.example", "/%5Cevil.example", "/%0d%0aX: y", "x"])
def test_a_login_leads_to_no_other_site(served: Served, there: str) -> None:
    answer = served.request("POST", "/login", b"username=ann&password=right&next=" + there.encode())
    assert answer.headers["location"] == "/"


def test_a_wrong_login_says_so_and_not_which_of_the_two_was_wrong(served: Served) -> None:
    served.log_in()  # forgives what other tests failed
    answers = [
        served.request("POST", "/login", body)
        for body in (b"username=ann&password=x", b"username=zoe&password=right", b"", b"username=ann", b"\xff=\xfe&")
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert all("set-cookie" not in answer.headers for answer in answers)


def test_too_many_logins_have_to_wait() -> None:
    with listening() as served:
        for _ in range(throttle.BY_ADDRESS.burst):
            assert served.request("POST", "/login", b"username=ann&password=x").status == 401
        late = served.request("POST", "/login", b"username=ann&password=right")
        assert late.status == 429
        assert 0 < int(late.headers["retry-after"]) <= throttle.BY_ADDRESS.every + 1
        late = served.request("GET", "/whoami", **basic("ann", "right"))
        assert (late.status, "too many tries" in late.message) == (429, True)
        assert served.request("GET", "/whoami", **OPERATOR).status == 200, "a token is no guess"


def test_what_strangers_do_is_written_down_sparingly_and_tames_control_characters() -> None:
    with listening() as served:
        served.request("POST", "/login", b"username=%1b%5b31mann%0a&password=x")
        assert served.facts[-1][1]["who"] == "?[31mann?"
        for _ in range(100):
            served.request("GET", "/whoami", Authorization="Bearer x")
        refused = [facts for kind, facts in served.facts if kind == "refused"]
        assert len(refused) <= tcp.WRITTEN_DOWN.burst + 5


# --- other sites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_post_of_another_site_is_refused_whatever_it_brings(served: Served, headers: dict[str, str]) -> None:
    cookie, csrf = served.log_in()
    for who in ({"Cookie": cookie, "X_CSRF_Token": csrf}, OPERATOR, basic("ann", "right")):
        assert served.request("POST", "/api/v1/scale", SCALE, **headers, **who).status == 403
    assert served.request("POST", "/login", b"username=ann&password=right", **headers).status == 403
    assert served.fake.asked == []


def test_a_post_of_our_own_page_is_taken(served: Served) -> None:
    cookie, csrf = served.log_in()
    own = {"Origin": f"http://localhost:{served.port}", "Host": f"localhost:{served.port}"}
    who = {"Cookie": cookie, "X_CSRF_Token": csrf, "Sec_Fetch_Site": "same-origin"}
    assert served.request("POST", "/api/v1/scale", SCALE, **own, **who).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9001", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_a_name_that_was_rebound_to_us_is_not_answered(served: Served, host: str) -> None:
    for method, path in [("GET", "/whoami"), ("POST", "/api/v1/scale"), ("GET", "/login"), ("POST", "/login")]:
        refused = served.request(method, path, SCALE if method == "POST" else None, Host=host, **OPERATOR)
        assert (refused.status, "allowed_hosts" in refused.message) == (421, True)
    assert served.fake.asked == []


def test_every_answer_says_what_a_browser_may_do_with_it(served: Served) -> None:
    answers = [
        served.request("GET", "/login"),
        served.request("GET", "/nothing", **OPERATOR),
        served.request("GET", "/api/v1/status"),
        served.request("GET", "/whoami", Accept="text/html"),
        served.request("PUT", "/"),
        served.request("GET", "/", Host="evil.example"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    assert "no-store" not in served.request("GET", "/assets/x.js").headers.get("cache-control", "")


# --- paths, bodies, bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["/assets/../api/v1/status", "/assets/%2e%2e/api/v1/status", "/assets/..%2fapi/v1/status", "//api/v1/status",
     "/login/../api/v1/status", "/login/..%2f..%2fapi/v1/status", "/api/v1/status/", "/./api/v1/status",
     "/%2fapi/v1/status",
     "/api/v1/openapi.json/../status", "/login%00/api/v1/status", "/healthz;/api/v1/status", "http://x/api/v1/status",
     "/LOGIN", "/login%20", "*"],
)  # fmt: skip
def test_no_way_of_writing_a_path_leads_past_the_guard(served: Served, target: str) -> None:
    answer = served.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b" 401 " in answer.partition(b"\r\n")[0]
    posted = served.raw(
        f"POST {target.replace('status', 'scale')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(SCALE)}\r\n"
        f"Authorization: {VIEWER['Authorization']}\r\nConnection: close\r\n\r\n".encode()
        + SCALE
    )
    assert b" 403 " in posted.partition(b"\r\n")[0]
    assert served.fake.asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"])
def test_other_methods_do_nothing(served: Served, method: str) -> None:
    answer = served.raw(
        f"{method} /api/v1/scale HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"X-HTTP-Method-Override: POST\r\nConnection: close\r\n\r\n".encode()
    )
    assert b" 405 " in answer.partition(b"\r\n")[0]
    assert served.fake.asked == []


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: 0x2\r\n\r\n{}",
        "Content-Length: 2\r\n x: y\r\n\r\n{}",
        "Content-Length: 2\r\nHost: evil.example\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\n2;\n\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_a_request_of_doubtful_length_is_refused_with_all_that_follows_it(served: Served, head: str) -> None:
    who = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    smuggled = f"POST /api/v1/scale HTTP/1.1\r\n{who}Content-Length: {len(SCALE)}\r\n\r\n"
    answer = served.raw(
        f"POST /api/v1/reopen HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{head}{smuggled}".encode()
        + SCALE
    )
    assert b" 200 " not in answer
    assert answer.count(b"HTTP/1.1") <= 1
    assert served.fake.asked == []


@pytest.mark.parametrize("who", ["", f"Authorization: Bearer {TOKEN}\r\n"], ids=["stranger", "operator"])
def test_a_body_that_is_too_large_is_not_read(served: Served, who: str) -> None:
    body = b"x" * (api.MAX_BODY + 1)
    answer = served.raw(
        f"POST /api/v1/scale HTTP/1.1\r\nHost: localhost\r\n{who}Content-Length: 900000000\r\n\r\n".encode() + body,
        enough=b"\r\n",
    )
    assert not answer or (b" 413 " if who else b" 401 ") in answer.partition(b"\r\n")[0]
    assert served.fake.asked == []


def test_a_login_form_that_is_too_large_is_not_read(served: Served) -> None:
    answer = served.raw(
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n" + b"x" * 100_000
    )
    assert not answer or b" 413 " in answer.partition(b"\r\n")[0]


def test_a_login_form_of_many_fields_is_refused_and_is_no_defect(served: Served) -> None:
    many = "&".join(f"a{n}=1" for n in range(web.MAX_FIELDS + 1)).encode()
    assert served.request("POST", "/login", many, Content_Type=FORM).status == 413
    cookie, _ = served.log_in()
    assert served.request("POST", "/act", many, Cookie=cookie, Content_Type=FORM).status == 403


def test_the_head_of_what_goes_on_for_ever_is_an_answer(served: Served) -> None:
    for path in ("/live", "/api/v1/events?follow=1", "/api/v1/status"):
        head = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        answer = served.raw(head.encode())  # until the server closes
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n")


def test_an_oversize_form_cannot_bring_a_csrf_token(served: Served) -> None:
    cookie, csrf = served.log_in()
    body = f"csrf_token={csrf}&x={'y' * 40_000}".encode()
    assert served.request("POST", "/act", body, Cookie=cookie, Content_Type=FORM).status == 403
    assert served.fake.face.acted == []


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [b"GET ",
             b"POST ", b"/api/v1/scale", b"/RPC2", b" HTTP/1.1\r\n", b"Host: localhost\r\n", b"\r\n", b"\r\n\r\n",
             b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"Authorization: Basic ", b"Cookie: ",
             b"Authorization: Bearer \xff\xfe\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 40, b"GET /%00%ff HTTP/1.1\r\n",
             b"X-Forwarded-For: \xff,,\r\n", b"Origin: \x80\r\n", b"Host: \xe9\r\n"]
        )
        | st.binary(max_size=60),
        max_size=12,
    )
)  # fmt: skip
def test_arbitrary_bytes_do_no_harm(served: Served, pieces: list[bytes]) -> None:
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    with connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"".join(pieces))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert served.request("GET", "/healthz").body == b"ok\n"
    assert served.fake.asked == []
    assert not served.fake.defects


# --- what it may cost -------------------------------------------------------------------------------------------------


def test_a_stranger_who_sends_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
    with listening() as served:
        assert served.raw(b"") == b""
        assert served.raw(b"POST /login HTTP/1.1\r\nHost: localhost\r\nConte") == b""
        slow = served.raw(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nusername=")
        assert slow == b""


def test_strangers_who_take_every_connection_shut_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 5)
    with listening() as served, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20))
        for _ in range(5):
            assert served.request("GET", "/api/v1/status", **OPERATOR).status == 200


def test_one_visitor_may_not_have_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_ANSWERS", 3)
    with listening() as served, contextlib.ExitStack() as stack:
        follow = f"GET /api/v1/events?follow=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: {VIEWER['Authorization']}"
        for _ in range(3):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20))
            held.sendall(f"{follow}\r\n\r\n".encode())
            assert held.recv(12) == b"HTTP/1.1 200"
        refused = served.request("GET", "/api/v1/status", **VIEWER)
        assert (refused.status, "3 already" in refused.message) == (429, True)
        assert served.request("GET", "/healthz", **VIEWER).status == 200
        assert served.request("GET", "/api/v1/status", **OPERATOR).status == 200
        stack.close()
        eventually(lambda: served.request("GET", "/api/v1/status", **VIEWER).status == 200, what="they have ended")


def test_those_who_have_every_connection_leave_the_unix_socket_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 5)
    with listening() as served, contextlib.ExitStack() as stack:
        for _ in range(5):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20))
            head = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}"
            held.sendall(f"GET /live HTTP/1.1\r\n{head}\r\n\r\n".encode())
            assert held.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: b" 503 " in served.raw(b"GET /healthz HTTP/1.0\r\n\r\n"), what="no room")
        assert served.unix.status()["daemon"]["pid"] == 41
        stack.close()
        eventually(lambda: served.request("GET", "/healthz").status == 200, what="room again")


# --- TLS, proxies, changes --------------------------------------------------------------------------------------------


def certificate(directory: Path, name: str = "localhost") -> tuple[str, str]:
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def trusting(cert: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


def test_tls_with_a_certificate_that_is_renewed_and_strangers_at_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 4)
    wanted = spec(free_port(), tls_cert=cert, tls_key=key)
    with listening(wanted) as served:
        assert served.problem == ""
        first = trusting(cert)
        assert served.request("GET", "/whoami", tls=first, **OPERATOR).json["scheme"] == "https"
        answer = served.request("POST", "/login", b"username=ann&password=right", tls=first)
        assert "secure" in answer.headers["set-cookie"].lower()
        served.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # no TLS: no answer, no harm
        with pytest.raises(ssl.SSLCertVerificationError):
            served.request("GET", "/healthz", tls=ssl.create_default_context())
        monkeypatch.setattr(server, "REQUEST_SECONDS", 300.0)
        with contextlib.ExitStack() as stack:  # handshakes that never go on count
            held = [
                stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20)) for _ in range(8)
            ]
            with contextlib.suppress(ConnectionResetError):
                assert held[0].recv(1) == b"", "one too many: the longest silent one has to go"
            assert served.unix.status()["daemon"]["pid"] == 41
        eventually(lambda: _serves_tls(served, first), what="there is room again")
        monkeypatch.setattr(server, "REQUEST_SECONDS", 0.1)
        assert served.raw(b"\x16\x03\x01") == b"", "and it ends"
        monkeypatch.setattr(server, "REQUEST_SECONDS", 60.0)
        before = time.time_ns()
        cert, key = certificate(tmp_path)
        os.utime(cert, ns=(before, before))
        served.use(wanted)
        assert served.problem == ""
        assert served.request("GET", "/healthz", tls=trusting(cert)).status == 200
        Path(cert).write_text("rubbish")
        served.use(wanted)
        assert "cannot use" in served.problem
        assert "goes on" in served.problem
        Path(cert).unlink()
        served.use(wanted)
        assert f"cannot read {cert}" in served.problem


def _serves_tls(served: Served, context: ssl.SSLContext) -> bool:
    with contextlib.suppress(OSError):
        return served.request("GET", "/healthz", tls=context).status == 200
    return False


def test_behind_a_proxy_it_is_found_at_its_root_path() -> None:
    with listening(spec(free_port(), root_path="/pool", allowed_hosts=("queue.example.org",))) as served:
        proxied = {"X_Forwarded_For": "9.9.9.9, 1.2.3.4", "X_Forwarded_Proto": "https", "Host": "queue.example.org"}
        for path in ("/whoami", "/pool/whoami"):  # a proxy may remove it, or not
            told = served.request("GET", path, **proxied, **OPERATOR).json
            assert (told["address"], told["scheme"], told["root"]) == ("1.2.3.4", "https", "/pool")
        described = served.request("GET", "/pool/api/v1/openapi.json", **proxied).json
        assert described["servers"] == [{"url": "/pool/api/v1"}]
        led = served.request("GET", "/pool/whoami", Accept="text/html", **proxied)
        assert led.headers["location"] == "/pool/login?next=/whoami"
        answer = served.request("POST", "/pool/login", b"username=ann&password=right&next=/whoami", **proxied)
        assert answer.headers["location"] == "/pool/whoami"
        assert "path=/pool;" in answer.headers["set-cookie"].lower().replace("path=/pool", "path=/pool;")
        assert served.request("GET", "/poolx/whoami", **OPERATOR).status == 404
        assert served.request("POST", "/pool/act", b"", **VIEWER).status == 403


def test_without_credentials_this_machine_may_look_and_nobody_may_act() -> None:
    with listening(spec(free_port(), users=(), tokens=())) as served:
        assert served.request("GET", "/whoami").json["role"] == "viewer"
        refused = served.request("POST", "/api/v1/scale", SCALE)
        assert (refused.status, "username and a password" in refused.message) == (403, True)
        assert served.request("GET", "/whoami", X_Forwarded_For="1.2.3.4").status == 401
        assert served.request("GET", "/whoami", Authorization="Bearer x").status == 401
        assert served.fake.asked == []


def test_a_port_that_is_taken_is_a_problem_until_it_is_free() -> None:
    wanted = spec(free_port())
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", wanted.address[1]))
        holder.listen()
        with listening(wanted) as served:
            assert served.problem == f"cannot listen on {wanted.listen}: Address already in use"
            assert served.unix.status()["daemon"]["pid"] == 41
            holder.close()
            served.use(wanted)
            assert served.problem == ""
            assert served.request("GET", "/healthz").status == 200


def _is_well(connection: socket.socket) -> bool:
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while not received.endswith(b"ok\n") and (piece := connection.recv(65536)):
        received += piece
    return received.endswith(b"ok\n")


def test_a_changed_section_is_followed_and_connections_survive_what_does_not_concern_them() -> None:
    with listening() as served:
        cookie, _ = served.log_in()
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            assert _is_well(connection)
            served.use(spec(served.port))
            served.use(spec(served.port, users=(USERS[0], Account("zoe", Role.VIEWER, Secret("plain", "new")))))
            assert _is_well(connection), "the same connection"
        assert served.request("GET", "/whoami", Cookie=cookie).json["name"] == "ann"
        assert served.request("GET", "/whoami", **basic("zoe", "new")).json["name"] == "zoe"
        assert served.request("GET", "/whoami", **basic("bob", "looks")).status == 401
        former, other = served.port, free_port()
        with socket.socket() as holder:  # a change that cannot be leaves what was
            holder.bind(("127.0.0.1", other))
            holder.listen()
            served.use(spec(other))
            assert "goes on at" in served.problem
            assert served.request("GET", "/healthz").status == 200
        served.use(spec(former, root_path="/x"))  # the same port, and another application
        assert served.request("GET", "/x/healthz").status == 200
        served.use(spec(former, listen=f"0.0.0.0:{former}"))  # which the former address is part of
        assert served.problem == ""
        assert served.request("GET", "/healthz").status == 200
        served.use(spec(other))
        assert served.problem == ""
        with pytest.raises(ConnectionRefusedError):
            served.request("GET", "/healthz")
        served.port = other
        assert served.request("GET", "/healthz").status == 200
        served.use(None)
        with pytest.raises(ConnectionRefusedError):
            served.request("GET", "/healthz")
        served.port = former


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ({"name": "w"}, 200),
        (UsageError("cannot", "try"), 400),
        (QueuepoolError("cannot now"), 409),
        (RuntimeError("boom"), 500),
    ],
    ids=str,
)
def test_one_object_is_answered_to_those_who_ask_for_json(reply: object, status: int) -> None:
    with listening() as served:
        served.fake.replies["scale"] = reply
        served.fake.progress = [{"display": "w:0", "state": "started", "message": ""}]
        answer = served.request("POST", "/api/v1/scale", SCALE, Accept="application/json", **OPERATOR)
        assert answer.status == status
        assert answer.headers["content-type"] == "application/json"
        assert ("error" in answer.json) is (status != 200)
        lines = served.request(
            "POST", "/api/v1/scale", SCALE, Accept="application/x-ndjson, application/json", **OPERATOR
        )
        assert lines.status == 200
        assert "progress" in json.loads(lines.body.splitlines()[0])


def test_queues_and_the_last_deploy_can_be_had_by_get(served: Served) -> None:
    served.fake.replies |= {"queues": {"queues": []}, "deploystatus": UsageError("there was none")}
    assert served.request("GET", "/api/v1/queues?name=a&name=b", **VIEWER).json == {"queues": []}
    assert served.fake.asked[-1].names == ("a", "b")
    assert served.request("GET", "/api/v1/deploy", **VIEWER).status == 400


# --- the client of another machine ------------------------------------------------------------------------------------


def url(served: Served, credentials: str = "") -> str:
    return f"http://{credentials}127.0.0.1:{served.port}"


def test_the_remote_client_asks_as_the_local_one_does(served: Served, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    served.fake.replies["scale"] = {"name": "w"}
    served.fake.progress = [{"display": "w:0", "state": "started", "message": ""}]
    for client in (
        RemoteClient(url(served), TOKEN),
        RemoteClient(url(served), f"@{tmp_path}/token"),
        RemoteClient(url(served, "ann:right@")),
    ):
        assert client.status()["daemon"] == served.unix.status()["daemon"]
        seen: list[dict[str, object]] = []
        assert client.ask(Scale("w", 4), seen.append) == {"name": "w"}
        assert client.ask(Scale("w", 4), seen.append, lambda: None) == {"name": "w"}
        assert seen == served.fake.progress * 2
        with pytest.raises(UsageError, match="nope"):
            client.status(["nope"])


def test_the_remote_client_is_called_while_it_waits(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queuepool.control.remote.IDLE_SECONDS", 0.01)
    served.fake.replies["scale"] = "wait"
    served.fake.go_on.clear()
    idle: list[int] = []

    def on_idle() -> None:
        idle.append(1)
        if len(idle) == 3:
            served.fake.go_on.set()

    try:
        assert RemoteClient(url(served), TOKEN).ask(Scale("w", 4), None, on_idle)["request"]["name"] == "w"
    finally:
        served.fake.replies.clear()
    assert len(idle) >= 3


def test_the_remote_client_says_why_it_cannot(served: Served, tmp_path: Path) -> None:
    with pytest.raises(QueuepoolError, match=r"cannot log in .* it wants a token"):
        RemoteClient(url(served)).status()
    with pytest.raises(QueuepoolError, match=r"cannot log in .* wrong name, password or token"):
        RemoteClient(url(served), "x" * 40).status()
    with pytest.raises(QueuepoolError, match="may only look"):
        RemoteClient(url(served), TOKEN + "x").ask(Scale("w", 4))
    with pytest.raises(DaemonUnreachable, match="connection refused"):
        RemoteClient(f"http://127.0.0.1:{free_port()}").status()
    with pytest.raises(DaemonUnreachable, match="no TLS there"):
        RemoteClient(f"https://127.0.0.1:{served.port}").status()
    for wrong in ("127.0.0.1:9001", "ftp://x", "https://", "http://x:port", "http://x/?a"):
        with pytest.raises(UsageError, match="cannot use the host"):
            RemoteClient(wrong)
    with pytest.raises(UsageError, match="cannot read the token"):
        RemoteClient("http://x", f"@{tmp_path}/none")
    with pytest.raises(UsageError, match="one line"):
        RemoteClient("http://x", "a\r\nX: y")
    with pytest.raises(UsageError, match="http://host:1/ x") as caught:
        RemoteClient("http://name:secret@host:1/ x")
    assert "secret" not in str(caught.value)


def test_the_remote_client_tells_what_is_not_queuepool_and_a_wrong_certificate(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "other.example")
    with (
        listening(spec(free_port(), tls_cert=cert, tls_key=key)) as served,
        pytest.raises(DaemonUnreachable, match="certificate is not accepted"),
    ):
        RemoteClient(f"https://localhost:{served.port}", TOKEN).status()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(DaemonUnreachable, match="is not queuepool: HTTP 404"):
            RemoteClient(f"http://127.0.0.1:{other.server_port}").status()
        other.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
