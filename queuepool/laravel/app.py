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
    required and not installed, None when the application does not use it. queue_connection, queue, redis: a guess from
    .env alone, None where it says nothing. scheduler: whether tasks are scheduled. owner: the user whose storage/ it
    is, or whose artisan. problems: sentences about files that could not be read.
    """

    root: str
    release: str
    artisan: bool
    laravel: str | None = None
    laravel_from: str | None = None
    horizon: str | None = None
    environment_file: bool = False
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
    variables = _environment(base, environment or {}, packages.get("vlucas/phpdotenv"), problems)
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
        environment_file=(base / ".env").is_file(),
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


def _environment(
    base: Path, environment: Mapping[str, str], phpdotenv: str | None, problems: list[str]
) -> Mapping[str, str]:
    """What .env and `environment` say together. phpdotenv: its version, where that is known."""
    text = _text(base / ".env", problems)
    if text is None:
        return environment
    try:
        found = re.match(r"(\d+)\.(\d+)", phpdotenv or "")
        return dotenv.load(text, environment, (int(found[1]), int(found[2])) if found else dotenv.NEWEST)
    except dotenv.DotenvError as error:
        problems.append(f"cannot read {base / '.env'}: {error}")
        return environment


def _redis(variables: Mapping[str, str], laravel: str | None) -> RedisTarget | None:
    """The default Redis connection of Laravel's own config/database.php with these variables."""
    if not any(name.startswith("REDIS_") for name in variables):
        return None

    def env(name: str) -> str | None:
        return dotenv.value(variables, name)

    prefix = env("REDIS_PREFIX")
    if prefix is None:
        # laravel/laravel 12.1 changed the separators from `_` to `-`.
        mark = "-" if laravel is not None and php_int(laravel, 0) >= 13 else "_"
        words = re.findall(r"[a-z0-9]+", (env("APP_NAME") or "laravel").lower())
        prefix = mark.join([*words, "database", ""])
    options: dict[str, object] = {
        "host": env("REDIS_HOST"),
        "port": env("REDIS_PORT"),
        "username": env("REDIS_USERNAME"),
        "password": env("REDIS_PASSWORD"),
        "database": env("REDIS_DB"),
        "scheme": env("REDIS_SCHEME"),
        "prefix": prefix,
    }
    options |= address_options(env("REDIS_URL") or "")  # it wins over the single variables
    return RedisTarget.from_options(options)


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
