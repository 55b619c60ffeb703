"""The client of a daemon on another machine: what client.py's is for the control socket, over http or https. TLS is the
standard library's matter; a command that asks the daemon need not know which client it has."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from json import loads
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from queuepool import __version__
from queuepool.control.client import IDLE_SECONDS, PREFIX, Answer, Client, error_from
from queuepool.errors import DaemonUnreachable, QueuepoolError, UsageError

HOW = "queuepool --host https://queue.example.org --token @FILE status"
_MOST_ERROR = 1 << 20


class RemoteClient(Client):
    """Asks the daemon at a URL; each call is a connection of its own.

    url: `https://host[:port][/root]`, perhaps with `name:password@` for Basic credentials. token: a token, `@FILE`, or
    "". Raises UsageError where these make no sense.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 10.0) -> None:
        self._url = _split(url)
        super().__init__("", timeout)
        self.where = f"queuepool at {shown(url)}"
        self._authorization = _authorization(self._url, token)

    def _open(self, method: str, target: str, body: bytes = b"", prefix: str = PREFIX) -> Answer:
        headers = {"Accept": "application/x-ndjson", "User-Agent": f"queuepool/{__version__}", "Connection": "close"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        if method == "POST":
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.connect()
            sock = connection.sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a machine that is gone says nothing
            connection.request(method, f"{self._url.path.rstrip('/')}{prefix}{target}", body or None, headers)
            response = connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        if response.status != 200:
            with response:
                raise self._refused(response)
        return _HttpAnswer(response, sock, self._unreachable)

    def supervisor(self) -> Any:
        """Supervisor's methods there (xmlrpc.client.ServerProxy, `supervisor.`). A call raises what that raises."""
        from xmlrpc.client import ServerProxy

        headers = [("Authorization", self._authorization)] if self._authorization else []
        url = self._url._replace(netloc=self._url.netloc.rpartition("@")[2], path=f"{self._url.path.rstrip('/')}/RPC2")
        context = ssl.create_default_context() if url.scheme == "https" else None
        return ServerProxy(url.geturl(), headers=headers, context=context).supervisor

    def follow_log(self, name: str) -> Iterator[bytes]:
        """The end of a process's log and what comes, in pieces; for ever. name: Supervisor's."""
        with self._open("GET", f"/logtail/{quote(name, safe=':')}", prefix="") as answer:
            answer.wait_for_ever()
            assert isinstance(answer, _HttpAnswer)
            yield from answer.pieces()

    def _connection(self) -> HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "http":
            return HTTPConnection(host, self._url.port or 80, timeout=self.timeout)
        context = ssl.create_default_context()
        return HTTPSConnection(host, self._url.port or 443, timeout=self.timeout, context=context)

    def _unreachable(self, error: Exception) -> DaemonUnreachable:
        where = f"cannot reach {self.where}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return DaemonUnreachable(
                f"{where}: its certificate is not accepted: {error.verify_message}",
                "for one of your own authority: SSL_CERT_FILE=ca.pem queuepool --host ...",
            )
        if isinstance(error, ssl.SSLError):
            return DaemonUnreachable(f"{where}: no TLS there: {error.reason or error}", "is it http:// there?")
        if isinstance(error, socket.gaierror):
            return DaemonUnreachable(f"{where}: there is no such host")
        if isinstance(error, ConnectionRefusedError):
            hint = "`queuepool status` on that machine says whether it listens; it does where queuepool.yml has `http:`"
            return DaemonUnreachable(f"{where}: connection refused", hint)
        if isinstance(error, TimeoutError):
            return DaemonUnreachable(f"{self.where} did not answer within {self.timeout:g} s")
        if isinstance(error, ConnectionError | EOFError | HTTPException):
            return DaemonUnreachable(
                f"{self.where} ended the connection before it answered", "is it queuepool, and https:// there?"
            )
        return DaemonUnreachable(f"{where}: {getattr(error, 'strerror', None) or error}")

    def _refused(self, response: HTTPResponse) -> QueuepoolError:
        try:
            value = loads(response.read(_MOST_ERROR))["error"]
            told = error_from(value)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, HTTPException):
            to = response.headers.get("Location", "")
            more = f", which leads to {to}" if to else ""
            return DaemonUnreachable(
                f"what answers at {self.where.removeprefix('queuepool at ')} is not queuepool: "
                f"HTTP {response.status}{more}",
                "is the path right? A proxy shows it at the `root_path` of `http:`",
            )
        if response.status == 401:
            what = "wrong name, password or token" if self._authorization else "it wants a token"
            return QueuepoolError(f"cannot log in to {self.where}: {what}", HOW)
        if response.status == 421:
            return QueuepoolError(f"cannot ask {self.where}: {told.message}", told.hint)
        return told


class _HttpAnswer(Answer):
    """An answer of http.client."""

    def __init__(
        self, response: HTTPResponse, sock: socket.socket, unreachable: Callable[[Exception], DaemonUnreachable]
    ) -> None:
        super().__init__(unreachable)
        self._response = response
        self._socket = sock
        self._on_idle: Callable[[], None] | None = None
        self._lines: queue.Queue[bytes | Exception] | None = None

    def __exit__(self, *_: object) -> None:
        if self._lines is None:
            self._response.close()
        else:
            self._socket.close()  # the thread is reading the response

    def wait_for_ever(self, on_idle: Callable[[], None] | None = None) -> None:
        """See Answer."""
        self._socket.settimeout(None)
        self._on_idle = on_idle

    def readline(self) -> bytes:
        """See Answer."""
        try:
            return self._response.readline() if self._on_idle is None else self._read_by_thread(self._on_idle)
        except (OSError, HTTPException, ValueError) as error:
            raise self._unreachable(error) from None

    def pieces(self) -> Iterator[bytes]:
        """What comes, as it comes."""
        try:
            while data := self._response.read1(1 << 16):
                yield data
        except (OSError, HTTPException, ValueError) as error:
            raise self._unreachable(error) from None

    def _read_by_thread(self, on_idle: Callable[[], None]) -> bytes:
        """http.client cannot say whether a line is there already; a thread can wait for one."""
        if self._lines is None:
            self._lines = queue.Queue()
            threading.Thread(target=self._read_all, args=(self._lines,), daemon=True).start()
        while True:
            try:
                line = self._lines.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                on_idle()
                continue
            if isinstance(line, Exception):
                raise line
            return line

    def _read_all(self, lines: queue.Queue[bytes | Exception]) -> None:
        try:
            while line := self._response.readline():
                lines.put(line)
            lines.put(b"")
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            lines.put(error if isinstance(error, OSError) else EOFError())


def shown(url: str) -> str:
    """A URL without the password in it."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}{slashes}{host}" if at else url


def _split(url: str) -> SplitResult:
    try:
        found = urlsplit(url)
        found.port  # noqa: B018 - raises when it is none
    except ValueError:
        found = SplitResult("", "", "", "", "")
    if not (url.isascii() and url.isprintable()) or " " in url:
        found = SplitResult("", "", "", "", "")
    if found.scheme not in ("http", "https") or not found.hostname or found.query or found.fragment:
        raise UsageError(f"cannot use the host {shown(url)!r}: it is no URL of http or https", HOW)
    return found


def _authorization(url: SplitResult, token: str) -> str:
    if url.username is not None:
        credentials = f"{unquote(url.username)}:{unquote(url.password or '')}"
        return f"Basic {b64encode(credentials.encode()).decode()}"
    if token.startswith("@"):
        try:
            with open(token[1:], encoding="utf-8") as file:
                token = file.read(10_000).strip()
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "not text"
            raise UsageError(f"cannot read the token in {token[1:]}: {what}") from None
    if token:
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise UsageError("cannot use the token: it is not one line of printable characters")
        return f"Bearer {token}"
    return ""
