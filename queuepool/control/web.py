"""The application of the TCP listener: the same faces as on the unix socket, behind one guard that says who asks and
what he may do. Who is who is access.py's matter, the rules are domain/access.py's and domain/origins.py's, the socket
is tcp.py's."""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from pydantic_core import to_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queuepool.control import visiting
from queuepool.control.access import Access, Session, Wait
from queuepool.control.client import error_to
from queuepool.control.shares import Shares
from queuepool.domain.access import HttpSpec, Role, Visitor, is_public, needed
from queuepool.domain.origins import client_address, host_is_known, is_proxy, local_path, may_post
from queuepool.errors import QueuepoolError

MAX_FORM = 16 * 1024
"""Bytes of a login, the only body that is read of somebody who is not known."""
MAX_FIELDS = 20
MOST_ANSWERS = 192
"""Answers in progress that one visitor may have: of the connections (tcp.MAX_CONNECTIONS) some are left to others."""

Refused = Callable[[Mapping[str, str | None]], None]
Accepted = Callable[[Mapping[str, str | None]], None]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: a browser then says `Origin: null` for its own forms (Fetch standard, "append a request Origin").
    "Referrer-Policy": "same-origin",
}


class Web:
    """What only the TCP listener has: login, logout, /healthz. faces: what else is served; the first that has a
    `login_page(error, next, root_path)` writes the page of the login."""

    def __init__(self, spec: HttpSpec, access: Access, faces: Iterable[Any], accepted: Accepted, refused: Refused):
        self._spec = spec
        self._access = access
        self._accepted = accepted
        self._refused = refused
        self._page = next((face.login_page for face in faces if hasattr(face, "login_page")), _plain_login)
        self.routes = [
            Route("/login", self.show_login, methods=["GET"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]

    def end_streams(self) -> None:
        """There are none."""

    async def health(self, request: Request) -> Response:
        """That it answers."""
        return PlainTextResponse("ok\n")

    async def show_login(self, request: Request) -> Response:
        """The page with the form; those who are known already are led on."""
        there = local_path(request.query_params.get("next", "/"))
        if request.state.visitor is not None:
            return self._lead_to(there)
        return self._form(there)

    async def login(self, request: Request) -> Response:
        """Begin a session."""
        form = await read_form(request)
        if form is None:
            return refusal(413, "cannot log in: the form is too large")
        name, there = form.get("username", ""), local_path(form.get("next", "/"))
        address = request.state.address
        try:
            found = await self._access.login(name, form.get("password", ""), address)
        except Wait as error:
            self._refused({"asked": "login", "reason": "too many tries", "who": name[:100], "from": address})
            return self._form(there, f"Too many tries. Wait {error.seconds:.0f} seconds.", 429, error.seconds)
        if found is None:
            self._refused({"asked": "login", "reason": "wrong name or password", "who": name[:100], "from": address})
            return self._form(there, "Wrong name or password.", 401)
        visitor, cookie = found
        self._accepted({"asked": "login", **visitor.facts})
        answer = self._lead_to(there)
        answer.set_cookie(**self._cookie(request, cookie))
        return answer

    async def logout(self, request: Request) -> Response:
        """End the session."""
        if cookie := request.cookies.get(cookie_name(self._spec)):
            self._access.logout(cookie)
            self._accepted({"asked": "logout", **request.state.visitor.facts})
        answer = self._lead_to("/login")
        answer.set_cookie(**self._cookie(request, ""), max_age=0)
        return answer

    def _form(self, there: str, error: str = "", status: int = 200, wait: float = 0.0) -> Response:
        answer: Response = self._page(error, there, self._spec.root_path)
        answer.status_code = status
        if wait:
            answer.headers["Retry-After"] = str(int(wait) + 1)
        return answer

    def _lead_to(self, there: str) -> Response:
        return RedirectResponse(self._spec.root_path + there, 303)

    def _cookie(self, request: Request, value: str) -> dict[str, Any]:
        return {
            "key": cookie_name(self._spec),
            "value": value,
            "path": self._spec.root_path or "/",
            "secure": request.url.scheme == "https",
            "httponly": True,
            "samesite": "strict",
        }


def cookie_name(spec: HttpSpec) -> str:
    """A browser keeps cookies by host, whatever the port: two daemons of one machine must not share one."""
    return f"queuepool_{spec.address[1]}"


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a small form, the last of each name; None when it is too large, or has too many of them."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return None
    try:
        fields = parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="utf-8")
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def refusal(status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """A refusal, as every error of the API. It ends the connection: nobody reads the body that may follow."""
    body = to_json({"error": error_to(QueuepoolError(message, hint))}) + b"\n"
    return Response(body, status, {"Connection": "close", **(headers or {})}, media_type="application/json")


class Guard:
    """Stands before the application: answers, or says no. Everything that is not known to be harmless needs a visitor,
    and every POST that is not known to change nothing an operator."""

    def __init__(
        self, app: ASGIApp, spec: HttpSpec, access: Access, refused: Refused, on_defect: Callable[[Exception], None]
    ) -> None:
        self._app = app
        self._on_defect = on_defect
        self._spec = spec
        self._access = access
        self._refused = refused
        self._own_name = os.uname().nodename
        self._answers = Shares(sys.maxsize, MOST_ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        path = self._place(scope, headers)
        answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal answered
            if answered:
                return
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), path)
            await send(message)
            if scope["method"] == "HEAD" and message["type"] == "http.response.start":
                # What follows something for ever would do so for nobody: its body is never sent.
                answered = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                limit.reschedule(asyncio.get_running_loop().time())

        try:
            async with asyncio.timeout(None) as limit:  # set where the answer must end with a session
                no = await self._look(scope, receive, headers, path, limit)
                if isinstance(no, Response):
                    await no(scope, receive, send_guarded)
                    return
                visitor = scope["state"]["visitor"]
                with self._answers.hold(visitor.share if visitor else ""):
                    await self._app(scope, no or receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - reported to the daemon; the client sees the connection end
            if not (isinstance(error, TimeoutError) and limit.expired()):
                self._on_defect(error)
        finally:
            self._access.ended(limit)

    def _place(self, scope: Scope, headers: Headers) -> str:
        """Say where the request came from and what it asks for, in the scope; the path below the root path. A proxy may
        have removed the root path, or not."""
        root, path = self._spec.root_path, scope["path"]
        if root and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        scope["root_path"], scope["path"] = root, root + path
        peer = scope["client"][0] if scope.get("client") else ""
        if is_proxy(peer, self._spec.proxies):
            if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in ("http", "https"):
                scope["scheme"] = scheme
            peer = client_address(peer, headers.get("x-forwarded-for", ""), self._spec.proxies)
        state = scope.setdefault("state", {})
        state.update(visitor=None, csrf="", address=peer)
        return str(path)

    async def _look(
        self, scope: Scope, receive: Receive, headers: Headers, path: str, limit: asyncio.Timeout
    ) -> Response | Receive | None:
        """A refusal; or how the body is to be received when some of it was read here; or None."""
        method, state = scope["method"], scope["state"]
        if not host_is_known(headers.get("host"), self._spec.allowed_hosts, self._own_name):
            hint = "call it by its address, or add the name to `allowed_hosts` below `http:` in queuepool.yml"
            return self._no(scope, 421, f"cannot answer for the host {headers.get('host', '')[:100]!r}", hint)
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy may have taken the other one, and see another request in what follows.
            return refusal(400, "cannot read the request: it has two lengths")
        if method not in ("GET", "HEAD", "POST"):
            return refusal(405, f"nothing answers to {method[:20]}", headers={"Allow": "GET, HEAD, POST"})
        if method == "POST" and not may_post(headers.get("host"), headers.get("origin"), headers.get("sec-fetch-site")):
            return self._no(scope, 403, "cannot do that: the request comes from the page of another site")
        try:
            visitor, session = await self._identify(headers, scope)
        except Wait as error:
            wait = {"Retry-After": str(int(error.seconds) + 1)}
            return self._no(scope, 429, "cannot log in: too many tries", f"wait {error.seconds:.0f} s", wait)
        if visitor is None:
            return None if is_public(method, path) else self._who_are_you(scope, headers, path)
        state["visitor"], state["csrf"] = visitor, session.csrf if session else ""
        visiting.visitor.set(visitor)
        if is_public(method, path):
            return None
        if not visitor.may(needed(method, path)):
            return self._no(scope, 403, *_only_operators(visitor))
        if why := self._answers.refusal(visitor.share):
            return refusal(429, f"cannot answer so many at a time: {why}", "end some of them", {"Retry-After": "5"})
        if session is None:
            return None
        if method != "POST":
            self._access.end_with(session, limit)
            return None
        return await self._check_csrf(scope, receive, headers, session)

    async def _identify(self, headers: Headers, scope: Scope) -> tuple[Visitor | None, Session | None]:
        address = scope["state"]["address"]
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._access.by_token(value.strip(), address), None
        if scheme.lower() == "basic":
            return await self._access.by_basic(value.strip(), address), None
        cookie = HTTPConnection(scope).cookies.get(cookie_name(self._spec), "")
        if found := self._access.by_session(cookie, address):
            return found
        return self._access.open_to(address), None

    async def _check_csrf(
        self, scope: Scope, receive: Receive, headers: Headers, session: Session
    ) -> Response | Receive | None:
        """A POST of a session has to repeat the session's csrf token, in the header X-CSRF-Token or in its form: a page
        of another site can send the cookie, but does not know the token."""
        given, replay = headers.get("x-csrf-token"), None
        if given is None and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form, replay = await _form_and_replay(scope, receive)
            given = form.get("csrf_token")
        if given is None or not hmac.compare_digest(given.encode(), session.csrf.encode()):
            hint = "load the page anew; a script sends a token, or Basic credentials, instead of a cookie"
            return self._no(scope, 403, "cannot do that: the CSRF token is missing or of another session", hint)
        return replay

    def _who_are_you(self, scope: Scope, headers: Headers, path: str) -> Response:
        wants_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if wants_page and "authorization" not in headers:
            there = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"{self._spec.root_path}/login?next={quote(local_path(there), safe='/')}", 303)
        hint = "log in, or send a token: `queuepool --host URL --token TOKEN ...`, `curl -u NAME:PASSWORD ...`"
        # For Basic a browser would ask with a window of its own, though the page asks better.
        by_script = headers.get("sec-fetch-mode", "navigate") != "navigate"
        challenge = 'Bearer realm="queuepool"' if by_script else 'Basic realm="queuepool", charset="UTF-8"'
        said = "authorization" in headers
        message = "cannot do that: wrong name, password or token" if said else "cannot do that: nobody is logged in"
        if said:
            return self._no(scope, 401, message, hint, {"WWW-Authenticate": challenge})
        return refusal(401, message, hint, {"WWW-Authenticate": challenge})

    def _no(
        self, scope: Scope, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        """A refusal that is written down."""
        state = scope["state"]
        who = state["visitor"].facts if state["visitor"] else {"from": state["address"] or None}
        asked = f"{scope['method'][:20]} {scope['path'][:100]}"
        self._refused({"asked": asked, "reason": message.removeprefix("cannot do that: "), **who})
        return refusal(status, message, hint, headers)


async def _form_and_replay(scope: Scope, receive: Receive) -> tuple[dict[str, str], Receive]:
    """The fields of a form, and a way to receive it once more."""
    kept: list[Message] = []

    async def keeping() -> Message:
        kept.append(await receive())
        return kept[-1]

    form = await read_form(Request(scope, keeping)) or {}

    async def again() -> Message:
        return kept.pop(0) if kept else await receive()

    return form, again


def _only_operators(visitor: Visitor) -> tuple[str, str]:
    if visitor.by == "open":
        return (
            "cannot do that: whoever asks without credentials may only look",
            "give `http:` a username and a password, or use the command on the machine itself",
        )
    return f"cannot do that: {visitor.name} may only look", f"give {visitor.name} the role {Role.OPERATOR}"


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if not path.startswith("/assets/"):
        headers.setdefault("Cache-Control", "no-store")


def _plain_login(error: str, next: str, root_path: str) -> Response:
    """A form without a page around it."""
    from html import escape

    said = f'<p role="alert">{escape(error)}</p>' if error else ""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><title>queuepool</title><h1>queuepool</h1>{said}'
        f'<form method="post" action="{escape(root_path)}/login">'
        f'<input type="hidden" name="next" value="{escape(next)}">'
        '<p><label>Name <input name="username" autocomplete="username" required autofocus></label>'
        '<p><label>Password <input type="password" name="password" autocomplete="current-password" required></label>'
        "<p><button>Log in</button></form>"
    )
