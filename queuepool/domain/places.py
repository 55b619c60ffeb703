"""What surrounds a file's meaning: where it stands, what the world adds to it, and what is found wrong in it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from queuepool.domain.spec import Section

Path = tuple[str | int, ...]
"""Where something stands in a file: ("programs", "mail", "numprocs")."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong. what: a phrase that follows the place, or the value there. warning: the file can be used."""

    where: Path
    what: str
    hint: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """What one file's meaning depends on beside its text. here: its directory. app: the Laravel root, absolute.
    laravel: whether artisan is there. env_files: what the env_files hold, by their names as written."""

    here: str
    app: str
    laravel: bool = True
    host: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    source: Callable[[Path], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class File:
    """One file: what it says and where it stands."""

    section: Section
    place: Place


@dataclass(frozen=True, slots=True)
class Membership:
    """The group of a program: its name, and its priority if it has one."""

    group: str
    priority: int | None = None


def key_of(field_name: str) -> str:
    """The key of the file for a field of the model: `json` for `json_`, which pydantic cannot be given."""
    return field_name.rstrip("_")


def absolute(here: str, path: str) -> str:
    """`path` as seen from `here`. Symlinks and `..` stay as they are, so that `current` is followed anew each time."""
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return here if path in ("", ".") else posixpath.join(here, path)
