"""Files in the manner of `.env`. How variables are replaced is domain/expand.py's matter."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from queuepool.domain.expand import variables


class BadEnvFile(ValueError):
    """A line of the file that is no `NAME=value`; `line` is its number."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is not of the form NAME=value")
        self.line = line


def parse(text: str, lookup: Callable[[str], str | None]) -> dict[str, str]:
    """The variables of a .env file, in its order. `${X}` stands for an earlier variable of the file, else for what
    `lookup` knows; what nobody knows stays as it is, as in Laravel. Raises BadEnvFile."""
    from dotenv.parser import parse_stream  # here: few files have an env_file, and it costs milliseconds

    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise BadEnvFile(_line(binding.original))
        if binding.key is not None and binding.value is not None:
            found[binding.key] = variables(binding.value, lambda name: found.get(name, lookup(name)), lenient=True)
    return found


def _line(original: Any) -> int:
    """The line of the statement itself: dotenv counts the empty lines before it as part of it."""
    text = str(original.string)
    return int(original.line) + text[: len(text) - len(text.lstrip())].count("\n")
