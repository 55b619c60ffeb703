"""Values as YAML text, as a person would write them: bare where nothing in them means something else. What the loader
makes of `${X}` is undone. Whole files are written by config/starter.py and formats/supervisor_yaml.py."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*\Z")
_PLAIN_WORDS = re.compile(r"[A-Za-z_./](?:[A-Za-z0-9_./= ,@+%()-]|:(?! ))*[A-Za-z0-9]\Z")
_WORDS_OF_YAML = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


def scalar(text: str, *, words: bool = False, variables: bool = False) -> str:
    """The text as YAML. words: whether blanks and the like may stand bare. variables: whether `${X}` in it is meant to
    expand."""
    plain = _PLAIN_WORDS if words else _PLAIN
    if plain.match(text) and text.lower() not in _WORDS_OF_YAML:
        return text
    if not variables:
        text = text.replace("${", "$${")
    if text.isprintable() and '"' in text and "'" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'


def flow_list(items: Iterable[str], *, variables: bool = False) -> str:
    """A list on one line."""
    return f"[{', '.join(scalar(item, variables=variables) for item in items)}]"


def comment(text: str) -> str:
    """The text fit for a comment: one line, nothing that plays with a terminal."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
