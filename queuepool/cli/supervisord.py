"""Asks a live supervisord, over its unix socket or TCP. What is asked of it is takeover.py's matter, where it answers
formats/supervisor_endpoint.py's."""

from __future__ import annotations

import base64
import socket
import time
import xmlrpc.client
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any

from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_endpoint import Endpoint
from queuepool.formats.supervisor_takeover import There

TIMEOUT = 30.0
"""Seconds for one answer. Nothing is asked that supervisord answers only when a process has ended."""
BAD_NAME, ALREADY_STARTED, NOT_RUNNING = 10, 60, 70
"""Faults of Supervisor (supervisor/xmlrpc.py)."""
SUCCESS = 80
STATE_RUNNING = 1
EXITED = 100
TURN_SECONDS = 1.5
"""supervisord looks about every second at what it has to start again."""


class _Connection(HTTPConnection):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint.host, endpoint.port or 80, timeout=TIMEOUT)
        self._path = endpoint.path

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(headers=_headers(endpoint))
        self._endpoint = endpoint

    def make_connection(self, host: Any) -> HTTPConnection:
        kept: tuple[Any, Any] = self._connection
        if kept[1] is None or host != kept[0]:
            kept = self._connection = host, _Connection(self._endpoint)
        connection: HTTPConnection = kept[1]
        return connection


def _headers(endpoint: Endpoint) -> list[tuple[str, str]]:
    if endpoint.username is None or endpoint.password is None:
        return []
    pair = f"{endpoint.username}:{endpoint.password}".encode()
    return [("Authorization", "Basic " + base64.b64encode(pair).decode())]


class Supervisord:
    """One supervisord. Every method raises QueuepoolError when it does not answer or refuses."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._server = xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=_Transport(endpoint))
        self.version = str(self._ask("getSupervisorVersion"))
        state = self._ask("getState")
        if state.get("statecode") != STATE_RUNNING:
            raise QueuepoolError(
                f"cannot take over from supervisord at {endpoint}: it is {state.get('statename')}",
                "try again when `supervisorctl status` answers",
            )
        if self._ask("getIdentification") == "queuepool":
            raise QueuepoolError(
                f"cannot take over from {endpoint}: queuepool answers there, not supervisord",
                "name the supervisord.conf of the supervisord that runs",
            )

    def processes(self) -> list[There]:
        """All its processes, in its order. One that has just ended and is about to be started again counts as that."""
        waits = {(one["group"], one["name"]): one.get("stopwaitsecs") for one in self._ask("getAllConfigInfo")}
        if any(one["state"] == EXITED for one in self._ask("getAllProcessInfo")):
            time.sleep(TURN_SECONDS)
        return [
            There(str(one["group"]), str(one["name"]), int(one["state"]), waits.get((one["group"], one["name"])))
            for one in self._ask("getAllProcessInfo")
        ]

    def states(self, names: Iterable[str]) -> dict[str, int]:
        """Full name -> state, of those of these that it has."""
        wanted = set(names)
        found = {f"{one['group']}:{one['name']}": int(one["state"]) for one in self._ask("getAllProcessInfo")}
        return {name: state for name, state in found.items() if name in wanted}

    def stop(self, group: str, names: Sequence[str], *, whole: bool) -> None:
        """Tell these processes of a group to stop, and do not wait for it. whole: they are all that live of it."""
        if whole:
            for item in self._ask("stopProcessGroup", group, False):
                if item["status"] not in (SUCCESS, NOT_RUNNING):
                    raise self._refused(f"stop {item['group']}:{item['name']}", str(item["description"]))
            return
        for name in names:
            self._ask("stopProcess", name, False, fine=NOT_RUNNING)

    def start(self, name: str) -> None:
        """Start a process, and do not wait for it."""
        self._ask("startProcess", name, False, fine=ALREADY_STARTED)

    def _ask(self, method: str, *args: Any, fine: int = 0) -> Any:
        """The answer; None where the fault is one that is `fine`."""
        try:
            return getattr(self._server.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            if fine and fault.faultCode == fine:
                return None
            about = f"{method} {args[0]}" if args else method
            raise self._refused(f"do {about}", str(fault.faultString)) from None
        except xmlrpc.client.ProtocolError as error:
            if error.errcode == 401:
                raise QueuepoolError(
                    f"cannot ask supervisord at {self.endpoint}: it wants another username and password",
                    "restart it so that it has those of its files, or correct the files",
                ) from None
            raise self._away(f"HTTP {error.errcode}") from None
        except OSError as error:
            raise self._away(error.strerror or str(error) or type(error).__name__) from None
        except (HTTPException, xmlrpc.client.Error, ValueError, SyntaxError) as error:
            raise self._away(f"its answer is not XML-RPC ({type(error).__name__})") from None
        except Exception as error:  # expat's own error is no subclass of any above
            if type(error).__module__.startswith("xml."):
                raise self._away("its answer is not XML-RPC") from None
            raise

    def _refused(self, what: str, why: str) -> QueuepoolError:
        return QueuepoolError(
            f"supervisord at {self.endpoint} cannot {what}: {why}", "`supervisorctl status` shows more"
        )

    def _away(self, why: str) -> QueuepoolError:
        return QueuepoolError(
            f"cannot ask supervisord at {self.endpoint}: {why}",
            "`supervisorctl status` shows whether it runs; it may take root: `sudo queuepool ...`",
        )


def reach(endpoints: Sequence[Endpoint]) -> Supervisord:
    """The first of these that answers. Raises QueuepoolError, what the first one said, when none does."""
    first: QueuepoolError | None = None
    for endpoint in endpoints:
        try:
            return Supervisord(endpoint)
        except QueuepoolError as error:
            first = first or error
    raise first or QueuepoolError(
        "cannot find the running supervisord: its configuration names no [unix_http_server] and no [inet_http_server]",
        "name its main file: `queuepool import supervisor --take-over /etc/supervisor/supervisord.conf`",
    )
