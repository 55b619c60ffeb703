"""Asks a live supervisord, over its unix socket or TCP: for the take-over and for `engine: supervisord`. What is asked
of it is theirs to decide, where it answers formats/supervisor_endpoint.py's matter."""

from __future__ import annotations

import base64
import errno
import socket
import time
import xmlrpc.client
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

from queuepool.domain.states import State
from queuepool.errors import QueuepoolError
from queuepool.formats.supervisor_endpoint import Endpoint
from queuepool.formats.supervisor_sight import Info

if TYPE_CHECKING:
    from queuepool.formats.supervisor_takeover import There

TIMEOUT = 30.0
"""Seconds for one answer. Nothing is asked that supervisord answers only when a process has ended."""
SHUTDOWN_STATE, BAD_NAME, NO_FILE, NOT_EXECUTABLE, SPAWN_ERROR = 6, 10, 20, 21, 50
ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED, STILL_RUNNING, CANT_REREAD = 60, 70, 90, 91, 92
"""Faults of Supervisor (supervisor/xmlrpc.py)."""
LOG_BYTES = 131072
"""How much of the end of its log is read to learn how processes ended."""
SUCCESS = 80
STATE_RUNNING = 1
EXITED = 100
TURN_SECONDS = 1.5
"""supervisord looks about every second at what it has to start again."""


_REMEDIES = {
    errno.ECONNREFUSED: "it does not run: `systemctl start supervisor` starts it",
    errno.ENOENT: "it does not run, or listens elsewhere: `systemctl start supervisor` starts it",
    errno.EACCES: "run this as a user who may use its socket: `sudo queuepool ...`",
}
"""Why the connection to it fails -> what to type."""
_SOON = "wait until its processes have ended and `supervisorctl status` answers, then the same again"


class SupervisordAway(QueuepoolError):
    """supervisord does not answer, or not now: what was asked may or may not have been done."""


class CannotReread(QueuepoolError):
    """supervisord answers, but a file of its configuration cannot be used, ours or somebody else's."""


class SupervisordRefuses(QueuepoolError):
    """supervisord answers, but not to us."""


_STATES = {state.value: state for state in State}


class _Connection(HTTPConnection):
    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        super().__init__(endpoint.host, endpoint.port or 80, timeout=timeout)
        self._path = endpoint.path
        self._seconds = timeout

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        super().__init__(headers=_headers(endpoint))
        self._endpoint = endpoint
        self._timeout = timeout

    def make_connection(self, host: Any) -> HTTPConnection:
        kept: tuple[Any, Any] = self._connection
        if kept[1] is None or host != kept[0]:
            kept = self._connection = host, _Connection(self._endpoint, self._timeout)
        connection: HTTPConnection = kept[1]
        return connection


def _headers(endpoint: Endpoint) -> list[tuple[str, str]]:
    if endpoint.username is None or endpoint.password is None:
        return []
    pair = f"{endpoint.username}:{endpoint.password}".encode()
    return [("Authorization", "Basic " + base64.b64encode(pair).decode())]


class Supervisord:
    """One supervisord. Every method raises QueuepoolError when it refuses, SupervisordAway when it does not answer.
    timeout: seconds for one answer."""

    def __init__(self, endpoint: Endpoint, timeout: float = TIMEOUT) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._server = xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=_Transport(endpoint, timeout))
        self.version = str(self._ask("getSupervisorVersion"))
        state = self._ask("getState")
        if state.get("statecode") != STATE_RUNNING:
            raise SupervisordAway(
                f"cannot use supervisord at {endpoint}: it is {state.get('statename')}",
                _SOON,
            )
        if self._ask("getIdentification") == "queuepool":
            raise QueuepoolError(
                f"cannot use {endpoint}: queuepool answers there, not supervisord",
                "name the supervisord.conf of the supervisord that runs",
            )
        self.pid = int(self._ask("getPID"))

    def close(self) -> None:
        """Let the connection go."""
        self._server("close")()

    def processes(self) -> list[There]:
        """All its processes, in its order. One that has just ended and is about to be started again counts as that."""
        from queuepool.formats.supervisor_takeover import There

        waits = {(one["group"], one["name"]): one.get("stopwaitsecs") for one in self._ask("getAllConfigInfo")}
        if any(one["state"] == EXITED for one in self._ask("getAllProcessInfo")):
            time.sleep(TURN_SECONDS)
        return [
            There(str(one["group"]), str(one["name"]), int(one["state"]), waits.get((one["group"], one["name"])))
            for one in self._ask("getAllProcessInfo")
        ]

    def infos(self) -> list[Info]:
        """All its processes, in its order."""
        return [
            Info(
                str(one["group"]),
                str(one["name"]),
                _STATES.get(int(one["state"]), State.UNKNOWN),
                int(one["pid"]) or None,
                float(one["start"]),
                float(one["now"]),
                int(one["exitstatus"]) if int(one["state"]) == EXITED else None,
                str(one["spawnerr"] or ""),
            )
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
            self._ask("stopProcess", name, False, fine=(NOT_RUNNING,), else_=(None,))

    def start(self, name: str) -> None:
        """Start a process, and do not wait for it."""
        self._ask("startProcess", name, False, fine=(ALREADY_STARTED,), else_=(None,))

    def reload(self) -> None:
        """Let it read its files; no process is touched."""
        self._ask("reloadConfig")

    def add(self, group: str) -> bool:
        """Let it have a group of its files; False when they hold none of that name."""
        return self._ask("addProcessGroup", group, fine=(ALREADY_ADDED, BAD_NAME), else_=(True, False)) is not False

    def remove(self, group: str) -> bool:
        """Let it forget a group that does not run; False when it runs."""
        return self._ask("removeProcessGroup", group, fine=(BAD_NAME, STILL_RUNNING), else_=(True, False)) is not False

    def try_start(self, name: str) -> str:
        """Start a process, and do not wait for it; what is wrong with its command, or ""."""
        answer = self._ask(
            "startProcess", name, False, fine=(ALREADY_STARTED, NO_FILE, NOT_EXECUTABLE, SPAWN_ERROR, BAD_NAME),
            else_=("", "there is no such file", "it may not be executed", "it cannot be started", "it is not there"),
        )  # fmt: skip
        return answer if isinstance(answer, str) else ""

    def try_stop(self, name: str) -> None:
        """Tell a process to stop, and do not wait for it."""
        self._ask("stopProcess", name, False, fine=(NOT_RUNNING, BAD_NAME), else_=(None, None))

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process that runs."""
        self._ask("signalProcess", name, str(number), fine=(NOT_RUNNING, BAD_NAME), else_=(None, None))

    def log(self) -> str:
        """The end of its own log; "" where it keeps none."""
        try:
            return str(self._ask("readLog", -LOG_BYTES, 0))
        except SupervisordAway:
            raise
        except QueuepoolError:
            return ""

    def _ask(self, method: str, *args: Any, fine: tuple[int, ...] = (), else_: tuple[Any, ...] = ()) -> Any:
        """The answer; where the fault is one that is `fine`, what `else_` has for it."""
        try:
            return getattr(self._server.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in fine:
                return else_[fine.index(fault.faultCode)]
            if fault.faultCode == SHUTDOWN_STATE:
                raise SupervisordAway(
                    f"cannot ask supervisord at {self.endpoint}: it is shutting down or restarting", _SOON
                ) from None
            if fault.faultCode == CANT_REREAD:
                raise CannotReread(
                    f"supervisord at {self.endpoint} cannot read its files: {str(fault.faultString)[:300]}",
                    "mend that file; `supervisorctl reread` checks it",
                ) from None
            about = f"{method} {args[0]}" if args else method
            raise self._refused(f"do {about}", str(fault.faultString)) from None
        except xmlrpc.client.ProtocolError as error:
            if error.errcode == 401:
                raise SupervisordRefuses(
                    f"cannot ask supervisord at {self.endpoint}: it wants another username and password",
                    "restart it so that it has those of its files, or correct the files",
                ) from None
            raise self._away(f"HTTP {error.errcode}") from None
        except TimeoutError:
            self.close()
            raise self._away(f"it did not answer within {self._timeout:g} s") from None
        except OSError as error:
            raise self._away(error.strerror or str(error) or type(error).__name__, error.errno or 0) from None
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

    def _away(self, why: str, code: int = 0) -> SupervisordAway:
        return SupervisordAway(
            f"cannot ask supervisord at {self.endpoint}: {why}",
            _REMEDIES.get(code, "`supervisorctl status` shows whether it answers"),
        )


def reach(endpoints: Sequence[Endpoint], timeout: float = TIMEOUT) -> Supervisord:
    """The first of these that answers. Raises QueuepoolError, what the first one said, when none does."""
    first: QueuepoolError | None = None
    for endpoint in endpoints:
        try:
            return Supervisord(endpoint, timeout)
        except QueuepoolError as error:
            first = first or error
    raise first or QueuepoolError(
        "cannot find the running supervisord: its configuration names no [unix_http_server] and no [inet_http_server]",
        "name its main file: `queuepool import supervisor --take-over /etc/supervisor/supervisord.conf`",
    )
