"""The small languages inside the values of supervisord.conf, as supervisor/datatypes.py reads them, and its
%-expansions. PURE. Which option speaks which is supervisor_config.py's matter. Readers raise ValueError with a phrase
that follows the value in a sentence; no value is part of it, for it may be a secret.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.domain.pool import Autorestart

_TRUE = ("yes", "true", "on", "1")
_FALSE = ("no", "false", "off", "0")
_SUFFIXES = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}


def boolean(text: str) -> bool:
    """yes/true/on/1 or no/false/off/0."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def integer(text: str) -> int:
    """What Python's int() takes."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("is not a whole number") from None


def byte_size(text: str) -> int:
    """Bytes from 1024, `512KB`, `50MB`, `1GB`."""
    factor = _SUFFIXES.get(text[-2:].lower())
    try:
        return int(text) if factor is None else int(text[:-2]) * factor
    except ValueError:
        raise ValueError("is not a size: whole numbers with KB, MB or GB are") from None


def size_text(count: int) -> str:
    """Bytes as a person writes them, and as `byte_size` reads them: 50MB."""
    for unit, factor in (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def octal(text: str) -> int:
    """A mask or mode such as 022."""
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError("is not an octal number such as 022") from None


def signal_number(text: str) -> int:
    """The number of a signal from `TERM`, `SIGTERM` or 15."""
    try:
        number = int(text)
    except ValueError:
        name = text.strip().upper()
        found = getattr(signal, name if name.startswith("SIG") else "SIG" + name, None)
        if not isinstance(found, signal.Signals):
            raise ValueError("is not a signal") from None
        return int(found)
    if number not in {int(one) for one in signal.Signals}:
        raise ValueError("is not the number of a signal")
    return number


def autorestart(text: str) -> Autorestart:
    """true, false or unexpected."""
    if text.lower() == "unexpected":
        return Autorestart.UNEXPECTED
    try:
        return Autorestart.ALWAYS if boolean(text) else Autorestart.NEVER
    except ValueError:
        raise ValueError("is none of true, false and unexpected") from None


def exit_codes(text: str) -> tuple[int, ...]:
    """Codes from `0,2`."""
    try:
        codes = tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ValueError("is not a list of exit codes such as 0,2") from None
    if not all(0 <= code <= 255 for code in codes):
        raise ValueError("holds an exit code that is not between 0 and 255")
    return codes


def strings(text: str) -> tuple[str, ...]:
    """Parts of a list with commas; empty ones stay, as in Supervisor."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


def environment(text: str) -> dict[str, str]:
    """Variables from `A="1",B=2`. The separator may be any one token: Supervisor does not look at it."""
    lexer = shlex.shlex(text)
    lexer.wordchars += "/.+-():"
    try:
        tokens = list(lexer)
    except ValueError:
        raise ValueError("has a quote that is not closed") from None
    found = {}
    for at in range(0, len(tokens), 4):
        triple = tokens[at : at + 3]
        if len(triple) != 3 or triple[1] != "=":
            raise ValueError('is not of the form A="1",B="2"')
        found[triple[0]] = triple[2].strip("'\"")
    return found


def log_kind(text: str) -> str:
    """auto, none, syslog or path."""
    word = text.lower()
    return {"none": "none", "off": "none", "auto": "auto", "syslog": "syslog"}.get(word, "path")


def address(text: str) -> tuple[str, int]:
    """(host, port) of an inet_http_server; host is empty for every address."""
    host, _, port = text.rpartition(":")
    try:
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ValueError("is not a host:port")
    return ("" if host == "*" else host.lower()), number


def name_fault(text: str) -> str:
    """Why Supervisor would not take this name, "" when it would."""
    bad = next((char for char in " :/" if char in text.strip()), None)
    return f"holds {char_name(bad)}, which Supervisor takes in no name" if bad else ""


def char_name(char: str) -> str:
    """A character in words."""
    return {" ": "a blank", ":": "a colon", "/": "a slash"}[char]


@dataclass(frozen=True, slots=True)
class Ref:
    """`%(name)02d` in a text. form: what follows the name."""

    name: str
    form: str

    def __str__(self) -> str:
        return f"%({self.name}){self.form}"


_PERCENT = re.compile(r"%%|%\(([^()%]*)\)([#0 +-]*[0-9]{0,3}(?:\.[0-9]{0,3})?[diouxXeEfFgGcrsa])|%")
_TAKEN = re.compile(r"[0 +-]*[0-9]{0,3}[sdi]\Z")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with %(...)s in it, as Python's % operator reads it. bare: whether it holds a % that is neither %% nor
    %(name)s; Supervisor refuses it, here it stands for itself."""

    pieces: tuple[str | Ref, ...] = field(repr=False)
    bare: bool = False

    def __str__(self) -> str:
        return "".join(map(str, self.pieces))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it, in their order."""
        return tuple(piece.name for piece in self.pieces if isinstance(piece, Ref))

    def render(self, values: Mapping[str, str | int]) -> str:
        """The text for these values. Raises KeyError for a name that is not among them, ValueError for a form that
        its value does not have."""
        return "".join(piece if isinstance(piece, str) else _formatted(piece, values) for piece in self.pieces)

    def known(self, values: Mapping[str, str | int]) -> Template:
        """With the names of `values` filled in. Raises ValueError as `render` does."""
        pieces = [
            _formatted(piece, values) if isinstance(piece, Ref) and piece.name in values else piece
            for piece in self.pieces
        ]
        return Template(tuple(pieces), self.bare)

    def for_queuepool(self) -> str:
        """The same in queuepool.yml, where a lone % is just that and ${X} expands (domain/expand.py). Raises ValueError
        for a form that is not known there."""
        text = ""
        for at, piece in enumerate(self.pieces):
            if isinstance(piece, Ref):
                if re.match(r"\.0*s\Z", piece.form):  # no character of it
                    continue
                if not _TAKEN.match(piece.form):
                    raise ValueError(f"holds {piece}, whose form is not known here")
                text += str(piece)
            else:
                text += piece.replace("%(", "%%(").replace("${", "$${")
                follows = self.pieces[at + 1] if at + 1 < len(self.pieces) else None
                if isinstance(follows, Ref) and text.endswith("%"):
                    raise ValueError("holds a % right before %(...)")
        return text


def template(text: str) -> Template:
    """The text taken apart. A form that is wide or wrong counts as a bare %."""
    pieces: list[str | Ref] = []
    bare, at, literal = False, 0, ""
    for match in _PERCENT.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[2] is None:
            bare = bare or match[0] == "%"
            literal += "%"
        else:
            if literal:
                pieces.append(literal)
            literal = ""
            pieces.append(Ref(match[1], match[2]))
    if literal + text[at:]:
        pieces.append(literal + text[at:])
    return Template(tuple(pieces), bare)


def _formatted(ref: Ref, values: Mapping[str, str | int]) -> str:
    value = values[ref.name]
    try:
        return ("%" + ref.form) % (value,)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"holds {ref}, which does not fit its value") from None
