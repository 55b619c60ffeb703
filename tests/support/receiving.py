"""Real servers that take notifications: HTTP, and SMTP with and without TLS. Each may be stopped, and come back at the
same port."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port
from tests.support.wait import eventually


@dataclass(frozen=True, slots=True)
class Received:
    """One request. answered: with which code."""

    path: str
    headers: dict[str, str]
    body: bytes
    answered: int

    @property
    def value(self) -> dict[str, Any]:
        """The JSON object in it."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Hook:
    """with Hook() as hook: ... hook.url ... hook.told()

    answers: codes for the next requests, with the headers of a code in `headers`; then 200. seconds: how long an answer
    takes. echo: answers repeat the path, as careless servers do. tls: (certificate, key) to speak https with.
    """

    answers: list[int] = field(default_factory=list)
    headers: dict[int, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    echo: bool = False
    received: list[Received] = field(default_factory=list)
    port: int = 0
    tls: tuple[Path, Path] | None = None

    def __enter__(self) -> Hook:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Answer, at the port of before if there was one."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = hook.answers.pop(0) if hook.answers else 200
                hook.received.append(Received(self.path, dict(self.headers), body, code))
                hook.ending.wait(hook.seconds)
                self.send_response(code)
                for name, value in hook.headers.get(code, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(self.path.encode() if hook.echo else b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:  # a client that did not wait is nothing to tell
                pass

        self.ending = threading.Event()
        self._server = Server(("127.0.0.1", self.port or free_port()), Handler)
        self.port = self._server.server_port
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            listener = self._server.socket  # the handshake is left to the thread of the connection
            self._server.socket = context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address, with a secret in it."""
        return f"http://127.0.0.1:{self.port}/services/SECRET-PATH?token=SECRET-TOKEN"

    def accepted(self) -> list[dict[str, Any]]:
        """What was taken, as JSON."""
        return [one.value for one in self.received if one.answered == 200]

    def wait(self, count: int = 1, *, key: str = "", seconds: float = 60.0) -> list[dict[str, Any]]:
        """What was taken, of a key or all, as soon as there are so many."""

        def there() -> list[dict[str, Any]]:
            found = [one for one in self.accepted() if not key or one.get("key") == key]
            return found if len(found) >= count else []

        return eventually(there, seconds, f"{count} notices {key}", show=lambda: [one.body for one in self.received])


@dataclass(frozen=True, slots=True)
class Letter:
    """One e-mail. secure: over TLS. user: who logged in."""

    to: Sequence[str]
    message: EmailMessage
    secure: bool
    user: str


class _Anywhere(Controller):
    """aiosmtpd's, at a port that the system chose."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    """with Mailbox() as box: ... box.port ... box.letters

    certificate: (file, key): STARTTLS is offered, and asked for. password: of the user `ops`, who has to log in.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None, password: str = "") -> None:
        self.letters: list[Letter] = []
        self.refuse = ""
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._password = password

    def __enter__(self) -> Mailbox:
        def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
            assert isinstance(data, LoginPassword)
            good = data.login == b"ops" and data.password == self._password.encode()
            return AuthResult(success=good, handled=False, auth_data=data.login.decode())

        more: dict[str, Any] = {}
        if self._context:
            more |= {"tls_context": self._context, "require_starttls": True}
        if self._password:
            more |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": bool(self._context)}
        self._controller = _Anywhere(self, "127.0.0.1", 0, **more)
        self._controller.start()
        self.port: int = self._controller.port
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd with each e-mail."""
        if self.refuse:
            return self.refuse
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        user = str(session.auth_data or "")
        self.letters.append(Letter(envelope.rcpt_tos, message, session.ssl is not None, user))
        return "250 taken"


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that only who names it trusts, and its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key
