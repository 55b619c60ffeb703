"""The text of Supervisor's files -> sections and options, each with its file and line. PURE. What the options mean is
supervisor_config.py's matter, where the files are is the caller's.

Supervisor reads with RawConfigParser(strict=False, inline_comment_prefixes=";#") (supervisor/options.py, class
UnhosedConfigParser); this reads the same, but it remembers lines, and it goes on where that one raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<name>.*?)\s*[=:]\s*(?P<value>.*)\Z")
_COMMENTS = (";", "#")
_HERE = "%(here)s"
DEFAULT = "DEFAULT"
"""The section whose options every other one has (configparser's default_section)."""


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Option:
    """What an option says. cut: what stood behind it as a comment. before: where it was said earlier, in vain."""

    value: str = field(repr=False)
    where: Where
    cut: str = field(default="", repr=False)
    before: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """All that the sections of one name say together. where: every place at which one begins."""

    name: str
    where: tuple[Where, ...]
    options: Mapping[str, Option]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a line; Supervisor refuses the file for it, or goes on without a word (ignored)."""

    where: Where
    what: str
    todo: str = ""
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its path as shown, its directory, its text."""

    path: str
    here: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ini:
    """What files say together, the sections in the order of their first places. main: the first file."""

    sections: Mapping[str, Section]
    main: str = ""
    faults: tuple[Fault, ...] = ()


def read(sources: Sequence[Source]) -> Ini:
    """The files as one. The first is the main one, the others those that it includes, in their order."""
    reader = _Reader()
    for source in sources:
        reader.take(source)
        if "include" in reader.sections:  # as UnhosedConfigParser.expand_here does, which only then is called
            reader.expand_here(source.here)
    sections = {
        name: Section(name, tuple(one.where), {**reader.defaults.options, **one.options})
        for name, one in reader.sections.items()
    }
    return Ini(sections, sources[0].path if sources else "", tuple(reader.faults))


@dataclass(slots=True)
class _Open:
    """A section that is being read."""

    where: list[Where] = field(default_factory=list)
    options: dict[str, Option] = field(default_factory=dict)


class _Reader:
    def __init__(self) -> None:
        self.sections: dict[str, _Open] = {}
        self.defaults = _Open()
        self.faults: list[Fault] = []

    def take(self, source: Source) -> None:
        """RawConfigParser._read, line by line."""
        section: _Open | None = None
        name: str | None = None
        lines: dict[tuple[int, str], list[str]] = {}
        owners: dict[int, _Open] = {}
        indent = 0
        lost = False
        text = source.text
        if text.startswith("\ufeff"):
            self.faults.append(
                Fault(Where(source.path, 1), "begins with a byte order mark", "save it as UTF-8 without BOM")
            )
            text = text[1:]
        for number, line in enumerate(_LINE_END.split(text), 1):
            where = Where(source.path, number)
            end = _comment(line)
            value = line[:end].strip()
            if not value:
                if end is None and section is not None and name is not None:
                    lines[id(section), name].append("")
                continue
            depth = len(line) - len(line.lstrip())
            if section is not None and name is not None and depth > indent:
                lines[id(section), name].append(value)
                option = section.options[name]
                section.options[name] = replace(option, cut=option.cut + (line[end:].strip() if end else ""))
                continue
            indent = depth
            if header := _HEADER.match(value):
                section = self._begin(header["name"], where)
                if header.end() < len(value):
                    what = f"holds more behind the header [{header['name'][:60]}], and Supervisor reads none of it"
                    self.faults.append(Fault(where, what, "write each on a line of its own", ignored=True))
                owners[id(section)] = section
                name = None
            elif section is None:
                if not lost:
                    self.faults.append(Fault(where, "stands before any [section]", "remove it, or put a header above"))
                lost = True
            elif (match := _OPTION.match(value)) and match["name"]:
                name = match["name"].lower()
                before = section.options.get(name)
                section.options[name] = Option(
                    "", where, line[end:].strip() if end else "", (*before.before, before.where) if before else ()
                )
                lines[id(section), name] = [match["value"].strip()]
            else:
                self.faults.append(self._no_option(where, value))
        for (owner, key), parts in lines.items():
            options = owners[owner].options
            options[key] = replace(options[key], value="\n".join(parts).rstrip())

    def _begin(self, name: str, where: Where) -> _Open:
        section = self.defaults if name == DEFAULT else self.sections.setdefault(name, _Open())
        section.where.append(where)
        return section

    @staticmethod
    def _no_option(where: Where, value: str) -> Fault:
        if value.startswith("//"):
            return Fault(where, "begins with //, which is no comment in this file", "begin a comment with ; or #")
        return Fault(where, "is neither a [section] nor an option=value", "remove it, or write it as option=value")

    def expand_here(self, here: str) -> None:
        """Put the directory of the file in, in all that has been read so far."""
        for section in (self.defaults, *self.sections.values()):
            for name, option in section.options.items():
                if _HERE in option.value:
                    section.options[name] = replace(option, value=option.value.replace(_HERE, here))


def _comment(line: str) -> int | None:
    """Where the comment begins, None where there is none. An inline one needs a blank before it. The two marks are
    searched for side by side and the search ends with the first round that finds one, as in RawConfigParser._read."""
    if line.strip().startswith(_COMMENTS):
        return 0
    nowhere = start = len(line)
    at = dict.fromkeys(_COMMENTS, -1)
    while start == nowhere and at:
        following = {}
        for mark, index in at.items():
            index = line.find(mark, index + 1)
            if index == -1:
                continue
            following[mark] = index
            if index == 0 or line[index - 1].isspace():
                start = min(start, index)
        at = following
    return None if start == nowhere else start
