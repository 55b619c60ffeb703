"""`init`: writes queuepool.yml for the Laravel application here. It asks the application, its files, Redis and cron;
the text itself is config/starter.py's."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from queuepool.cli.context import context_of
from queuepool.config.starter import MOST_QUEUES, Facts, by_urgency, starter
from queuepool.errors import QueuepoolError, UsageError
from queuepool.laravel.app import AppFacts, inspect

if TYPE_CHECKING:
    from queuepool.laravel.probe import AppConfig
    from queuepool.laravel.target import RedisTarget

PHP_NAMES = ("php", *(f"php{v}" for v in ("8.5", "8.4", "8.3", "8.2", "8.1", "8.0", "7.4", "7.3", "7.2")))
SERVICE_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where a worker looks for `php`; one found elsewhere is written with its whole path."""
CRONTABS = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*")
_CONFIGURED_BY = ("APP_KEY", "APP_ENV", "QUEUE_CONNECTION", "REDIS_HOST", "REDIS_URL", "DB_HOST", "DATABASE_URL")
_MOST_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: facts for the text, and (subject, sentence) for the person."""

    facts: Facts
    said: tuple[tuple[str, str], ...]


@click.command()
@click.argument("directory", default=".", type=click.Path(path_type=Path))
@click.option("--print", "only_print", is_flag=True, help="Print the text and write nothing.")
@click.pass_context
def init(ctx: click.Context, directory: Path, only_print: bool) -> None:
    """Write queuepool.yml for the Laravel application here. It reads the application's real configuration, finds
    Horizon, the scheduler, the queues, PHP and the user, and never overwrites a file."""
    config = context_of(ctx).config
    target = Path(config) if config else directory / "queuepool.yml"
    if not (directory / "artisan").is_file():
        raise UsageError(
            f"cannot find a Laravel application in {directory.absolute()}: there is no artisan",
            "name its directory: `queuepool init /srv/app`",
        )
    if not only_print and os.path.lexists(target):
        raise UsageError(
            f"cannot write {target}: it is there already, and init never overwrites a file",
            "see what it would write: `queuepool init --print`",
        )
    findings = look(directory, target.parent, os.environ)
    text = starter(findings.facts)
    if only_print:
        click.echo(text, nl=False)
    else:
        _write(target, text)
        click.echo(f"wrote {target}")
    _tell(findings, target, err=only_print)


def look(directory: Path, beside: Path, environ: Mapping[str, str]) -> Findings:
    """Everything that can be found out about the application. beside: where the file will be. Never raises for an
    application that does not boot: then .env tells, and the findings say so."""
    app = inspect(str(directory))
    by_environment = not app.environment_file and any(name in environ for name in _CONFIGURED_BY)
    user, unfit_user = _user(app)
    php = next((name for name in PHP_NAMES if shutil.which(name, path=environ.get("PATH"))), None)
    found_php = shutil.which(php, path=environ.get("PATH")) if php else None
    facts = Facts(
        laravel=app.laravel,
        app=os.path.relpath(app.root, os.path.abspath(beside)),
        php=_php_for_file(php, found_php),
        user=user,
        unfit_user=unfit_user,
        connection=app.queue_connection,
        driver=app.queue_connection,
        queues=(app.queue,) if app.queue else (),
        horizon=app.horizon is not None,
        scheduled=app.scheduler,
        cron=_cron(app),
        clear_env=not by_environment,
    )
    said = [("user", _say_user(user, unfit_user))]
    redis: RedisTarget | None = app.redis if app.queue_connection == "redis" else None
    try:
        if found_php is None:
            raise QueuepoolError("cannot find php", "")
        config = _ask((found_php,), app, user, environ if by_environment else _clean(environ, user))
    except QueuepoolError as error:
        facts = replace(facts, notes=(f"{error.message}. So this file rests on .env alone; look it over.",))
        source = f"Laravel {app.laravel or 'of unknown version'}; {error.message}, so .env was read instead"
    else:
        facts, redis = _with_config(facts, config), config.redis_of()
        source = f"Laravel {config.laravel}, PHP {config.php} (asked the application itself)"
    said.insert(0, ("application", source))
    for problem in app.problems:
        said.append(("problem", problem))
    if redis is not None:
        found = queues_in_redis(redis)
        where = f"redis at {redis.where}"
        if found is None:
            said.append(("redis", f"{where} does not answer; queues that are in use could not be looked for"))
        facts = replace(facts, queues=(*facts.queues, *(found or ())))
    if not facts.queues and not facts.horizon:
        facts = replace(facts, queues=("default",))
    return Findings(facts, (*said, *_say_rest(facts)))


def _with_config(facts: Facts, config: AppConfig) -> Facts:
    name = config.default_connection
    notes = facts.notes
    queue = config.connections.get(name or "")
    if queue is None or queue.driver in ("sync", "null", ""):
        # Such a connection has no queue to work on: queue:work would wait for ever without a word.
        other = next((n for n, c in config.connections.items() if c.driver == "redis"), None)
        notes = (*notes, f"QUEUE_CONNECTION is {name}: jobs run inside the web request, and workers get none. "
                 f"Set it to {other or 'redis or database'} in .env.")  # fmt: skip
        name, queue = other, config.connections.get(other or "")
    return replace(
        facts,
        laravel=config.laravel,
        connection=name,
        driver=queue.driver if queue else None,
        queues=(queue.queue,) if queue and queue.queue else (),
        retry_after=queue.retry_after if queue else None,
        block_for=queue.block_for if queue else None,
        horizon=config.horizon,
        scheduled=bool(config.scheduled) if config.scheduled is not None else facts.scheduled,
        notes=notes,
    )


def _ask(php: tuple[str, ...], app: AppFacts, user: str | None, environment: Mapping[str, str]) -> AppConfig:
    from queuepool.laravel.probe import probe

    return asyncio.run(probe(php, app.root, user=user, environment=environment, schedule=True))


def queues_in_redis(target: RedisTarget, seconds: float = 2.0) -> tuple[str, ...] | None:
    """Names of the queues that have keys in this Redis; None when it does not answer. seconds: for each answer."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
    from redis.retry import Retry

    if target.cluster:
        return ()  # each node has some of the keys, and the queue's own name is known without them
    start = target.prefix + "queues:"
    pattern = re.sub(r"([\\*?\[\]^])", r"\\\1", start) + "*"
    client = Redis(
        host=target.host, port=target.port, unix_socket_path=target.path, db=target.db, username=target.username,
        password=target.password, ssl=target.tls, socket_timeout=seconds, socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0), encoding_errors="replace", decode_responses=True,
    )  # fmt: skip
    names: set[str] = set()
    try:
        for number, key in enumerate(client.scan_iter(match=pattern, count=1000)):
            names.add(re.sub(r":(delayed|reserved|notify)\Z", "", key[len(start) :]))
            if number > _MOST_KEYS:
                break
    except (RedisError, OSError, ValueError):
        return None
    finally:
        client.close()
    # A name with a comma or blanks cannot be given to queue:work, and is more likely no queue at all.
    return tuple(sorted(name for name in names if re.fullmatch(r"[^\s,\x00-\x1f\x7f]+", name)))


def _user(app: AppFacts) -> tuple[str | None, str | None]:
    """(user for the workers, user that would do once storage/ is given to it). Only root can run them as another."""
    if os.geteuid() != 0:
        return None, None
    if app.owner not in (None, "root"):
        return app.owner, None
    try:
        web = pwd.getpwnam("www-data")
        storage = os.stat(os.path.join(app.root, "storage"))
    except (KeyError, OSError):
        return None, None
    mode = storage.st_mode
    writable = mode & 0o002 or (mode & 0o020 and storage.st_gid in os.getgrouplist("www-data", web.pw_gid))
    return ("www-data", None) if writable else (None, "www-data")


def _php_for_file(name: str | None, path: str | None) -> tuple[str, ...] | None:
    if name is None or path is None:
        return None
    if os.path.dirname(path) not in SERVICE_PATH:
        return (path,)
    return None if name == "php" else (name,)


def _clean(environ: Mapping[str, str], user: str | None) -> dict[str, str]:
    """What a worker would see: see `clear_env` of the file."""
    entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    kept = {name: environ[name] for name in ("PATH", "LANG") if name in environ}
    return {**kept, "HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": "/bin/sh"}


def _cron(app: AppFacts) -> str | None:
    """The crontab that runs this application's scheduler, where we may read it."""
    for path in _crontabs():
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if "schedule:run" in line and not line.lstrip().startswith("#") and _is_about(line, app):
                return str(path)
    return None


def _is_about(line: str, app: AppFacts) -> bool:
    paths = re.findall(r"/[^\s;&|\"']+", line)
    roots = {app.root, app.release}
    return any(os.path.realpath(path).removesuffix("/artisan") in roots for path in paths)


def _crontabs() -> Iterator[Path]:
    for pattern in CRONTABS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))


def _write(target: Path, text: str) -> None:
    try:
        # "x": another init that was faster is not overwritten either.
        with open(target, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"cannot write {target}: it is there already", "see it with `queuepool config show`") from None
    except OSError as error:
        raise QueuepoolError(
            f"cannot write {target}: {error.strerror}", "print it instead: `queuepool init --print > FILE`"
        ) from None


def _say_user(user: str | None, unfit_user: str | None) -> str:
    if user is not None:
        return f"{user} (can write storage/)"
    if unfit_user is not None:
        return f"root, for storage/ belongs to root; better {unfit_user}: see the comment in the file"
    return f"{_clean({}, None)['USER']}, who runs queuepool"


def _say_rest(facts: Facts) -> Iterator[tuple[str, str]]:
    queues = by_urgency(facts.queues)
    if facts.horizon:
        yield "workers", "Horizon runs them"
    else:
        names = ", ".join(queues[:MOST_QUEUES]) + (", ..." if len(queues) > MOST_QUEUES else "")
        yield "queues", f"{names} on {facts.connection or 'the default connection'}"
    if facts.scheduled:
        yield (
            "scheduler",
            f"run by cron ({facts.cron}); left there" if facts.cron else "added; do not run it by cron too",
        )
    else:
        yield "scheduler", "nothing is scheduled"
    for note in facts.notes:
        yield "note", note


def _tell(findings: Findings, target: Path, *, err: bool) -> None:
    width = max(len(subject) for subject, _ in findings.said)
    for subject, sentence in findings.said:
        click.echo(f"  {subject:<{width}}  {sentence}", err=err)
    if not err:
        here = target.absolute().parent == Path.cwd() and target.name == "queuepool.yml"
        click.echo("next: queuepool up" if here else f"next: queuepool -c {target} up")
