"""Looks at queuepool.yml and the files that it names. What is in it is read by config/load.py."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping

from queuepool.config.explain import is_secret
from queuepool.config.load import Whole, loaded, read_anyway
from queuepool.config.reading import Reading
from queuepool.doctor.facts.program import FileFacts, LackFacts, PartFacts
from queuepool.doctor.preflight import preflight
from queuepool.domain.listening import listening
from queuepool.domain.places import Path, absolute
from queuepool.domain.pool import Loaded
from queuepool.domain.spec import Settings


def look(path: str, environ: Mapping[str, str]) -> tuple[FileFacts, Loaded]:
    """The file, whatever is wrong with it, and the programs of it that can be used."""
    whole = read_anyway(path, environ)
    parts = tuple(_parts(whole))
    problems = [text for reading in whole.broken for text in reading.problems()]
    if not whole.main.usable:
        problems = [*whole.main.problems(), *problems]
    warnings = [text for reading in whole.files if reading.usable for text in reading.problems()]
    usable = loaded(whole)
    pools = usable.pools.values()
    facts = FileFacts(
        path,
        problems=tuple(problems),
        broken=tuple(reading.shown for reading in whole.broken),
        mode=parts[0].mode,
        uid=parts[0].uid,
        secrets=parts[0].secrets,
        warnings=tuple(warnings),
        parts=parts,
        usable=whole.main.usable,
        open=tuple(_open_directories(path)),
        current=_in_current_release(path),
        lacks=tuple(LackFacts(one.programs, one.what, one.remedy, one.fatal) for one in preflight(pools).lacks),
    )
    return facts, usable


def _parts(whole: Whole) -> Iterator[PartFacts]:
    seen: set[str] = set()
    for reading in [*whole.files, *whole.broken]:
        role = "main" if reading is whole.main else "include"
        yield _part(reading.path, role, tuple(_secrets(reading)))
    for reading in whole.files if whole.main.section else ():
        for name, values in reading.place.env_files.items():
            path = absolute(reading.place.here, os.path.expanduser(name))
            if path not in seen:
                seen.add(path)
                yield _part(path, "env_file", tuple(f"{name}: {key}" for key in values if is_secret(key)))
    for path, what in _files_of_http(whole):
        if path not in seen:
            seen.add(path)
            yield _part(path, "env_file", (what,))


def _files_of_http(whole: Whole) -> Iterator[tuple[str, str]]:
    """The files of `http:` that hold a secret, and which."""
    spec = listening(whole.main.file) if whole.main.section else None
    for account in (*spec.users, *spec.tokens) if spec else ():
        if account.secret.kind == "file":
            yield account.secret.text, f"what lets in {account.name}"
    if spec and spec.tls_key:
        yield spec.tls_key, "the private key of `http:`"


def _part(path: str, role: str, secrets: tuple[str, ...]) -> PartFacts:
    try:
        found = os.stat(path)
    except OSError:
        return PartFacts(path, role, secrets=secrets)
    return PartFacts(path, role, stat.S_IMODE(found.st_mode), found.st_uid, secrets)


def _secrets(reading: Reading) -> Iterator[str]:
    """Keys whose value is a secret that stands in this file, and not in a variable."""
    section = reading.section
    if section is None:
        return
    places: list[Path] = [("environment", name) for name in section.environment or ()]
    places += [("defaults", "environment", name) for name in section.defaults.environment or ()]
    for program, want in section.programs.items():
        places += [("programs", program, "environment", name) for name in want.environment or ()]
    found = [place for place in places if is_secret(str(place[-1]))]
    if isinstance(section, Settings) and section.http is not None:
        http = section.http
        found += [("http", "password")] if http.password is not None else []
        found += [("http", "users", name, "password") for name, user in http.users.items() if user.password]
        found += [("http", "tokens", name, "token") for name, token in http.tokens.items() if token.token]
    for place in found:
        text = reading.document.text(place)
        if text and "$" not in text:
            yield f"{reading.shown}:{reading.document.line(place)}: {'.'.join(map(str, place))}"


def _open_directories(path: str) -> Iterator[tuple[str, int]]:
    """Directories on the way in which anybody may replace what is there, unlike in /tmp with its sticky bit."""
    folder = os.path.dirname(os.path.realpath(path))
    while True:
        try:
            mode = stat.S_IMODE(os.stat(folder).st_mode)
        except OSError:
            return
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield folder, mode
        if folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


def _in_current_release(path: str) -> str:
    """The same file through `current`, for a path in another of its `releases`; "" when it is in none, or the same."""
    folders = os.path.abspath(path).split(os.sep)
    for at in range(len(folders) - 3, 0, -1):
        link = os.sep.join([*folders[:at], "current"])
        if folders[at] == "releases" and os.path.islink(link):
            other = os.sep.join([link, *folders[at + 2 :]])
            release = os.sep.join(folders[: at + 2])
            same = os.path.realpath(link) == os.path.realpath(release)
            return other if os.path.isfile(other) and not same else ""
    return ""
