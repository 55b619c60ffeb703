"""What stands before a worker in its command and can be said in queuepool.yml: `nice`, `env`, `sudo -u`, `sh -c`. PURE.

A process manager wants the worker itself: a stop that is sent to `sh` or `sudo` reaches the worker late or never.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
MOST_WRAPPERS = 20
LONGEST_SCRIPT = 4096
"""A person writes less; a search in more may take long."""
_NICE = 10
"""What nice(1) adds when it is given no number."""
_SILENCED = re.compile(r"(?:\s+(?:[12&]?>>?\s*[^\s;&|<>()]+|2>&1|&))+\s*\Z")
_CHANGED_TO = re.compile(r"\s*cd\s+(?P<to>[^\s;&|<>()$`*?'\"~-][^\s;&|<>()$`*?'\"]*)\s*(?:&&|;)\s*")
_HARMLESS = re.compile(r"%\([A-Za-z0-9_]+\)[0-9]*[sd]|'[^']*'|\"[^\"$`\\]*\"")
"""Expansions of Supervisor, and what stands in quotes."""
_NOT_PLAIN = re.compile(r"[;&|<>()$`*?{}\\~#\n]")


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The words without what stood before them. names: what that was, as typed. directory: of `cd`. output: whether
    a shell sent it elsewhere."""

    words: tuple[str, ...]
    names: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    nice: int | None = None
    directory: str | None = None
    output: bool = False


def unwrap(words: Sequence[str]) -> Unwrapped:
    """The words without everything before them that can be said otherwise; the rest begins with something else."""
    found = Unwrapped(tuple(words))
    while len(found.words) > 1 and len(found.names) < MOST_WRAPPERS:
        name = posixpath.basename(found.words[0])
        step = _STEPS.get(name, _shell if name in SHELLS else _assignments)(found)
        if step is None:
            break
        found = step
    return found


def _without(found: Unwrapped, count: int, name: str, **changes: object) -> Unwrapped:
    return replace(found, words=found.words[count:], names=(*found.names, name), **changes)  # type: ignore[arg-type]


def _assignments(found: Unwrapped) -> Unwrapped | None:
    """`NAME=value ...`, as a shell takes it."""
    pairs = dict(_pairs(found.words))
    name = f"{next(iter(pairs), '')}="
    return _without(found, len(pairs), name, environment={**found.environment, **pairs}) if pairs else None


def _env(found: Unwrapped) -> Unwrapped | None:
    pairs = dict(_pairs(found.words[1:]))
    rest = found.words[1 + len(pairs) :]
    if not rest or rest[0].startswith("-"):
        return None
    return _without(found, 1 + len(pairs), "env", environment={**found.environment, **pairs})


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in words[:-1]:
        match = _ASSIGNED.match(word)
        if match is None:
            return
        yield match[1], match[2]


def _nice(found: Unwrapped) -> Unwrapped | None:
    flag, count, given = found.words[1], 2, ""
    if flag in ("-n", "--adjustment") and len(found.words) > 3:
        given, count = found.words[2], 3
    elif match := re.fullmatch(r"(?:-n|--adjustment=|-)(-?[0-9]+)", flag):
        given = match[1]
    elif not flag.startswith("-"):
        given, count = str(_NICE), 1
    if not re.fullmatch(r"[+-]?[0-9]{1,2}", given):
        return None
    return _without(found, count, "nice", nice=max(-20, min(19, (found.nice or 0) + int(given))))


def _bare(found: Unwrapped) -> Unwrapped | None:
    """`exec` and `nohup`, which change nothing here."""
    return None if found.words[1].startswith("-") else _without(found, 1, posixpath.basename(found.words[0]))


def _other_user(found: Unwrapped) -> Unwrapped | None:
    """`sudo -u NAME` and `runuser -u NAME`."""
    words, at, user = found.words, 1, ""
    while at < len(words) - 1 and words[at].startswith("-"):
        flag = words[at]
        at += 1
        if flag == "--":
            break
        if flag in ("-u", "--user"):
            user, at = words[at], at + 1
        elif match := re.fullmatch(r"(?:-u|--user=)([^-].*)", flag):
            user = match[1]
        elif not re.fullmatch(r"-[EHn]+", flag):
            return None
    return _without(found, at, posixpath.basename(words[0]), user=user) if user and at < len(words) else None


def _user_first(found: Unwrapped) -> Unwrapped | None:
    """`gosu NAME`, `su-exec NAME` and `setuidgid NAME`."""
    words = found.words
    if len(words) < 3 or words[1].startswith("-"):
        return None
    return _without(found, 2, posixpath.basename(words[0]), user=words[1])


def _su(found: Unwrapped) -> Unwrapped | None:
    """`su [-s SHELL] -c 'COMMAND' NAME`, in any order."""
    script = user = ""
    rest = iter(found.words[1:])
    for word in rest:
        if word in ("-s", "--shell"):
            next(rest, "")
        elif word in ("-c", "--command"):
            script = next(rest, "")
        elif word in ("-", "-l", "-m", "-p", "--login"):
            continue
        elif word.startswith("-") or user:
            return None
        else:
            user = word
    return _script(replace(found, user=user), script, "su -c") if user and script else None


def _shell(found: Unwrapped) -> Unwrapped | None:
    """`sh -c 'COMMAND'`, where COMMAND is one command."""
    words = found.words
    if len(words) != 3 or not re.fullmatch(r"-[eux]*c", words[1]):
        return None
    return _script(found, words[2], f"{posixpath.basename(words[0])} -c")


def _script(found: Unwrapped, script: str, name: str) -> Unwrapped | None:
    if len(script) > LONGEST_SCRIPT:
        return None
    directory = found.directory
    while match := _CHANGED_TO.match(script):
        directory = posixpath.join(directory or "", match["to"])
        script = script[match.end() :]
    plain = _SILENCED.sub("", script.rstrip().removesuffix(";"))
    if _NOT_PLAIN.search(_HARMLESS.sub("", plain)):
        return None
    try:
        words = tuple(shlex.split(plain))
    except ValueError:
        return None
    if not words or not words[0]:
        return None
    output = found.output or len(plain) < len(script.rstrip().removesuffix(";"))
    return replace(found, words=words, names=(*found.names, name), directory=directory, output=output)


_STEPS: dict[str, Callable[[Unwrapped], Unwrapped | None]] = {
    "env": _env, "nice": _nice, "exec": _bare, "nohup": _bare, "sudo": _other_user, "runuser": _other_user,
    "gosu": _user_first, "su-exec": _user_first, "setuidgid": _user_first, "su": _su,
}  # fmt: skip
