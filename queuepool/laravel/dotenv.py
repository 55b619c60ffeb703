"""Laravel's dialect of .env, as vlucas/phpdotenv 5 (Laravel 8 to 13) reads it. The library python-dotenv reads
another one: for it `a#b` is no comment, single quotes have escapes, and a `${NAME}` that is not set vanishes instead of
staying; a password would come out wrong. What the values are used for is app.py's matter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, int, int]
USUAL: Version = (5, 6, 0)
"""The phpdotenv that most applications have. What is read differently is listed with each version."""
_LINES: Version = (5, 5, 0)
"""Since then a line inside a quote cannot begin another quote, and names may have letters of any alphabet."""
_STRICT: Version = (5, 6, 5)
"""Since then a quote that is never closed is an error, a comment cannot begin a quote, and a quote in the first column
counts."""

_VARIABLE = re.compile(r"\$\{([a-zA-Z0-9_.]+)\}")
_ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\", "$": "$"}
_SPACE = " \t\n\r\v\f"
_TRIM = " \t\n\r\0\v"  # what PHP's trim() takes off


class DotenvError(ValueError):
    """A .env that phpdotenv refuses; artisan then says "The environment file is invalid!" and ends."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A value before its variables are put in; variables: where each `$` stands that may begin one."""

    text: str
    variables: tuple[int, ...] = ()


def load(text: str, environment: Mapping[str, str], parser: Version = USUAL) -> dict[str, str]:
    """Every variable that the application then sees: the file's, and `environment`, which wins as it does in Laravel.

    parser: version of phpdotenv; only odd files are read differently. Raises DotenvError.
    """
    seen = dict(environment)
    for name, value in _entries(text, parser):
        if name in environment:
            continue
        if value is None:
            seen.pop(name, None)
        else:
            seen[name] = _resolve(value, seen)
    return seen


def value(variables: Mapping[str, str], name: str) -> str | None:
    """What `env('NAME')` gives, as text: None for `null` and for what is not set, "" for `empty`, "true" or "false" for
    those (Illuminate/Support/Env.php)."""
    text = variables.get(name)
    if text is None:
        return None
    word = text.lower().removeprefix("(").removesuffix(")") if text.startswith("(") == text.endswith(")") else ""
    if word in ("true", "false"):
        return word
    if word in ("null", "empty"):
        return None if word == "null" else ""
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0] and "\n" not in text:
        return text[1:-1]
    return text


def _entries(text: str, parser: Version) -> list[tuple[str, _Value | None]]:
    entries = []
    buffer: list[str] = []
    for line in re.split(r"\r\n|\n|\r", text):
        started = (not buffer or parser < _LINES) and _opens(line, parser)
        if buffer or started:
            buffer.append(line)
            if not _closes(line, parser, started=started):
                continue
            line = "\n".join(buffer)
            buffer = []
        if (stripped := line.strip(_TRIM)) and not stripped.startswith("#"):
            entries.append(_entry(line, parser))
    if buffer and parser >= _STRICT:
        entries.append(_entry("\n".join(buffer), parser))  # which says what is missing
    return entries


def _opens(line: str, parser: Version) -> bool:
    """Whether a quote of several lines begins here (phpdotenv's looksLikeMultilineStart)."""
    at = line.find('="')
    if at < 0 or (parser >= _STRICT and "#" in line[:at]):
        return False
    return not _closes(line, parser, started=True)


def _closes(line: str, parser: Version, *, started: bool) -> bool:
    """Whether a quote of several lines ends here (phpdotenv's looksLikeMultilineStop)."""
    if line == '"' and parser < _STRICT:
        return True
    pattern = r'(?<!\\)"' if parser >= _STRICT else r'(?=[^\\]")'
    quotes = len(re.findall(pattern, line.replace("\\\\", ""), re.DOTALL))
    return quotes > 1 if started else quotes >= 1


def _entry(line: str, parser: Version) -> tuple[str, _Value | None]:
    name, equals, raw = line.partition("=")
    if equals:
        name, raw = name.strip(_TRIM), raw.strip(_TRIM)
    if not name:
        raise DotenvError("a line begins with an equals sign")
    if len(name) > (6 if parser >= _STRICT else 8) and name.startswith("export") and name[6] in _SPACE:
        name = name[6:].lstrip(_SPACE if parser >= _STRICT else _TRIM)
    if len(name) > 2 and name[0] == name[-1] and name[0] in "'\"":
        name = name[1:-1]
    if not name or not all(_in_a_name(char, parser) for char in name):
        raise DotenvError("a line has a name that is not valid")
    return name, _parse(name, raw) if equals else None


def _in_a_name(char: str, parser: Version) -> bool:
    if char.isascii() or parser < _LINES:
        return char.isascii() and (char.isalnum() or char in "_.")
    kind = unicodedata.category(char)
    return kind in ("Ll", "Lu") or kind[0] in "MN"


def _parse(name: str, raw: str) -> _Value:
    """The value in `raw`: quotes, escapes and comment taken off. No error quotes it: it may be a password."""
    out: list[str] = []
    variables: list[int] = []
    state = "start"
    for char in raw:
        if state == "start":
            if char in "'\"#":
                state = {"'": "single", '"': "double", "#": "comment"}[char]
                continue
            state = "plain"
        elif state == "comment":
            break
        elif state == "space":
            if char == "#":
                break
            if char not in _SPACE:
                raise DotenvError(f"the value of {name} has blanks but no quotes around it")
            continue
        elif state == "plain" and (char == "#" or char in _SPACE):
            state = "comment" if char == "#" else "space"
            continue
        elif (state == "single" and char == "'") or (state == "double" and char == '"'):
            state = "space"
            continue
        elif state == "double" and char == "\\":
            state = "escape"
            continue
        elif state == "escape":
            if char not in _ESCAPES:
                raise DotenvError(f"the value of {name} has an escape sequence that is not known")
            state = "double"
            out.append(_ESCAPES[char])
            continue
        if char == "$" and state in ("plain", "double"):
            variables.append(len(out))
        out.append(char)
    if state in ("single", "double", "escape"):
        raise DotenvError(f"the value of {name} has a missing closing quote")
    return _Value("".join(out), tuple(variables))


def _resolve(value: _Value, seen: Mapping[str, str]) -> str:
    text = value.text
    for at in reversed(value.variables):  # from the right, so `${A${B}}` works
        if found := _VARIABLE.match(text, at):
            text = text[:at] + seen.get(found[1], found[0]) + text[found.end() :]
    return text
