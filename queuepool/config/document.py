"""A YAML text -> plain data with the line of everything in it, or what is wrong with the text. Scalars stay the text
they are; which key means what is domain/spec.py's matter. No file is read here.

The parser's events are taken one by one, so that a text of any size and depth costs bounded memory and no recursion,
and aliases that would unfold to billions of nodes are refused when they reach a million.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_NODES = 1_000_000
MAX_DEPTH = 50

Marks = int | tuple[int, dict[str, Any] | list[Any]]
"""The line of a scalar, or of a mapping or list together with the marks of what is in it."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_KNOWN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_IN_OTHER_WORDS = {
    "exceeded maximum nesting depth": (f"it is nested more than {MAX_DEPTH} deep", ""),  # libyaml's own limit is 1000
    "found character that cannot start any token": (
        "a value cannot begin with this character",
        "put the value in quotes; indent with blanks, not tabs",
    ),
    "mapping values are not allowed in this context": (
        "there is a colon where none can be",
        "check the indentation; put text that holds a colon in quotes",
    ),
    "could not find expected ':'": ("there is a key without a colon", "write it as `key: value`"),
    "did not find expected key": ("something else stands where a key should be", "check the indentation"),
    "found undefined alias": ("an alias (*name) has no anchor (&name) before it", ""),
    "found unexpected end of stream": ("a quote is not closed", ""),
    "control characters are not allowed": ("there is a control character", "remove it"),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with the text itself. path: the keys that lead there."""

    line: int
    path: tuple[str | int, ...]
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """data: mappings, lists, text and None. When `troubles` is not empty, data is what could be understood."""

    data: Any = None
    marks: Marks = 1
    troubles: tuple[Trouble, ...] = ()

    def line(self, path: tuple[str | int, ...]) -> int:
        """The line of what `path` leads to, or of the last on the way that is there."""
        marks: Any = self.marks
        for step in path:
            try:
                marks = marks[1][step]
            except (KeyError, IndexError, TypeError):
                break
        return marks if isinstance(marks, int) else int(marks[0])

    def text(self, path: tuple[str | int, ...]) -> str | None:
        """The text that stands there, before anything is expanded; None when it is no text."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value if isinstance(value, str) else None


class _Refused(Exception):
    """The text cannot be used beyond this point."""

    def __init__(self, line: int, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.line, self.what, self.hint = line, what, hint


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    data: Any
    marks: Any
    line: int
    anchor: str | None
    key: str | None = None
    key_line: int = 0
    weight: int = 1
    merges: list[tuple[Any, Any]] = field(default_factory=list)


def parse(text: str) -> Document:
    """Read one YAML document. Raises nothing: what is wrong is in the document's troubles."""
    builder = _Builder()
    try:
        loader = Loader(text)
        try:
            while (event := loader.get_event()) is not None:
                builder.take(event)
        finally:
            loader.dispose()
    except _Refused as error:
        builder.troubles.append(Trouble(error.line, builder.path(), error.what, error.hint))
    except yaml.YAMLError as error:
        builder.troubles.append(_in_words(error, text))
    return Document(builder.data, builder.marks, tuple(builder.troubles))


def _in_words(error: yaml.YAMLError, text: str) -> Trouble:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = str(error.problem or error.context or "cannot be read").partition("\n")[0]
        line = 1 if mark is None else mark.line + 1
    else:
        said = str(getattr(error, "reason", "") or "control characters are not allowed")
        line = text.count("\n", 0, max(0, int(getattr(error, "position", 0) or 0))) + 1
    line = min(line, text.count("\n") + 1)
    what, hint = next(((w, h) for start, (w, h) in _IN_OTHER_WORDS.items() if start in said), (said, ""))
    return Trouble(line, (), f"this is not valid YAML: {what}", hint)


class _Builder:
    """Puts the events of one document together."""

    def __init__(self) -> None:
        self.data: Any = None
        self.marks: Any = 1
        self.troubles: list[Trouble] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, Any, int] | None] = {}
        self.documents = 0
        self.nodes = 0

    def path(self) -> tuple[str | int, ...]:
        """Where the builder is."""
        steps: list[str | int] = []
        for frame in self.stack:
            if isinstance(frame.data, list):
                steps.append(len(frame.data))
            elif frame.key is not None:
                steps.append(frame.key)
        return tuple(steps)

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._close()
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._open(event, {} if kind is MappingStartEvent else [])
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                raise _Refused(event.start_mark.line + 1, "a second document (---) begins here", "keep one per file")

    def _scalar(self, event: Any) -> None:
        line, value = event.start_mark.line + 1, event.value
        if event.tag is not None:
            self._check_tag(event, line)
        if "\0" in value:
            raise _Refused(line, "there is a NUL character in the text", "remove it")
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and isinstance(frame.data, dict):
            frame.key, frame.key_line = value, line
            if event.anchor is not None:
                self.anchors[event.anchor] = value, line, 1
            return
        plain = event.style is None or event.style == ""
        self._add(None if plain and value in _NULLS else value, line, line, 1, event.anchor)

    def _open(self, event: Any, data: Any) -> None:
        line = event.start_mark.line + 1
        if event.tag is not None:
            self._check_tag(event, line)
        if self.stack and self.stack[-1].key is None and isinstance(self.stack[-1].data, dict):
            raise _Refused(line, "a key must be text, not a list or a mapping", "check the indentation")
        if len(self.stack) >= MAX_DEPTH:
            raise _Refused(line, f"it is nested more than {MAX_DEPTH} deep")
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # not yet whole: an alias in here would be part of itself
        self.stack.append(_Open(data, {} if isinstance(data, dict) else [], line, event.anchor))

    def _close(self) -> None:
        frame = self.stack.pop()
        for data, marks in frame.merges:
            for key, value in data.items():
                if key not in frame.data:
                    frame.data[key], frame.marks[key] = value, marks[key]
        self._add(frame.data, (frame.line, frame.marks), frame.line, frame.weight, frame.anchor)

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if event.anchor not in self.anchors:
            raise _Refused(line, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        known = self.anchors[event.anchor]
        if known is None:
            raise _Refused(line, f"the alias *{event.anchor} is inside of what it stands for")
        data, marks, weight = known
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and isinstance(frame.data, dict):
            if not isinstance(data, str):
                raise _Refused(line, "a key must be text, not a list or a mapping")
            frame.key, frame.key_line = data, line
            return
        self._add(data, marks, line, weight, None)

    def _add(self, data: Any, marks: Any, line: int, weight: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = data, marks, weight
        if not self.stack:
            self.data, self.marks = data, marks
            return
        frame = self.stack[-1]
        frame.weight += weight
        if frame.weight > MAX_NODES:
            raise _Refused(
                line, f"it unfolds to more than {MAX_NODES:,} values", "aliases multiply what they stand for"
            )
        if isinstance(frame.data, list):
            frame.data.append(data)
            frame.marks.append(marks)
            return
        key, frame.key = str(frame.key), None
        if key == "<<":
            self._merge(frame, data, marks)
        elif key in frame.data:
            first = frame.marks[key]
            first_line = first if isinstance(first, int) else first[0]
            path = (*self.path(), key)
            self.troubles.append(Trouble(frame.key_line, path, f"is given twice, first in line {first_line}"))
        else:
            frame.data[key] = data
            frame.marks[key] = frame.key_line if isinstance(marks, int) else (frame.key_line, marks[1])

    def _merge(self, frame: _Open, data: Any, marks: Any) -> None:
        """Take `<<: *alias` or `<<: [*one, *two]`, YAML's way of sharing options; what is closer wins."""
        if isinstance(data, dict):
            frame.merges.append((data, marks[1]))
        elif isinstance(data, list) and data and all(isinstance(item, dict) for item in data):
            frame.merges += [(item, its_marks[1]) for item, its_marks in zip(data, marks[1], strict=True)]
        else:
            self.troubles.append(Trouble(frame.key_line, self.path(), "<< needs an alias of a mapping"))

    def _check_tag(self, event: Any, line: int) -> None:
        if event.tag not in _KNOWN_TAGS and event.tag != "!":
            raise _Refused(line, f"the tag {event.tag} is not known here", "leave it out")
