"""What Composer's files say of an application: which PHP it needs, and whether what is installed is what was locked.
It only reads; which Laravel that is, app.py tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_BYTES = 32 * 1024 * 1024
FRAMEWORK = "laravel/framework"


@dataclass(frozen=True, slots=True)
class Needs:
    """What asks for a version or an extension of PHP. what: "php" or the extension. constraint: as Composer writes it,
    `^8.2`. source: the file, and the package in it."""

    what: str
    constraint: str
    source: str


@dataclass(frozen=True, slots=True)
class Composer:
    """used: whether there is a composer.json. needs: of the application itself and of the framework; extensions that a
    package stands in for are left out. drifted: packages that are not installed as composer.lock wants them, as "name
    1.0 (composer.lock: 1.1)"."""

    used: bool = False
    needs: tuple[Needs, ...] = ()
    drifted: tuple[str, ...] = ()


def composer(root: str) -> Composer:
    """What the files in `root` say. Never raises: a file that cannot be read says nothing."""
    base = Path(root)
    own, lock = _object(base / "composer.json"), _object(base / "composer.lock")
    installed_file = base / "vendor/composer/installed.json"
    installed = _packages(_read(installed_file))
    locked = _packages(lock)
    packages = installed or locked
    framework = _mapping(packages.get(FRAMEWORK, {}))
    needs = [
        *_needs(own.get("require"), "composer.json"),
        *_needs(lock.get("platform"), "composer.lock"),
        *_needs(framework.get("require"), f"{FRAMEWORK} {framework.get('version', '')}".strip()),
    ]
    stood_in = {
        name for entry in packages.values() for key in ("provide", "replace") for name in _mapping(entry.get(key))
    }
    return Composer(
        used=(base / "composer.json").is_file(),
        needs=tuple(need for need in dict.fromkeys(needs) if f"ext-{need.what}" not in stood_in),
        drifted=tuple(_drift(locked, installed)) if installed else (),
    )


def lowest(constraint: str) -> tuple[int, ...] | None:
    """The lowest version that a constraint of Composer lets through: `^7.3|^8.0` -> (7, 3); None where it has no lower
    bound. (https://getcomposer.org/doc/articles/versions.md)"""
    alternatives = [_lower_bound(part) for part in re.split(r"\s*\|\|?\s*", constraint.strip())]
    bounds = [bound for bound in alternatives if bound is not None]
    return min(bounds) if bounds and len(bounds) == len(alternatives) else None


def older(version: str, constraint: str) -> bool:
    """Whether a version is below everything that the constraint lets through."""
    bound, has = lowest(constraint), _numbers(version)
    return bound is not None and has is not None and has < bound


def _lower_bound(part: str) -> tuple[int, ...] | None:
    part = re.sub(r"(\S+)\s+-\s+\S+", r">=\1", part)  # a range: 8.1 - 8.3
    found = []
    for word in re.split(r"[\s,]+", re.sub(r"([<>=!^~]+)\s+", r"\1", part)):
        match = re.match(r"(>=|>|==?|\^|~|)v?(\d[\d.]*)", word)
        numbers = _numbers(match[2]) if match else None
        if numbers:
            found.append(numbers)
    return max(found) if found else None


def _numbers(text: str) -> tuple[int, ...] | None:
    parts = re.match(r"\d{1,9}(?:\.\d{1,9}){0,3}", text, re.ASCII)
    return tuple(int(number) for number in parts[0].split(".")) if parts else None


def _needs(required: object, source: str) -> Iterator[Needs]:
    for name, constraint in _mapping(required).items():
        if name in ("php", "php-64bit") or name.startswith("ext-"):
            what = "php" if name.startswith("php") else name.removeprefix("ext-").lower()
            yield Needs(what, str(constraint), source)


def _drift(locked: Mapping[str, Mapping[str, Any]], installed: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, wanted in locked.items():
        version = str(wanted.get("version", ""))
        if name not in installed:
            yield f"{name} is not installed (composer.lock: {version})"
            continue
        have = installed[name]
        same = str(have.get("version", "")) == version
        if same and version.startswith("dev-"):  # a branch keeps its name when it moves
            same = _mapping(have.get("source")).get("reference") == _mapping(wanted.get("source")).get("reference")
        if not same:
            yield f"{name} {have.get('version', '')} (composer.lock: {version})"


def _packages(content: object) -> dict[str, Mapping[str, Any]]:
    # Composer 1 wrote a bare list, Composer 2 an object with "packages"; so is composer.lock.
    listed = content.get("packages") if isinstance(content, dict) else content
    entries = listed if isinstance(listed, list) else []
    return {str(entry["name"]): entry for entry in entries if isinstance(entry, dict) and "name" in entry}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _object(path: Path) -> Mapping[str, Any]:
    return _mapping(_read(path))


def _read(path: Path) -> object:
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= LARGEST_BYTES:
            return json.loads(path.read_bytes())
    return None
