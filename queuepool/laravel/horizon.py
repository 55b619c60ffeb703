"""Reads what Laravel Horizon keeps about itself in Redis. What that means is domain/horizon.py's matter.

The keys, behind horizon.prefix, which stands in place of the Redis connection's own prefix (src/Horizon.php, `use`),
are those of src/Repositories/RedisMasterSupervisorRepository.php and RedisSupervisorRepository.php: sorted sets
`masters` and `supervisors` (name -> unix time of the last beat), and hashes `master:NAME` (expires 15 s after the last
beat) and `supervisor:NAME` (30 s). They are the same from Horizon 3 to 5.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from queuepool.domain.horizon import HorizonView, Master, Options, Supervisor
from queuepool.laravel.away import Away
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command

MOST_MASTERS = 64
MOST_SUPERVISORS = 512
_MOST_NAME = 500
_MOST_TEXT = 65_536
_MOST_QUEUES = 200
_MASTER_SECONDS = 15.0
_SUPERVISOR_SECONDS = 30.0
_MASTER = ("name", "pid", "status", "supervisors", "environment")
_SUPERVISOR = ("name", "master", "pid", "status", "processes", "options")


async def read(servers: Servers, target: RedisTarget, now: float | None = None) -> HorizonView | Away:
    """Every master and supervisor that Redis knows, dead ones included, the newest beats first; Away when Redis cannot
    be asked.

    target: Horizon's own, with its prefix (HorizonConfig.redis). now: unix seconds. Two round trips, of two commands
    for each master and supervisor; more of them than there can be are left out. What is not of Horizon's form is left
    out too, whatever bytes are there.
    """
    now = time.time() if now is None else now
    prefix = target.prefix.encode("utf-8", "replace")
    names = await servers.ask(
        target,
        [
            ("ZREVRANGE", prefix + b"masters", 0, MOST_MASTERS - 1, "WITHSCORES"),
            ("ZREVRANGE", prefix + b"supervisors", 0, MOST_SUPERVISORS - 1, "WITHSCORES"),
        ],
    )
    if isinstance(names, Away):
        return names
    masters, supervisors = (_scores(answer) for answer in names)
    asked: list[tuple[bytes, bytes, float, tuple[str, ...], float]] = []
    asked += [(b"master:", name, beat, _MASTER, _MASTER_SECONDS) for name, beat in masters]
    asked += [(b"supervisor:", name, beat, _SUPERVISOR, _SUPERVISOR_SECONDS) for name, beat in supervisors]
    if not asked:
        return HorizonView()
    commands: list[Command] = []
    for kind, name, _, fields, _ in asked:
        commands += [("HMGET", prefix + kind + name, *fields), ("PTTL", prefix + kind + name)]
    answers = await servers.ask(target, commands)
    if isinstance(answers, Away):
        return answers
    found: list[Master | Supervisor] = []
    for (kind, name, beat, fields, seconds), hash_, left in zip(asked, answers[::2], answers[1::2], strict=True):
        text = name.decode("utf-8", "replace")
        values = _values(fields, hash_)
        age = _age(left, seconds, beat, now)
        found.append(_master(text, values, age) if kind == b"master:" else _supervisor(text, values, age))
    return HorizonView(
        tuple(one for one in found if isinstance(one, Master)),
        tuple(one for one in found if isinstance(one, Supervisor)),
    )


def _scores(answer: object) -> list[tuple[bytes, float]]:
    """Members and scores, as either version of Redis' protocol gives them."""
    pairs = answer if isinstance(answer, list) else []
    if pairs and not isinstance(pairs[0], list | tuple):
        pairs = list(zip(pairs[::2], pairs[1::2], strict=False))
    found = []
    for pair in pairs:
        name, score = (*pair, None)[:2] if pair else (None, None)
        if isinstance(name, bytes) and 0 < len(name) <= _MOST_NAME:
            found.append((name, _float(score)))
    return found


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0


def _age(left: object, lasts: float, beat: float, now: float) -> float | None:
    """Seconds since the last beat. The time that a hash has left is Redis' own clock, so it needs no agreement of
    clocks; when the hash is gone, the time that the beating host wrote down has to do."""
    if isinstance(left, int) and left >= 0:
        return round(max(0.0, lasts - left / 1000), 1)
    age = now - beat
    return round(max(age, lasts), 1) if 0 < beat <= 1e11 else None


def _values(fields: Sequence[str], answer: object) -> dict[str, str]:
    values = answer if isinstance(answer, list) else []
    found = {}
    for field, value in zip(fields, values, strict=False):
        if isinstance(value, bytes) and len(value) <= _MOST_TEXT:
            found[field] = value.decode("utf-8", "replace")
    return found


def _master(name: str, values: Mapping[str, str], age: float | None) -> Master:
    supervisors = _json(values.get("supervisors"))
    return Master(
        name=name,
        pid=_pid(values.get("pid")),
        status=_status(values),
        age=age,
        environment=values.get("environment") or None,
        supervisors=tuple(map(str, supervisors[:MOST_SUPERVISORS])) if isinstance(supervisors, list) else (),
    )


def _supervisor(name: str, values: Mapping[str, str], age: float | None) -> Supervisor:
    options = _object(values.get("options"))
    connection = _word(options.get("connection")) or ""
    processes = []
    for key, count in list(_object(values.get("processes")).items())[:_MOST_QUEUES]:
        shown = key.removeprefix(f"{connection}:") if connection else key
        processes.append((shown, _int(count) or 0))
    queues = _word(options.get("queue")) or ",".join(queue for queue, _ in processes)
    return Supervisor(
        name=name,
        master=values.get("master") or name.rpartition(":")[0],
        pid=_pid(values.get("pid")),
        status=_status(values),
        age=age,
        connection=connection,
        queues=tuple(queue for queue in queues.split(",")[:_MOST_QUEUES] if queue),
        processes=tuple(processes),
        options=Options(
            balance=balance if (balance := options.get("balance")) in ("auto", "simple") else "off",
            strategy=_word(options.get("autoScalingStrategy")),
            min_processes=_int(options.get("minProcesses")),
            max_processes=_int(options.get("maxProcesses")),
            timeout=_int(options.get("timeout")),
        ),
    )


def _status(values: Mapping[str, str]) -> str:
    status = values.get("status", "")
    return status if status in ("running", "paused") else ""


def _json(text: str | None) -> object:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def _object(text: str | None) -> dict[str, Any]:
    value = _json(text)
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _int(value: object) -> int | None:
    """A whole number from 0 up; Horizon writes most of them as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _pid(value: str | None) -> int | None:
    return _int(value) or None
