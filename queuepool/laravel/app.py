"""An application on disk: what its files tell without running PHP. It only reads. What a file cannot tell for sure,
since real environment variables and config/ may say otherwise, probe.py asks the booted application."""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from queuepool.laravel import dotenv
from queuepool.laravel.redisconfig import address_options
from queuepool.laravel.target import RedisTarget, php_int

DEBIAN_FRAMEWORK = Path("/usr/share/php/Illuminate/Foundation/Application.php")
"""Where Debian's package php-laravel-framework keeps the framework."""


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What the files of an application tell.

    root: as given, absolute; a `current` symlink stays one. release: its real path. artisan: whether it is there.
    laravel: the framework's version, and laravel_from the file that says so. horizon: its version, "" when it is
    required and not installed, None when the application does not use it. phpdotenv: version of what reads .env.
    queue_connection, queue, redis: a guess from .env alone, None where it says nothing. scheduler: whether tasks are
    scheduled. owner: the user whose storage/ it is, or whose artisan. problems: sentences about files that could not be
    read.
    """

    root: str
    release: str
    artisan: bool
    laravel: str | None = None
    laravel_from: str | None = None
    horizon: str | None = None
    environment_file: bool = False
    phpdotenv: str | None = None
    queue_connection: str | None = None
    queue: str | None = None
    redis: RedisTarget | None = None
    scheduler: bool = False
    owner: str | None = None
    problems: tuple[str, ...] = field(default=())


def release(root: str) -> str:
    """The release that a worker started now would run: the real path behind `app:`."""
    return os.path.realpath(root)


def inspect(root: str, environment: Mapping[str, str] | None = None) -> AppFacts:
    """What the files in `root` tell. environment: of the workers; it wins over .env, as in Laravel.

    Never raises: what cannot be read is left out and named among the problems.
    """
    base = Path(os.path.abspath(root))
    problems: list[str] = []
    packages, source = _packages(base, problems)
    variables = variables_of(base, environment or {}, problems, packages.get("vlucas/phpdotenv"))
    laravel = packages.get("laravel/framework")
    if laravel is None and not (base / "vendor" / "autoload.php").is_file():
        laravel, source = _debian_version(), str(DEBIAN_FRAMEWORK)
    return AppFacts(
        root=str(base),
        release=release(root),
        artisan=(base / "artisan").is_file(),
        laravel=laravel,
        laravel_from=source if laravel else None,
        horizon=packages.get("laravel/horizon", _required(base, "laravel/horizon", problems)),
        environment_file=environment_file(base, environment or {}).is_file(),
        phpdotenv=packages.get("vlucas/phpdotenv"),
        queue_connection=dotenv.value(variables, "QUEUE_CONNECTION") or None,
        queue=dotenv.value(variables, "REDIS_QUEUE") or None,
        redis=_redis(variables, laravel),
        scheduler=_has_schedule(base, problems),
        owner=_owner(base),
        problems=tuple(problems),
    )


def _packages(base: Path, problems: list[str]) -> tuple[dict[str, str], str | None]:
    """Versions by package, from what is installed, else from what is locked."""
    for name in ("vendor/composer/installed.json", "composer.lock"):
        content = _json(base / name, problems)
        # Composer 1 wrote a bare list, Composer 2 an object with "packages"; so is composer.lock.
        listed = content.get("packages") if isinstance(content, dict) else content
        if isinstance(listed, list):
            entries = (entry for entry in listed if isinstance(entry, dict))
            return {str(e.get("name")): str(e.get("version", "")).removeprefix("v") for e in entries}, name
    return {}, None


def _required(base: Path, package: str, problems: list[str]) -> str | None:
    content = _json(base / "composer.json", problems)
    required = content.get("require") if isinstance(content, dict) else None
    return "" if isinstance(required, dict) and package in required else None


def _json(path: Path, problems: list[str]) -> object:
    text = _text(path, problems)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        problems.append(f"cannot read {path}: {error}")
        return None


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
        return None


def _debian_version() -> str | None:
    text = _text(DEBIAN_FRAMEWORK, []) or ""
    found = re.search(r"const VERSION = '([^']+)'", text)
    return found[1] if found else None


def environment_file(base: Path, environment: Mapping[str, str]) -> Path:
    """The .env that the application reads: `.env.NAME` when the real environment has APP_ENV=NAME and that file is
    there (LoadEnvironmentVariables)."""
    special = base / f".env.{environment.get('APP_ENV', '')}"
    return special if environment.get("APP_ENV") and special.is_file() else base / ".env"


def variables_of(
    base: Path, environment: Mapping[str, str], problems: list[str], parser: str | None = None
) -> Mapping[str, str]:
    """Every variable that config/ sees; `environment` alone, and a problem more, where the file cannot be read.
    parser: version of phpdotenv, None when it is not known."""
    file = environment_file(base, environment)
    text = _text(file, problems)
    if text is None:
        return environment
    try:
        return dotenv.load(text, environment, _parser(parser))
    except dotenv.DotenvError as error:
        problems.append(f"cannot read {file}: {error}")
        return environment


def _parser(version: str | None) -> dotenv.Version:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version or "")
    if found:
        return int(found[1]), int(found[2]), int(found[3])
    return (99, 0, 0) if version else dotenv.USUAL  # a branch, dev-master, is newer than any version


def _redis(variables: Mapping[str, str], laravel: str | None) -> RedisTarget | None:
    if not any(name.startswith("REDIS_") for name in variables):
        return None
    options = redis_options(variables, "REDIS_DB", "0")
    return RedisTarget.from_options({**options, "prefix": redis_prefix(variables, laravel)})


def redis_options(variables: Mapping[str, str], database: str, default: str) -> dict[str, object]:
    """A connection of Laravel's own config/database.php with these variables, without the prefix. database: name of
    the variable for it."""

    def env(name: str) -> str | None:
        return dotenv.value(variables, name)

    options: dict[str, object] = {
        "host": env("REDIS_HOST"),
        "port": env("REDIS_PORT"),
        "username": env("REDIS_USERNAME"),
        "password": env("REDIS_PASSWORD"),
        "database": env(database) or default,
        "scheme": env("REDIS_SCHEME"),
    }
    return options | address_options(env("REDIS_URL") or "")  # it wins over the single variables


def redis_prefix(variables: Mapping[str, str], laravel: str | None) -> str:
    """The prefix of Redis in Laravel's own config/database.php."""
    given = dotenv.value(variables, "REDIS_PREFIX")
    return slug(variables, laravel, "database") if given is None else given


def slug(variables: Mapping[str, str], laravel: str | None, *ends: str) -> str:
    """The name of the application, as in the default prefixes: `my_app_database_`."""
    # laravel/laravel 12.1 changed the separators from `_` to `-`.
    mark = "-" if laravel is not None and php_int(laravel, 0) >= 13 else "_"
    words = re.findall(r"[a-z0-9]+", (dotenv.value(variables, "APP_NAME") or "laravel").lower())
    return mark.join([*words, *ends, ""])


_SCHEDULES = {
    "app/Console/Kernel.php": re.compile(r"\$schedule\s*->"),
    "routes/console.php": re.compile(r"\bSchedule::|->(?:daily|hourly|everyMinute|cron)\w*\("),
    "bootstrap/app.php": re.compile(r"->withSchedule\("),
}


def _has_schedule(base: Path, problems: list[str]) -> bool:
    """Whether a place where Laravel wants scheduled tasks has code for one."""
    for name, pattern in _SCHEDULES.items():
        code = _text(base / name, problems) or ""
        if pattern.search(
            re.sub(r"/\*.*?\*/|(?<![:'\"])//[^\n]*|^\s*#[^\n]*", "", code, flags=re.DOTALL | re.MULTILINE)
        ):
            return True
    return False


def _owner(base: Path) -> str | None:
    for name in ("storage", "artisan"):
        try:
            uid = (base / name).stat().st_uid
        except OSError:
            continue
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)
    return None
