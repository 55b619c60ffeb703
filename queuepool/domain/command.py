"""The command lines of `queue:work`, `queue:listen` and `horizon`: options -> argv and back, and which Laravel knows
which option. How the options are written in queuepool.yml is spec.py's matter; what exit codes mean is exits.py's.

Options come as a mapping from the file's keys (`max_jobs`) to plain values. The source of the table is the `$signature`
of Illuminate/Queue/Console/WorkCommand.php and ListenCommand.php at every tag of laravel/framework from 6.0 to 13.26,
and of laravel/horizon's HorizonCommand.php.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from queuepool.domain import units

NO_TERMINAL: Mapping[str, str] = {"COLUMNS": "80", "LINES": "50"}
"""Environment of every artisan that has no terminal: what it finds out itself, and sets for its children, by two times
`sh -c "stty -a | grep columns"` at each boot, unless it is told (Symfony Console's Terminal and Application::run)."""

ALWAYS: Mapping[int, str] = {}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. read: its value from the text of a command line, None for a flag without value. kinds: the commands
    that know it, each with {major: first version of that major}; a major above them all knows it, one below does not.
    """

    flag: str
    read: Callable[[object], Any] | None
    kinds: Mapping[str, Mapping[int, str]]


def _number(value: object) -> int:
    if not str(value).isdecimal() or len(str(value)) > 9:
        raise ValueError("is not a whole number")
    return int(str(value))


def _pauses(value: object) -> tuple[int, ...]:
    return tuple(units.whole_seconds(part) for part in str(value).split(","))


_BOTH = {"worker": ALWAYS, "listen": ALWAYS}
_ARTISAN = {**_BOTH, "horizon": ALWAYS}
_V8 = {8: "8.0.0"}

OPTIONS: dict[str, Option] = {
    "queue": Option("--queue", units.names, _BOTH),
    "tries": Option("--tries", _number, _BOTH),
    "timeout": Option("--timeout", units.whole_seconds, _BOTH),
    "memory": Option("--memory", units.megabytes, _BOTH),
    "sleep": Option("--sleep", units.duration, _BOTH),
    "backoff": Option("--backoff", _pauses, {"worker": _V8, "listen": _V8}),
    "delay": Option("--delay", units.whole_seconds, _BOTH),
    "max_jobs": Option("--max-jobs", _number, {"worker": _V8}),
    "max_time": Option("--max-time", units.whole_seconds, {"worker": _V8}),
    "rest": Option("--rest", units.duration, {"worker": {8: "8.32.0"}, "listen": {9: "9.0.0"}}),
    "stop_when_empty": Option("--stop-when-empty", None, {"worker": ALWAYS}),
    "stop_when_empty_for": Option(
        "--stop-when-empty-for", units.whole_seconds, {"worker": {11: "11.53.0", 12: "12.60.0", 13: "13.10.0"}}
    ),
    "once": Option("--once", None, {"worker": ALWAYS}),
    "force": Option("--force", None, _BOTH),
    "name": Option("--name", str, {"worker": _V8, "listen": _V8}),
    "json": Option("--json", None, {"worker": {11: "11.27.0"}}),
    "horizon_environment": Option("--environment", str, {"horizon": ALWAYS}),
    "env": Option("--env", str, _ARTISAN),
}
"""Every option with a key of its own, in the order in which it is written. Beside them stand the connection (the one
argument) and Symfony's `quiet`, `verbose` and `ansi`, which every artisan command has."""

ARTISAN = {"worker": "queue:work", "listen": "queue:listen", "horizon": "horizon"}
"""Kind of program -> artisan command."""

SYMFONY = ("quiet", "verbose", "ansi")

_KINDS = {name: kind for kind, name in ARTISAN.items()}
_BY_FLAG = {option.flag: key for key, option in OPTIONS.items()}
_ZERO_MEMORY = (12, 54, 0)
_NO_EFFECT = frozenset({"--daemon"})  # queue:work keeps it since Laravel 5.3 for old scripts and reads it nowhere


def keys(kind: str) -> frozenset[str]:
    """The keys of the file that shape the command line of a program of this kind."""
    if kind not in ARTISAN:
        return frozenset()
    own = {key for key, option in OPTIONS.items() if kind in option.kinds}
    return frozenset(own | set(SYMFONY) | {"options"} | ({"connection"} if kind != "horizon" else set()))


@dataclass(frozen=True, slots=True)
class ArtisanCommand:
    """A command line, understood. kind: worker, listen or horizon. options: file's key -> value. extra: arguments that
    have no key. php: what stands before `artisan`, which is a path as written."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    php: tuple[str, ...] = ("php",)
    artisan: str = "artisan"


def render(command: ArtisanCommand) -> tuple[str, ...]:
    """The argv. Only what is in `options` is passed: any other option keeps the default of the installed Laravel."""
    given = command.options
    argv = [*command.php, command.artisan, ARTISAN[command.kind]]
    if command.kind != "horizon" and given.get("connection"):
        argv.append(str(given["connection"]))
    for key, option in OPTIONS.items():
        if key not in given or command.kind not in option.kinds:
            continue
        value = given[key]
        if option.read is not None:
            argv.append(f"{option.flag}={_text(value)}")
        elif value:
            argv.append(option.flag)
    if given.get("quiet"):
        argv.append("--quiet")
    if given.get("verbose"):
        argv.append("-" + "v" * int(given["verbose"]))
    if given.get("ansi") is not None:
        argv.append("--ansi" if given["ansi"] else "--no-ansi")
    return (*argv, *command.extra)


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return ",".join(_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def parse(argv: tuple[str, ...]) -> ArtisanCommand | None:
    """What a command line asks for; None when it is not `... artisan queue:work`, `queue:listen` or `horizon`.

    Undoes `render`. An argument that is not known, or whose value is not of the right form, is kept in `extra`.
    """
    at = next((at for at, word in enumerate(argv) if posixpath.basename(word) == "artisan"), None)
    if at is None:
        return None
    options: dict[str, Any] = {}
    extra: list[str] = []
    plain: list[str] = []
    for word, value in _split(argv[at + 1 :]):
        if word is None:
            plain.append(value or "")
        elif word not in _NO_EFFECT and not _understand(word, value, options):
            extra.append(word if value is None else f"{word}={value}")
    kind = _KINDS.get(plain[0]) if plain else None
    if kind is None:
        return None
    for key in [key for key in options if key not in keys(kind)]:
        given, flag = options.pop(key), OPTIONS[key].flag
        extra.append(flag if OPTIONS[key].read is None else f"{flag}={_text(given)}")
    if kind != "horizon" and len(plain) > 1:
        options["connection"] = plain.pop(1)
    return ArtisanCommand(kind, options, (*extra, *plain[1:]), argv[:at], argv[at])


def is_scheduler(argv: Sequence[str]) -> bool:
    """Whether this is Laravel's scheduler, of which a second one would do every scheduled task a second time."""
    return "schedule:work" in argv and any(posixpath.basename(word) == "artisan" for word in argv)


def _split(argv: tuple[str, ...]) -> Iterator[tuple[str | None, str | None]]:
    """(option, value) and (None, argument), as Symfony's ArgvInput takes a command line apart."""
    words, only_plain = iter(range(len(argv))), False
    for at in words:
        word = argv[at]
        if only_plain or not word.startswith("-") or word == "-":
            yield None, word
        elif word == "--":
            only_plain = True
        else:
            flag, equals, value = word.partition("=")
            key = _BY_FLAG.get(flag)
            takes = key is not None and OPTIONS[key].read is not None
            if takes and not equals and at + 1 < len(argv) and not argv[at + 1].startswith("-"):
                yield flag, argv[next(words)]
            else:
                yield flag, value if equals else None


def _understand(flag: str, value: str | None, options: dict[str, Any]) -> bool:
    """Whether this option was understood and put into `options`."""
    if flag in _BY_FLAG:
        key = _BY_FLAG[flag]
        read = OPTIONS[key].read
        if read is None:
            options[key] = True
        elif value:
            try:
                options[key] = read(value)
            except ValueError:
                return False
    elif flag in ("-q", "--quiet"):
        options["quiet"] = True
    elif re.match(r"-v{1,3}\Z", flag) or flag == "--verbose":
        options["verbose"] = len(flag) - 1 if flag != "--verbose" else int(value) if value in ("1", "2", "3") else 1
    elif flag in ("--ansi", "--no-ansi"):
        options["ansi"] = flag == "--ansi"
    else:
        return False
    return True


def with_ids(command: ArtisanCommand) -> ArtisanCommand:
    """A worker prints the ids of its jobs: with `-v`, unless somebody decided how much it prints (docs/adr/0008)."""
    given = parse(("artisan", ARTISAN[command.kind], *command.extra))
    decided = {**command.options, **(given.options if given else {})}
    if command.kind != "worker" or decided.get("quiet") or "--silent" in command.extra:
        return command
    if "verbose" in decided or decided.get("json"):
        return command
    return replace(command, options={**command.options, "verbose": 1})


def says(argv: tuple[str, ...]) -> tuple[bool, bool]:
    """(whether what this prints tells of jobs, whether in more words than the job's name). queue:listen and Horizon
    start their workers without `-v`, whatever they are given."""
    command = parse(argv)
    if command is None or command.options.get("quiet") or "--silent" in command.extra:
        return False, False
    return True, command.kind == "worker" and bool(command.options.get("verbose"))


def unsupported(options: Mapping[str, Any], laravel_version: str, kind: str = "worker") -> list[str]:
    """What the installed Laravel does not know of these options, one sentence each.

    laravel_version: as the application gives it, "8.83.26"; "12.x-dev" counts as the newest of its major; what cannot
    be understood counts as knowing everything. An unknown option makes artisan exit with 1 at every start.
    """
    has = _version(laravel_version)
    if has is None:
        return []
    shown = ".".join(laravel_version.lstrip("v").split(".")[:2])
    found = []
    for key, option in OPTIONS.items():
        since = option.kinds.get(kind)
        given = options.get(key)
        if since is None or given is None or given is False:
            continue
        needed = _needed(since, has)
        if needed:
            instead = "; use `delay`" if key == "backoff" else ""
            found.append(f"`{key}` needs Laravel {needed} (this application has {shown}{instead})")
        elif key == "memory" and given == 0 and has < _ZERO_MEMORY:
            found.append(f"`memory: 0` means no limit only from Laravel 12.54 (this application has {shown})")
    return found


def unsupported_in(argv: tuple[str, ...], laravel_version: str) -> list[str]:
    """As `unsupported`, for a command line; nothing for one that is not artisan's."""
    command = parse(argv)
    return [] if command is None else unsupported(command.options, laravel_version, command.kind)


def _needed(since: Mapping[int, str], has: tuple[int, ...]) -> str | None:
    """The first version with the option that this application could move to; None when it has the option."""
    if not since or has[0] > max(since):
        return None
    major = min(m for m in since if m >= has[0])
    first = tuple(int(part) for part in since[major].split("."))
    return None if has >= first else f"{first[0]}.{first[1]}"


def _version(text: str) -> tuple[int, ...] | None:
    match = re.match(r"v?(\d{1,4})(?:\.(\d{1,6}|x))?(?:\.(\d{1,6}|x))?", text.strip(), re.ASCII)
    if match is None:
        return None
    return tuple(10**6 if part == "x" else int(part or 0) for part in match.groups())
