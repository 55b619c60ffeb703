"""The small languages inside values of queuepool.yml: durations, sizes, signals, octal modes, quoted commands, and
Supervisor's `K="v"` environments. Which key speaks which of them is spec.py's matter.

Every reader takes text (or a value of the wanted type, which passes) and raises ValueError with a phrase that follows
the value in a sentence, "is not a duration such as ...". The value itself is never part of it: it may be a secret.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterable, Mapping

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd])\s*)+\Z", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\Z", re.ASCII | re.IGNORECASE)
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", re.ASCII)
_PAIR = re.compile(r"""\s*([^\s=,"']+)\s*=\s*("[^"]*"|'[^']*'|[^,"']*?)\s*(?:,|\Z)""")

LONGEST = 10 * 365 * 86400
"""No duration is longer, in seconds: what is meant then is `0` or `never`, where the key takes it."""

RLIMITS = frozenset(
    [
        *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
        *("rtprio", "rttime", "sigpending", "stack"),
    ]
)
"""What setrlimit(2) can bound on Linux, without RLIMIT_ and in lower case; macOS knows some of them."""


CANARY_SECONDS = 30.0
"""How long a canary may take unless somebody says: it boots an application and does a job of no work."""

HASH = {
    "password_hash": r"scrypt:[0-9]{1,7}:[0-9]{1,2}:[0-9]{1,2}\$[^$]{1,100}\$[0-9a-f]{128}\Z",
    "token_hash": r"sha256:[0-9a-f]{64}\Z",
}
"""Key of a hash -> its form; what they mean is control/passwords.py's matter."""


def duration(value: object) -> float:
    """Seconds from 60, `60s`, `1m`, `1h30m`, `500ms`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a duration such as 60, 90s or 1h30m")
    if isinstance(value, str):
        text = value.strip().lower()
        if _NUMBER.match(text):
            seconds = float(text)
        elif _DURATION.match(text):
            seconds = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
        else:
            raise ValueError("is not a duration such as 60, 90s or 1h30m")
    else:
        seconds = float(value)
    if not 0 <= seconds <= LONGEST:
        raise ValueError("is not between 0 and 10 years")
    return seconds


def whole_seconds(value: object) -> int:
    """As `duration`, for what Laravel takes as a whole number."""
    seconds = duration(value)
    if seconds != int(seconds):
        raise ValueError("is not a whole number of seconds")
    return int(seconds)


def retry_pause(value: object) -> float:
    """As `duration`; `never` and `false` are 0."""
    return 0.0 if value is False or str(value).strip().lower() in ("never", "false", "no", "off") else duration(value)


def canary(value: object) -> float:
    """As `duration`; `true` is CANARY_SECONDS, `false` is 0."""
    word = str(value).strip().lower()
    if word in ("true", "yes", "on", "false", "no", "off"):
        return CANARY_SECONDS if word in ("true", "yes", "on") else 0.0
    return duration(value)


def size(value: object) -> int:
    """Bytes from 1048576, `512K`, `10MB`, `1.5GB`; K is 1024, as in Supervisor."""
    if isinstance(value, int) and not isinstance(value, bool):
        number: float = value
    elif isinstance(value, str) and (match := _SIZE.match(value.strip())):
        number = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")
    else:
        raise ValueError("is not a size such as 1048576, 512K, 10MB or 1GB")
    if not 0 <= number <= 2**62:
        raise ValueError("is not a size between 0 and 4 EB")
    return int(number)


def megabytes(value: object) -> int:
    """Megabytes, as `queue:work --memory` counts them, from 128 or from a size with a unit, `256MB`, `1GB`."""
    text = str(value).strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    count = size(value)
    if isinstance(value, int) or count % 2**20:
        raise ValueError("is not a whole number of megabytes")
    return count // 2**20


def octal(value: object) -> int:
    """A file mode mask from text such as `022` or `0o22`; an int passes as the value it is."""
    if isinstance(value, str) and re.match(r"(?:0o)?[0-7]{1,4}\Z", value.strip()):
        return int(value.strip().removeprefix("0o"), 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    raise ValueError("is not an octal mask such as 022")


def signal_number(value: object) -> int:
    """The number of a signal from `TERM`, `SIGTERM`, `term` or 15."""
    text = str(value).strip().upper()
    if text.isascii() and text.isdecimal() and len(text) < 4:
        if int(text) in {int(s) for s in signal.Signals}:
            return int(text)
    elif (name := "SIG" + text.removeprefix("SIG")) in signal.Signals.__members__:
        return int(signal.Signals[name])
    raise ValueError("is not a signal of this system, such as TERM, QUIT or USR2")


def exit_codes(value: object) -> tuple[int, ...]:
    """Exit codes, sorted, from 0, `0,2` or [0, 2]."""
    try:
        codes = {int(str(item)) for item in _items(value)}
    except (TypeError, ValueError):
        raise ValueError("is not a list of exit codes such as 0,2") from None
    if not all(0 <= code <= 255 for code in codes):
        raise ValueError("is not a list of exit codes, which lie between 0 and 255")
    return tuple(sorted(codes))


def names(value: object) -> tuple[str, ...]:
    """Names from `a`, `a,b` or [a, b], each once, in their order."""
    items = [str(item).strip() for item in _items(value)]
    if any(not item or any(c.isspace() for c in item) for item in items):
        raise ValueError("is not a name, or a list of names")
    return tuple(dict.fromkeys(items))


def paths(value: object) -> tuple[str, ...]:
    """Paths or globs from one text or a list."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item for item in items):
        raise ValueError("is not a path, or a list of paths")
    return tuple(items)


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        return list(value.split(","))
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        items = list(value)
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return [part for item in items for part in (item.split(",") if isinstance(item, str) else [item])]
    raise ValueError("is not a list")


def words(value: object) -> tuple[str, ...]:
    """A command: text split as a POSIX shell would, or a list as it is. Nothing is expanded and no shell is run."""
    if isinstance(value, str):
        try:
            parts = shlex.split(value)
        except ValueError as error:
            what = "an unclosed quote" if "quotation" in str(error) else "a backslash with nothing after it"
            raise ValueError(f"has {what}") from None
    elif isinstance(value, list | tuple) and all(isinstance(v, str | int | float) for v in value):
        parts = [str(v) for v in value]
    else:
        raise ValueError("is not a command: write it as text or as a list of text")
    if not parts or not parts[0]:
        raise ValueError("is an empty command")
    return tuple(parts)


def commands(value: object) -> tuple[tuple[str, ...], ...]:
    """Commands, one after the other: one text, or a list of texts (or of lists, where a word holds blanks)."""
    if value in ("", [], ()):
        return ()
    if isinstance(value, list | tuple):
        return tuple(words(item) for item in value)
    return (words(value),)


def arguments(value: object) -> tuple[str, ...]:
    """As `words`, and may be empty."""
    return () if value in ("", [], ()) else words(value)


def environment(value: object) -> dict[str, str]:
    """Names and values from a mapping, or from Supervisor's text `A="1",B=2`."""
    if isinstance(value, str):
        pairs: dict[str, str] = {}
        at = 0
        while at < len(value.rstrip().rstrip(",")):
            match = _PAIR.match(value, at)
            if match is None:
                raise ValueError('is not of the form A="1",B="2" (a mapping, A: 1, is simpler)')
            pairs[match[1]] = match[2][1:-1] if match[2][:1] in ('"', "'") else match[2]
            at = match.end()
    elif isinstance(value, Mapping):
        if any(isinstance(v, Mapping | list | tuple) for v in value.values()):
            raise ValueError("holds a list or a mapping where text should be")
        pairs = {str(k): "" if v is None else str(v) for k, v in value.items()}
    else:
        raise ValueError("is not a mapping of names to values")
    for name in pairs:
        if not _ENVIRONMENT_NAME.match(name):
            shown = "something" if isinstance(value, str) else repr(name)  # in one text, it may be part of a secret
            raise ValueError(f"holds {shown} that cannot be the name of an environment variable")
    return pairs


def rlimits(value: object) -> dict[str, tuple[int, int]]:
    """Resource limits: name -> (soft, hard), -1 for unlimited, from {nofile: 4096}, {core: unlimited},
    {nofile: "1024:4096"}, {nofile: {soft: 1024, hard: 4096}}, {as: 2GB}."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping such as {nofile: 4096, core: unlimited}")
    limits: dict[str, tuple[int, int]] = {}
    for key, limit in value.items():
        name = str(key).lower().removeprefix("rlimit_")
        if name not in RLIMITS:
            raise ValueError(f"holds {key!r}, which is no resource limit; there are {', '.join(sorted(RLIMITS))}")
        pair: tuple[object, object]
        if isinstance(limit, Mapping):
            if not limit or set(limit) - {"soft", "hard"}:
                raise ValueError(f"holds keys other than soft and hard for {name}")
            pair = (limit.get("soft", limit.get("hard")), limit.get("hard", limit.get("soft")))
        elif isinstance(limit, str) and ":" in limit:
            soft, _, hard = limit.partition(":")
            pair = (soft, hard)
        elif isinstance(limit, list | tuple) and len(limit) == 2:
            pair = (limit[0], limit[1])
        else:
            pair = (limit, limit)
        low, high = _limit(pair[0], name), _limit(pair[1], name)
        if high != -1 and (low == -1 or low > high):
            raise ValueError(f"holds a soft limit above the hard limit for {name}")
        limits[name] = (low, high)
    return limits


def _limit(value: object, name: str) -> int:
    if value == -1 or (isinstance(value, str) and value.strip().lower() in ("unlimited", "infinity", "-1")):
        return -1
    try:
        return size(value)
    except ValueError:
        raise ValueError(f"holds no number, size or `unlimited` for {name}") from None


def share(value: object) -> int | str:
    """Processes, 2, or a part of the pool, `25%`."""
    text = str(value).strip()
    if text.isascii() and text.removesuffix("%").isdecimal() and len(text) < 6 and not isinstance(value, bool):
        if not text.endswith("%"):
            return int(text)
        if int(text[:-1]) <= 100:
            return f"{int(text[:-1])}%"
    raise ValueError("is not a number of processes or a percentage such as 25%")
