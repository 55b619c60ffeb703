"""Looks at the files of an application, as ourselves. It only reads, and of a large application only so much."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from queuepool.doctor.facts.application import FilesFacts
from queuepool.doctor.looks.tries import shown
from queuepool.laravel.app import environment_file
from queuepool.laravel.composer import composer
from queuepool.laravel.config import AppConfig

MOST_FILES, MOST_BYTES, MOST_SECONDS = 3000, 512 * 1024, 2.0
"""Of the application's code that is searched for env()."""
LARGEST_CACHE = 8 * 1024 * 1024
MOST_SHOWN = 5

_PLACES = re.compile(
    r"'(/[^'\n]*?)/(?:storage/(?:app|logs|framework)|resources/(?:views|lang)|database/\w+\.sqlite|bootstrap/cache)(?=['/])"
)
_ENV_CALL = re.compile(r"(?<![\w$>:\\'\"])\\?env\(\s*['\"]([\w.]+)['\"]")
_COMMENT = re.compile(r"/\*.*?\*/|(?<![:'\"])//[^\n]*|^\s*#[^\n]*", re.DOTALL | re.MULTILINE)


def look(root: str, config: AppConfig | None, environment: Mapping[str, str]) -> FilesFacts:
    """What is there. environment: of the workers. It blocks."""
    base = Path(root)
    if not base.is_dir():
        target = str(base.readlink()) if base.is_symlink() and not base.exists() else ""
        releases = base.parent.joinpath(target).parent if target else None
        beside = _releases(releases) if releases else _beside(base)
        blocked = next((str(part) for part in (base, *base.parents) if part.exists() and not part.is_dir()), "")
        return FilesFacts(
            there=False, dangling=target, blocked=blocked, artisan=False, vendor=False, beside=tuple(beside)
        )
    env = (config.environment_file if config else "") or str(environment_file(base, environment))
    cached = config.caches["config"].path if config and "config" in config.caches else ""
    artisan = (base / "artisan").is_file()
    return FilesFacts(
        artisan=artisan,
        vendor=(base / "vendor/autoload.php").is_file(),
        beside=() if artisan else tuple(_beside(base)),
        composer=composer(root),
        environment_shown=shown(env),
        environment_open=_open_to_all(env),
        cache_real=os.path.realpath(config.cache.path) if config and config.cache and config.cache.path else "",
        given=frozenset(environment),
        foreign=tuple(_foreign(root, cached, config.storage_path if config else "")) if cached else (),
        env_calls=tuple(islice(_env_calls(base), MOST_SHOWN + 1)) if cached else (),
    )


def _beside(base: Path) -> Iterator[str]:
    """Directories in it, above it and next to it that have an artisan."""
    near = [base.parent]
    with suppress(OSError):
        near += [entry for entry in sorted(base.iterdir())[:200] if entry.is_dir()]
    with suppress(OSError):
        near += [entry for entry in sorted(base.parent.iterdir())[:200] if entry.is_dir() and entry != base]
    for place in near:
        with suppress(OSError):
            if (place / "artisan").is_file():
                yield str(place)


def _releases(directory: Path) -> list[str]:
    """Directories in it that have an artisan, the newest first."""
    found = []
    with suppress(OSError):
        for entry in islice(directory.iterdir(), 500):
            with suppress(OSError):
                if (entry / "artisan").is_file():
                    found.append((entry.stat().st_mtime, str(entry)))
    return [path for _, path in sorted(found, reverse=True)]


def _open_to_all(path: str) -> bool:
    """Whether a user who is neither owner nor in the group can read it."""
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
        above = [os.stat(step) for step in map(str, Path(real).parents)]
    except OSError:
        return False
    return bool(found.st_mode & stat.S_IROTH) and all(step.st_mode & stat.S_IXOTH for step in above)


def _foreign(root: str, cached: str, storage: str) -> Iterator[str]:
    """Paths of Laravel's own directories in the cached configuration that are not in this application."""
    real = os.path.realpath(root)
    own = {root, real, *(os.path.dirname(path) for path in (storage, os.path.realpath(storage)) if storage)}
    own |= {os.path.dirname(os.path.realpath(os.path.join(real, name))) for name in ("storage", "database")}
    try:
        if os.path.getsize(cached) > LARGEST_CACHE:
            return
        text = Path(cached).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    seen = set()
    for found in _PLACES.finditer(text):
        if found[1] not in own and os.path.realpath(found[1]) not in own and found[1] not in seen:
            seen.add(found[1])
            yield found[0].lstrip("'")


def _env_calls(base: Path) -> Iterator[str]:
    deadline, files = time.monotonic() + MOST_SECONDS, 0
    for directory in ("app", "routes", "bootstrap", "database/seeders"):
        for above, below, names in os.walk(base / directory):
            below[:] = sorted(name for name in below if name not in ("cache", "node_modules", "vendor"))
            for path in (Path(above, name) for name in sorted(names) if name.endswith(".php")):
                files += 1
                if files > MOST_FILES or time.monotonic() > deadline:
                    return
                yield from _calls_in(path, base)


def _calls_in(path: Path, base: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MOST_BYTES)
    except OSError:
        return
    if "env(" not in text:
        return
    bare = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text)
    for found in _ENV_CALL.finditer(bare):
        yield f"{path.relative_to(base)}:{bare.count(chr(10), 0, found.start()) + 1}: env('{found[1]}')"
