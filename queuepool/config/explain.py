"""The configuration as understood: every value with where it came from. Printing it is cli/config.py's matter. Secrets
are masked here, before anything leaves."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from queuepool.config.load import Whole
from queuepool.config.reading import Reading
from queuepool.domain import command
from queuepool.domain.places import Path, key_of
from queuepool.domain.pool import Autorestart, LogPolicy, PoolSpec
from queuepool.domain.program import ARTISAN_KEYS
from queuepool.domain.resolve import inherit, memberships
from queuepool.domain.spec import Program, Settings

MASK = "********"
BUILT_IN = "built-in"

_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|KEY|DSN|CREDENTIAL", re.IGNORECASE)
_SECRET_URL = re.compile(r"(://[^/@\s:]*:)[^/@\s]+(?=@)")
_SHORTEST_SECRET = 6  # a shorter value stands in too many places by chance

_RESOLVED = frozenset({"type", "environment", "env_file", "user", "group", "groups"})
"""Keys that are shown as they came out, not as one level says them."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value as plain data. source: `file:line`, `defaults (file:line)` or `built-in`."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class ExplainedProgram:
    """A program. argv: of its first process. values: what somebody said first, then what is built in."""

    name: str
    source: str
    argv: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """All of it. general: the keys that are no program's."""

    path: str
    general: tuple[Value, ...]
    programs: tuple[ExplainedProgram, ...]
    groups: tuple[Value, ...]
    problems: tuple[str, ...]
    broken: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `queuepool config show --json` prints."""
        return {
            "path": self.path,
            "general": _json(self.general),
            "programs": {
                p.name: {"from": p.source, "argv": list(p.argv), "values": _json(p.values)} for p in self.programs
            },
            "groups": _json(self.groups),
            "problems": list(self.problems),
            "broken": list(self.broken),
        }


def _json(values: tuple[Value, ...]) -> dict[str, Any]:
    return {value.key: {"value": value.value, "from": value.source} for value in values}


def explain(whole: Whole) -> Explained:
    """Say of every value where it came from."""
    hide = _Hider(whole)
    programs = []
    for reading in whole.files:
        for name, program in reading.file.section.programs.items():
            one = _OneProgram(whole, reading, name, program)
            values = tuple(Value(v.key, hide(v.key, v.value), v.source) for v in one.values())
            argv = tuple(hide("argv", word) for word in one.pool.process(0).launch.argv)
            ordered = sorted(values, key=lambda value: value.source == BUILT_IN)
            programs.append(ExplainedProgram(name, one.pool.source, argv, tuple(ordered)))
    groups = []
    for reading in whole.files:
        for name, group in reading.file.section.groups.items():
            shown = {"programs": list(group.programs)} | (
                {} if group.priority is None else {"priority": group.priority}
            )
            groups.append(Value(name, shown, _at(reading, ("groups", name))))
    general = tuple(Value(v.key, hide(v.key, v.value), v.source) for v in _general(whole.main))
    broken = tuple(reading.shown for reading in whole.broken)
    return Explained(whole.main.path, general, tuple(programs), tuple(groups), whole.problems(), broken)


def _general(main: Reading) -> Iterator[Value]:
    settings = main.file.section
    assert isinstance(settings, Settings)

    def source(key: str) -> str:
        return _at(main, (key,)) if key in settings.model_fields_set else BUILT_IN

    yield Value("app", main.place.app, source("app"))
    yield Value("php", list(settings.php), source("php"))
    for key in ("user", "group", "env_file"):
        if (value := getattr(settings, key)) is not None:
            yield Value(key, plain(key, value), source(key))
    if settings.environment:
        yield Value("environment", dict(settings.environment), source("environment"))
    yield Value("engine", settings.engine, source("engine"))
    if settings.http is not None:
        yield Value("http", _masked(settings.http), source("http"))
    if settings.include:
        yield Value("include", list(settings.include), source("include"))


def _masked(section: BaseModel) -> dict[str, Any]:
    """What a part of `http:` says, and where it stands; every secret as the mask."""
    shown: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            shown[name] = MASK
        elif isinstance(value, dict):
            shown |= {name: {key: _masked(item) for key, item in value.items()}} if value else {}
        elif value or name in section.model_fields_set:
            shown[name] = plain(name, value)
    return shown


class _OneProgram:
    """The values of one program, each with its source."""

    def __init__(self, whole: Whole, reading: Reading, name: str, program: Program) -> None:
        self.whole, self.reading, self.name, self.program = whole, reading, name, program
        self.pool: PoolSpec = whole.pools[name]
        self.files = [reading] if reading is whole.main else [whole.main, reading]
        self.inherited = inherit(self.pool.kind, [r.file for r in self.files])
        self.first = self.pool.process(0)

    def values(self) -> Iterator[Value]:
        keys = command.keys(self.pool.kind) | ({"command"} if self.pool.kind == "command" else set())
        for field in Program.model_fields:
            key = key_of(field)
            if key in ARTISAN_KEYS and key not in keys:
                continue
            value = self._value(field)
            if value is None or (key in ARTISAN_KEYS and value in ((), [])):
                continue
            yield Value(key, plain(key, value), self._source(field))

    def _value(self, field: str) -> Any:
        launch, first = self.first.launch, self.first
        if field in self.program.model_fields_set:
            given = getattr(self.program, field)
        else:
            given = self.inherited.values.get(field, Program.model_fields[field].default)
        shown: dict[str, Any] = {
            "type": self.pool.kind,
            "directory": launch.directory,
            "user": launch.user,
            "group": launch.group,
            "groups": launch.groups,
            "environment": dict(launch.environment) or None,
            "env_file": self.program.env_file,
            "priority": self.pool.priority,
            "stopwaitsecs": first.policy.stop_seconds,
            "process_name": given or first.display.rpartition(":")[2],
            "redirect_stderr": launch.redirect_stderr,
            "verbose": given if given is not None else command.says(launch.argv)[1] or None,
            "stdout_logfile": _path(first.stdout),
            "stderr_logfile": first.stderr and _path(first.stderr),
            "strategy": {
                "max_surge": self.pool.strategy.max_surge,
                "max_unavailable": self.pool.strategy.max_unavailable,
            },
        }
        if field.startswith("stderr_logfile_") and first.stderr is None:
            return None
        return shown.get(field, given)

    def _source(self, field: str) -> str:
        key = key_of(field)
        if field in self.program.model_fields_set:
            return _at(self.reading, ("programs", self.name, key))
        if field in self.inherited.said:
            return f"defaults ({_at(self.files[self.inherited.said[field]], ('defaults', key))})"
        if field == "priority" and (member := self._group()):
            return member
        if field in _RESOLVED:
            for reading in reversed(self.files):
                if field in reading.file.section.defaults.model_fields_set:
                    return f"defaults ({_at(reading, ('defaults', key))})"
                if field in reading.file.section.model_fields_set and field != "groups":
                    return _at(reading, (key,))
                if field == "group" and self.first.launch.group and (by_user := self._source("user")) != BUILT_IN:
                    return by_user
        return BUILT_IN

    def _group(self) -> str:
        member = memberships(self.whole.groups).get(self.name)
        if member is None or member.priority is None:
            return ""
        owner = next(r for r in self.whole.files if member.group in r.file.section.groups)
        return _at(owner, ("groups", member.group))


def _path(log: LogPolicy) -> str:
    return log.path or "NONE"


def _at(reading: Reading, where: Path) -> str:
    return f"{reading.shown}:{reading.document.line(where)}"


def plain(key: str, value: Any) -> Any:
    """The value as YAML and JSON can hold it, in the words that the file uses for it."""
    if isinstance(value, Autorestart):
        return {"true": True, "false": False}.get(value.value, value.value)
    if key == "stopsignal":
        return signal.Signals(value).name.removeprefix("SIG")
    if key == "umask":
        return f"{value:03o}"
    if key == "rlimits":
        return {
            name: _limit(soft) if soft == hard else f"{_limit(soft)}:{_limit(hard)}"
            for name, (soft, hard) in value.items()
        }
    if key == "fatal_retry" and not value:
        return "never"
    if key.endswith("maxbytes") or key == "memory_limit":
        return _size(value)
    if isinstance(value, float) and value == int(value):
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _limit(value: int) -> int | str:
    return "unlimited" if value == -1 else value


def _size(value: int) -> int | str:
    for power, unit in ((3, "GB"), (2, "MB"), (1, "KB")):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return value


class _Hider:
    """Masks what is secret: variables with such a name, passwords in URLs, and the same values anywhere else."""

    def __init__(self, whole: Whole) -> None:
        values: set[str] = set()
        for reading in [*whole.files, *whole.broken]:
            place = reading.place
            for known in (place.environ, *place.env_files.values()):
                values |= _secrets(known)
        for pool in whole.pools.values():
            values |= _secrets(dict(pool.process(0).launch.environment))
        self._anywhere = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True)))) if values else None

    def __call__(self, key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: MASK if key == "environment" and is_secret(k) else self(k, v) for k, v in value.items()}
        if isinstance(value, list):
            return [self(key, item) for item in value]
        if isinstance(value, str):
            value = _SECRET_URL.sub(rf"\1{MASK}", value)
            return self._anywhere.sub(MASK, value) if self._anywhere else value
        return value


def _secrets(known: Mapping[str, str]) -> set[str]:
    return {value for name, value in known.items() if is_secret(name) and len(value) >= _SHORTEST_SECRET}


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name probably holds a secret."""
    return bool(_SECRET_NAME.search(name))
