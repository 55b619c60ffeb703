"""Where the supervisord of a configuration answers, and with which password. PURE. Asking it is cli/takeover.py's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from queuepool.formats import supervisor_values as values
from queuepool.formats.supervisor_ini import Section
from queuepool.formats.supervisor_model import Config, Surroundings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of supervisord. path: its unix socket; None where it is host and port."""

    path: str | None
    host: str = "localhost"
    port: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path is not None else f"http://{self.host}:{self.port}"


def endpoints(config: Config, around: Surroundings) -> list[Endpoint]:
    """Every server of this configuration, unix sockets first. A password that stands there as its digest alone
    (`{SHA}...`) is taken from [supervisorctl]."""
    known: dict[str, str | int] = {"here": around.here, "host_node_name": around.host}
    known |= {f"ENV_{name}": value for name, value in around.environ.items()}
    client = next((one for one in config.others if one.name == "supervisorctl"), None)
    mine = _credentials(client, known) if client else (None, None)
    found = list(_unix(config, known, mine))
    for server in config.servers:
        host = "127.0.0.1" if server.host in ("", "0.0.0.0") else server.host  # noqa: S104 - it is connected to
        found.append(Endpoint(None, host, server.port, *(_usable(_credentials(server.section, known), mine))))
    return found


_Credentials = tuple[str | None, str | None]


def _unix(config: Config, known: Mapping[str, str | int], mine: _Credentials) -> Iterator[Endpoint]:
    for section in config.others:
        if section.name.partition(":")[0] == "unix_http_server" and (path := _text(section, "file", known)):
            username, password = _usable(_credentials(section, known), mine)
            yield Endpoint(path, username=username, password=password)


def _usable(theirs: _Credentials, mine: _Credentials) -> _Credentials:
    return mine if (theirs[1] or "").startswith("{SHA}") else theirs


def _credentials(section: Section, known: Mapping[str, str | int]) -> _Credentials:
    return _text(section, "username", known), _text(section, "password", known)


def _text(section: Section, option: str, known: Mapping[str, str | int]) -> str | None:
    """The value with everything filled in, None where that cannot be."""
    said = section.options.get(option)
    try:
        return values.template(said.value).render(known) if said else None
    except (KeyError, ValueError):
        return None
