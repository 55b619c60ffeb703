"""Asks the booted application what is true: runs probe.php with the program's PHP, user and environment and turns its
answer into an AppConfig. What can be known without PHP is app.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import pwd
import re
import secrets
import shlex
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from queuepool.errors import QueuepoolError
from queuepool.laravel.target import RedisTarget, php_int

PROBE = Path(__file__).with_name("probe.php")
_MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class QueueConnection:
    """An entry of queue.connections. queue: the default queue; SQS and custom drivers may have none. retry_after,
    block_for: seconds. connection: name of the Redis or database connection behind it."""

    driver: str
    queue: str | None = None
    retry_after: int | None = None
    block_for: int | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class AppConfig:
    """The configuration in force in a booted application.

    connections: queue connections by name. redis: Redis connections by name, clusters too. redis_client: phpredis or
    predis. scheduled: number of scheduled tasks, None when not asked for. down: maintenance mode. errors: what else
    went wrong while asking, in PHP's words.
    """

    laravel: str
    php: str
    extensions: frozenset[str]
    base_path: str
    storage_path: str
    environment: str
    default_connection: str | None
    connections: Mapping[str, QueueConnection]
    redis: Mapping[str, RedisTarget]
    redis_client: str
    horizon: bool
    horizon_version: str | None = None
    config_cached: bool = False
    down: bool = False
    scheduled: int | None = None
    errors: tuple[str, ...] = field(default=())

    def redis_of(self, connection: str | None = None) -> RedisTarget | None:
        """The Redis behind a queue connection (None: the default one); None when it is no Redis connection."""
        queue = self.connections.get(connection or self.default_connection or "")
        if queue is None or queue.driver != "redis":
            return None
        return self.redis.get(queue.connection or "default")


async def probe(
    php: tuple[str, ...],
    app: str,
    *,
    user: str | None = None,
    group: str | None = None,
    environment: Mapping[str, str],
    timeout: float = 20.0,  # noqa: ASYNC109 - bounds a process, which then is killed
    schedule: bool = False,
) -> AppConfig:
    """Boot the application in `app` as its workers are, and return its configuration.

    php: binary and its flags. user, group: names or numbers, needs root unless they are our own. environment: the whole
    environment of the process. timeout: seconds, then the process is killed. schedule: also count scheduled tasks,
    which runs the application's code that defines them.

    Raises QueuepoolError when there is no application, PHP cannot be run, or the application does not boot; the message
    has the first line of the exception, with file and line.
    """
    if not os.path.isfile(os.path.join(app, "artisan")):
        raise QueuepoolError(f"cannot ask the application in {app}: there is no artisan", "set `app:` to its directory")
    mark = f"queuepool-{secrets.token_hex(8)}:"
    flags = {"queuepool.mark": mark, **({"queuepool.schedule": "1"} if schedule else {})}
    with _readable_probe() as script:
        settings = {"auto_prepend_file": script, **flags}
        argv = [*php, *(part for key, value in settings.items() for part in ("-d", f"{key}={value}"))]
        argv += ["artisan", "--version", "--no-ansi"]
        process = _spawn(argv, app, user, group, environment)
        out, err = await _finish(process, app, timeout)
    facts = _answer(out, mark)
    if not facts.get("complete"):
        raise _failure(facts, err + b"\n" + out.partition(mark.encode())[0], process.returncode, php, app)
    return config_of(facts)


def config_of(facts: Mapping[str, Any]) -> AppConfig:
    """The AppConfig in probe.php's answer."""
    queue, redis = facts["queue"], facts["redis"]
    return AppConfig(
        laravel=str(facts["laravel"]),
        php=str(facts["php"]),
        extensions=frozenset(facts["extensions"]),
        base_path=str(facts["base"]),
        storage_path=str(facts["storage"]),
        environment=str(facts["environment"]),
        default_connection=queue["default"],
        connections={name: _queue_connection(dict(_items(entry))) for name, entry in _items(queue["connections"])},
        redis=_redis(redis, facts["laravel"]),
        redis_client=str(redis["client"]),
        horizon=bool(facts["horizon"]),
        horizon_version=facts["horizon_version"],
        config_cached=bool(facts["config_cached"]),
        down=bool(facts["down"]),
        scheduled=facts["scheduled"],
        errors=tuple(str(error) for error in facts["errors"]),
    )


def _queue_connection(entry: Mapping[str, Any]) -> QueueConnection:
    def seconds(key: str) -> int | None:
        return None if entry.get(key) is None else php_int(entry[key], 0)

    return QueueConnection(
        driver=str(entry.get("driver") or ""),
        queue=entry.get("queue"),
        retry_after=seconds("retry_after"),
        block_for=seconds("block_for"),
        connection=entry.get("connection"),
    )


def _redis(redis: Mapping[str, Any], laravel: str) -> dict[str, RedisTarget]:
    """Every connection with its options merged as PhpRedisConnector and PredisConnector do."""
    shared = dict(_items(redis["options"]))
    own_prefix_wins = _version(laravel) >= (9, 12)
    targets = {}
    for kind in ("connections", "clusters"):
        for name, entry in _items(redis[kind]):
            options = dict(_items(entry))
            own = dict(_items(options.pop("options", None)))
            prefix = options.get("prefix") if own_prefix_wins else None
            if redis["client"] == "predis":  # there the options are the client's, and cannot say where the server is
                merged = {**options, "prefix": {**shared, **own}.get("prefix")}
            else:
                merged = {**options, **{key: value for key, value in shared.items() if key != "options"}, **own}
            if prefix is not None:
                merged["prefix"] = prefix
            targets[name] = RedisTarget.from_options(merged, cluster=kind == "clusters")
    return targets


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a PHP array: an empty one arrives as a JSON list."""
    return iter(value.items() if isinstance(value, dict) else ())


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@contextlib.contextmanager
def _readable_probe() -> Iterator[str]:
    """A copy of probe.php that any user can read: queuepool itself may be installed where only root looks."""
    with tempfile.TemporaryDirectory(prefix="queuepool-probe-") as directory:
        path = os.path.join(directory, "probe.php")
        Path(path).write_bytes(PROBE.read_bytes())
        os.chmod(path, 0o644)
        os.chmod(directory, 0o755)  # noqa: S103 - holds nothing secret
        yield path


def _spawn(
    argv: list[str], app: str, user: str | None, group: str | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    identity = _identity(user, group)
    try:
        return subprocess.Popen(
            argv,
            cwd=app,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **identity,
        )
    except OSError as error:
        raise QueuepoolError(
            f"cannot run {argv[0]} in {app}: {error.strerror}", "set `php:` to the PHP of the command line"
        ) from None


def _identity(user: str | None, group: str | None) -> dict[str, Any]:
    """The arguments of Popen that make the process this user's; none when nothing changes."""
    if user is None and group is None:
        return {}
    try:
        entry = _entry(user)
        gid = entry.pw_gid if group is None else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise QueuepoolError(
            f"cannot run as {user or group}: there is no such user or group", "set `user:` to one of `getent passwd`"
        ) from None
    if os.geteuid() != 0:
        if entry.pw_uid == os.geteuid() and gid == os.getegid():
            return {}
        raise QueuepoolError(f"cannot run as {user or group}: only root may", "use sudo")
    return {"user": entry.pw_uid, "group": gid, "extra_groups": os.getgrouplist(entry.pw_name, gid)}


def _entry(user: str | None) -> pwd.struct_passwd:
    if user is None:
        return pwd.getpwuid(os.geteuid())
    return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)


async def _finish(process: subprocess.Popen[bytes], app: str, seconds: float) -> tuple[bytes, bytes]:
    """Both outputs, once the process is gone; when that takes too long, or we are cancelled, its session is killed."""
    stdout, stderr = process.stdout, process.stderr
    assert stdout is not None, "made with a pipe"
    assert stderr is not None, "made with a pipe"
    try:
        async with asyncio.timeout(seconds), _reader(stdout) as out, _reader(stderr) as err:
            texts = await asyncio.gather(_read(out), _read(err))
            while process.poll() is None:  # noqa: ASYNC110 - both outputs are closed, so it is about to end
                await asyncio.sleep(0.002)
        return texts[0], texts[1]
    except TimeoutError:
        raise QueuepoolError(
            f"cannot ask the application in {app}: artisan did not end within {seconds:g} s",
            f"see where it hangs: cd {shlex.quote(app)} && php artisan --version",
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stdout.close()
        stderr.close()


@contextlib.asynccontextmanager
async def _reader(pipe: IO[bytes]) -> AsyncIterator[asyncio.StreamReader]:
    # asyncio's own subprocesses would do, but on Python 3.11 they start a thread for each.
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        yield reader
    finally:
        transport.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """All of it; what goes beyond a limit is read and dropped, so that a babbling application cannot fill memory."""
    kept = bytearray()
    while chunk := await reader.read(65536):
        kept += chunk
        if len(kept) > _MOST_BYTES:
            del kept[: len(kept) - _MOST_BYTES]  # the answer comes last
    return bytes(kept)


def _answer(out: bytes, mark: str) -> dict[str, Any]:
    _, found, line = out.rpartition(mark.encode())
    if not found:
        return {}
    try:
        facts = json.loads(line.split(b"\n", 1)[0])
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _failure(facts: Mapping[str, Any], said: bytes, code: int, php: tuple[str, ...], app: str) -> QueuepoolError:
    hint = f"see all of it: cd {shlex.quote(app)} && {shlex.join(php)} artisan --version"
    failure = facts.get("failure")
    if failure:
        message, file, line = failure["message"], failure["file"], failure["line"]
        first = next(iter(str(message).strip().splitlines()), "") or str(failure["class"])
        first = re.sub(r"^(PHP )?(Uncaught )", "", first)
        first = first.removesuffix(f" in {file}:{line}")
        inside = os.path.relpath(file, os.path.realpath(app)) if file else ""
        where = file if not inside or inside.startswith("..") else inside
        return QueuepoolError(f"cannot boot the application in {app}: {first} ({where}:{line})", hint)
    # Its first line alone: the second of "The environment file is invalid!" may quote a password.
    lines = (line.strip() for line in said.decode(errors="replace").splitlines())
    first = next((line for line in lines if line), "it said nothing")
    return QueuepoolError(f"cannot boot the application in {app}: {first} (exit code {code})", hint)
