"""What expands inside values: `${X}` anywhere in the file, and Supervisor's `%(program_name)s` in what a process is
made of. Where the variables come from is the caller's matter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_VARIABLE = re.compile(r"\$(?:\$(?=\{)|\{([^{}]*)\}|(\{))")
_VARIABLE_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)(.*))?\Z", re.DOTALL)
_PERCENT = re.compile(r"%%\(|%\(([A-Za-z_][A-Za-z0-9_]*)\)([0 +-]*[0-9]{0,3}[sdi])|(%\()")

NAMES = ("program_name", "process_num", "group_name", "here", "host_node_name", "numprocs")
"""What may stand in %(...)s besides ENV_<variable>: Supervisor's names (supervisor/options.py)."""


class CannotExpand(ValueError):
    """A variable or name that is not known, or a mark that is not complete; says so without any value."""


def variables(text: str, lookup: Callable[[str], str | None], *, lenient: bool = False) -> str:
    """`text` with ${X}, ${X:-default if unset or empty}, ${X-default if unset} replaced. `$${X}` stands for
    `${X}` itself; any other `$$` stays, since shells mean their own pid by it.

    lenient: leave what cannot be replaced as it stands, as Laravel does in a .env file. Raises CannotExpand.
    """
    if "$" not in text:
        return text

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        body = None if match[2] else _VARIABLE_BODY.match(match[1])
        if body is None:
            if lenient:
                return match[0]
            raise CannotExpand("holds ${ that is no variable such as ${NAME} or ${NAME:-default}; write $${ for ${")
        value = lookup(body[1])
        if value is None or (body[2] == ":-" and not value):
            if body[2]:
                return body[3]
            if value is None:
                if lenient:
                    return match[0]
                raise CannotExpand(f"needs the environment variable {body[1]}, which is not set")
        return value or ""

    return _VARIABLE.sub(replaced, text)


@dataclass(frozen=True, slots=True)
class Template:
    """Text with %(...)s in it. pieces: literal text, or (name, conversion)."""

    pieces: tuple[str | tuple[str, str], ...]

    @property
    def per_slot(self) -> bool:
        """Whether it differs from slot to slot."""
        return any(isinstance(piece, tuple) and piece[0] == "process_num" for piece in self.pieces)

    def bind(self, values: Mapping[str, str | int]) -> Template:
        """With everything but the number of the slot filled in; raises CannotExpand as `render` does."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], str):
            return self
        pieces: list[str | tuple[str, str]] = []
        for piece in self.pieces:
            if isinstance(piece, tuple) and piece[0] != "process_num":
                piece = _formatted(*piece, values)
            if isinstance(piece, str) and pieces and isinstance(last := pieces[-1], str):
                pieces[-1] = last + piece
            else:
                pieces.append(piece)
        return Template(tuple(pieces))

    def render(self, values: Mapping[str, str | int]) -> str:
        """The text for these values; raises CannotExpand for a name that is not among them."""
        return "".join(piece if isinstance(piece, str) else _formatted(*piece, values) for piece in self.pieces)


def _formatted(name: str, conversion: str, values: Mapping[str, str | int]) -> str:
    try:
        value = values[name]
    except KeyError:
        if name.startswith("ENV_"):
            raise CannotExpand(f"needs the environment variable {name[4:]}, which is not set") from None
        known = ", ".join(f"%({n})s" for n in NAMES)
        raise CannotExpand(f"holds %({name}), which is not known; there are {known} and %(ENV_X)s") from None
    try:
        return ("%" + conversion) % (int(value) if conversion[-1] in "di" else value)
    except ValueError:
        raise CannotExpand(f"wants %({name}) as a number, which it is not") from None


@lru_cache(maxsize=4096)
def template(text: str) -> Template:
    """`text` made ready to be rendered. A % that is not followed by ( is just a %, and %%( is %( itself.

    Raises CannotExpand for a %( that is not of the form %(name)s or %(name)02d.
    """
    return Template(tuple(_pieces(text)))


def _pieces(text: str) -> Iterator[str | tuple[str, str]]:
    if "%(" not in text:
        yield text
        return
    at, literal = 0, ""
    for match in _PERCENT.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[3]:
            raise CannotExpand("holds %( that is not of the form %(name)s or %(name)02d; write %%( for %( itself")
        if match[1] is None:
            literal += "%("
            continue
        if literal:
            yield literal
        literal = ""
        yield match[1], match[2]
    if literal + text[at:]:
        yield literal + text[at:]
