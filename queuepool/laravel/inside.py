"""Asks a booted application what only it can know and the daemon has no need of: inside.php's answer as values. Its
configuration is probe.py's matter."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from queuepool.laravel.probe import ask

SCRIPT = Path(__file__).with_name("inside.php")


@dataclass(frozen=True, slots=True)
class Table:
    """A database table that workers need. use: queue, failed or cache. name: of the queue connection, the failed-job
    driver or the cache store. connection: of the database, with its driver; path: of an SQLite file. why: what came of
    asking for the table, in PHP's words; "" when the database answered."""

    use: str
    name: str
    connection: str
    table: str
    driver: str = ""
    path: str = ""
    there: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Inside:
    """key: whether APP_KEY is given. options: what each artisan command takes, without dashes; a command that does not
    exist is absent."""

    key: bool = True
    options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()


async def inside(
    php: tuple[str, ...],
    app: str,
    connections: Sequence[str],
    *,
    user: str | None,
    group: str | None,
    environment: Mapping[str, str],
    timeout: float = 10.0,  # noqa: ASYNC109 - bounds a process, which then is killed
) -> Inside:
    """Boot the application and ask it. connections: of the queues that matter, "" for the default one. The rest,
    and what is raised, is as for probe.probe()."""
    names = base64.b64encode(json.dumps(list(connections)).encode()).decode()
    facts = await ask(
        SCRIPT, {"connections": names}, php, app, user=user, group=group, environment=environment, timeout=timeout
    )
    return inside_of(facts)


def inside_of(facts: Mapping[str, Any]) -> Inside:
    """The answer of inside.php as values."""
    options = facts.get("options")
    return Inside(
        key=bool(facts.get("key", True)),
        options={
            str(name): frozenset(map(str, known))
            for name, known in (options.items() if isinstance(options, dict) else ())
        },
        tables=tuple(Table(**entry) for entry in facts.get("tables") or ()),
    )
