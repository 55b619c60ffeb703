"""Why a Redis cannot be used now, in plain words. Only the words are here; ping.py and servers.py meet the errors."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from queuepool.laravel.target import RedisTarget


@dataclass(frozen=True, slots=True)
class Away:
    """A server that cannot be asked now. where: its address. why: a sentence that names it, such as `redis at
    127.0.0.1:6379 refuses connections`; it holds no secret."""

    where: str
    why: str

    @classmethod
    def because(cls, target: RedisTarget, words: str) -> Away:
        """The server of `target`, of which `words` are true."""
        return cls(target.where, f"redis at {target.where} {words}")


UNFIT = {
    "LOADING": "is loading its data",
    "MASTERDOWN": "is a replica that has lost its master",
    "BUSY": "is busy with a script",
    "ERR max number of clients": "has no connection left (maxclients)",
    "CLUSTERDOWN": "belongs to a cluster that is down",
}
"""Beginnings of error replies that say: not now."""

REFUSED = {
    "NOAUTH": "wants a password, and none is configured",
    "WRONGPASS": "does not accept the password",
    "ERR invalid password": "does not accept the password",
    "ERR AUTH": "has no password, but one is configured",
    "ERR Client sent AUTH": "has no password, but one is configured",
    "ERR DB index": "has no database of that number",
}
"""Beginnings of error replies that say: not you."""

NO_REDIS = "is no Redis: it answers in another language"


CLOSES = "closes connections"


def in_words(reply: str) -> str | None:
    """What an error reply says of the server as a whole, `is loading its data`; None when it is about one command."""
    return next((words for code, words in (UNFIT | REFUSED).items() if reply.startswith(code)), None)


def code_of(why: str) -> str:
    """The first word, or words, of the error reply that a reason comes from, `NOAUTH`; "" for any other reason."""
    return next((code for code, words in (UNFIT | REFUSED).items() if words in why), "")


def of_system(error: OSError) -> str:
    """What an error of the connection says: `refuses connections`."""
    match error:
        case TimeoutError():
            return "cannot be reached: it does not take the connection"
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message or error.reason}"
        case ssl.SSLError():
            return "does not speak TLS"
        case ConnectionRefusedError():
            return "refuses connections"
        case FileNotFoundError():
            return "is not there"
        case PermissionError():
            return "may not be opened by this user"
        case socket.gaierror():
            return f"cannot be found: {error.strerror}"
        case ConnectionResetError() | BrokenPipeError():
            return CLOSES
    return f"cannot be reached: {error.strerror or error}"
