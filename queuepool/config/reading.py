"""One file of the configuration: its text, its variables, its models, and all that it names on disk. How several files
make one configuration is load.py's matter."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from queuepool.config import document, envfile
from queuepool.config.document import Document
from queuepool.config.problems import faults_of, sentence
from queuepool.domain.expand import CannotExpand, variables
from queuepool.domain.places import Fault, File, Path, Place, absolute
from queuepool.domain.spec import Section, Settings

MAX_BYTES = 16 * 1024 * 1024

M = TypeVar("M", bound=BaseModel)

_PATH_KEYS = frozenset({"app", "directory", "stdout_logfile", "stderr_logfile", "file"})


@dataclass(slots=True, eq=False)
class Reading:
    """One file as read. section: None when it cannot be used at all. doubtful: programs of which something is wrong
    already, so that what else seems wrong with them may be a consequence; None: all of them. content: what the digest
    is made of."""

    path: str
    shown: str
    document: Document = field(default_factory=Document)
    section: Section | None = None
    place: Place = field(default_factory=lambda: Place("/", "/"))
    doubtful: frozenset[str] | None = frozenset()
    content: str = field(default="", repr=False)
    _faults: list[tuple[int, Fault]] = field(default_factory=list)

    @property
    def file(self) -> File:
        """The file for the resolver; only where there is a section."""
        assert self.section is not None
        return File(self.section, self.place)

    @property
    def usable(self) -> bool:
        """Whether nothing worse than a warning was found."""
        return self.section is not None and all(fault.warning for _, fault in self._faults)

    def add(self, fault: Fault, line: int | None = None) -> None:
        """Note something wrong, at a line or where its path leads."""
        self._faults.append((self.document.line(fault.where) if line is None else line, fault))

    def doubt(self, where: Path) -> None:
        """Remember that what else seems wrong around there may come of what is wrong at `where`."""
        if where[:1] == ("defaults",):
            self.doubtful = None
        elif len(where) > 1 and where[0] == "programs" and self.doubtful is not None:
            self.doubtful |= {str(where[1])}

    def problems(self) -> Iterator[str]:
        """What is wrong, a sentence each, from the top of the file to its end."""
        for line, fault in sorted(self._faults, key=lambda item: item[0]):
            yield sentence(self.shown, line, fault)


class Unreadable(ValueError):
    """A file cannot be read; says why in a phrase that follows its name. hint: something to type, or ""."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def read_text(path: str) -> str:
    """The text of a small regular file in UTF-8. Raises Unreadable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO without a writer must not block
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Unreadable("is a directory" if stat.S_ISDIR(mode) else "is not a regular file")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = f"`namei -l {path}` shows who may; run queuepool as such a user, or change that"
        why = f"cannot be read: {os.strerror(error.errno or 0).lower()}"
        raise Unreadable(why, hint if isinstance(error, PermissionError) else "") from None
    except ValueError as error:
        raise error if isinstance(error, Unreadable) else Unreadable("cannot be read: its name is not valid") from None
    if len(content) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES // 2**20} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"is not UTF-8: line {line} holds the byte 0x{content[error.start]:02x}") from None


def read_file(
    path: str, shown: str, environ: Mapping[str, str], host: str, model: type[Section], main: Reading | None = None
) -> Reading:
    """Read and validate one file. Raises nothing: what is wrong is in the result."""
    reading = Reading(path, shown)
    here = os.path.dirname(path)
    try:
        text = read_text(path)
    except Unreadable as error:
        reading.add(Fault((), str(error), error.hint))
        return reading
    reading.document = found = document.parse(text)
    for trouble in found.troubles:
        reading.add(Fault(trouble.path, trouble.what, trouble.hint), trouble.line)
    data = found.data
    if data is None and not found.troubles and model is not Settings:
        data = {}
    if not isinstance(data, dict):
        if not found.troubles:
            what = "is empty" if data is None else "holds no `key: value` lines"
            reading.add(Fault((), what, "`queuepool init` writes a file to begin with"))
        return reading

    env_files = _EnvFiles(reading, here, environ)
    variables_here = {**env_files.named_by(data.get("env_file")), **environ}
    if main is not None and main.section is not None:
        for values in (main.place.env_files.get(name, {}) for name in main.section.env_file or ()):
            variables_here = {**values, **variables_here}
    cleaned = _Cleaner(reading, variables_here).mapping(data, ())
    reading.section = _validate(reading, model, cleaned)
    if reading.section is None:
        return reading

    section = reading.section
    if main is not None and "app" not in section.model_fields_set:
        app = main.place.app
    else:
        app = absolute(here, section.app).rstrip("/") or "/"
    env_files.read_all(section)
    reading.place = Place(
        here=here,
        app=app,
        laravel=os.path.exists(os.path.join(app, "artisan")),
        host=host,
        environ=variables_here,
        env_files=env_files.known,
        source=lambda where: f"{shown}:{found.line(where)}",
    )
    if isinstance(section, Settings) and section.notifications is not None:
        _look_for_secrets(reading)
    reading.content = repr((path, cleaned, env_files.known, app, reading.place.laravel, host))
    if model is Settings and not section.programs and not section.model_fields_set & {"programs", "include"}:
        reading.add(Fault((), "holds no programs", "`queuepool init` writes a file to begin with"), 1)
    return reading


def _look_for_secrets(reading: Reading) -> None:
    """Warn of files that hold secrets and cannot be read. The daemon may be another user, and reads them when it needs
    them."""
    from queuepool.domain.notification import secret_files

    for where, path in secret_files(reading.file):
        try:
            read_text(path)
        except Unreadable as error:
            reading.add(Fault(where, f"names {path}, which {error}", warning=True))


class _EnvFiles:
    """Reads each env_file once."""

    def __init__(self, reading: Reading, here: str, environ: Mapping[str, str]) -> None:
        self.reading, self.here, self.environ = reading, here, environ
        self.known: dict[str, dict[str, str]] = {}

    def named_by(self, value: Any) -> dict[str, str]:
        """What the file's own env_file gives, before the file is validated; its faults are found later."""
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found: dict[str, str] = {}
        for name in names:
            if isinstance(name, str) and name:
                try:
                    found.update(self._read(variables(name, self.environ.get)))
                except ValueError:
                    continue
        return found

    def read_all(self, section: Section) -> None:
        """Everything that is named anywhere in the file."""
        self._want(("env_file",), section.env_file)
        self._want(("defaults", "env_file"), section.defaults.env_file)
        for name, program in section.programs.items():
            if program.env_file:
                self._want(("programs", name, "env_file"), program.env_file)

    def _want(self, where: Path, names: tuple[str, ...] | None) -> None:
        for name in names or ():
            try:
                self._read(name)
            except Unreadable as error:
                self.reading.add(Fault(where, f"names {name}, which {error}"))
            except envfile.BadEnvFile as error:
                self.reading.add(Fault(where, f"names {name}, where {error}"))

    def _read(self, name: str) -> dict[str, str]:
        if name not in self.known:
            text = read_text(absolute(self.here, os.path.expanduser(name)))
            if "\0" in text:
                raise Unreadable("holds a NUL character")
            self.known[name] = envfile.parse(text, self.environ.get)
        return self.known[name]


class _Cleaner:
    """Replaces ${X} and ~, and drops keys without a value and those that begin with x-."""

    def __init__(self, reading: Reading, known: Mapping[str, str]) -> None:
        self.reading, self.known = reading, known

    def mapping(self, data: Mapping[str, Any], path: Path) -> dict[str, Any]:
        nulls_count = bool(path) and path[-1] == "environment"
        found: dict[str, Any] = {}
        for key, value in data.items():
            if value is None and path == ("programs",):
                found[key] = {}
            elif (value is not None or nulls_count) and (path or not key.startswith("x-")):
                cleaned = self.value(value, (*path, key))
                if cleaned is not _GONE:
                    found[key] = cleaned
        return found

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self.mapping(value, path)
        if isinstance(value, list):
            items = [self.value(item, (*path, at)) for at, item in enumerate(value)]
            return [item for item in items if item is not _GONE]
        if isinstance(value, str):
            return self.text(value, path)
        return value

    def text(self, text: str, path: Path) -> Any:
        if "$" in text:
            try:
                text = variables(text, self.known.get)
                if "\0" in text:
                    raise CannotExpand("holds a NUL character")
            except CannotExpand as error:
                self.reading.add(Fault(path, str(error)))
                self.reading.doubt(path)
                return _GONE
        if text.startswith("~") and path[-1] in _PATH_KEYS and "environment" not in path:
            return os.path.expanduser(text)
        return text


_GONE = object()
"""Stands for a value that could not be expanded; why has been said."""


def _validate(reading: Reading, model: type[Section], data: dict[str, Any]) -> Section | None:
    """The models. With something wrong in them, the models of what is right, so that the search can go on."""
    section = _valid(reading, model, model, data)
    if not isinstance(section, Settings) or section.notifications is None:
        return section
    from queuepool.domain.notifyspec import Notifications  # here: few files need it

    said = _valid(reading, Notifications, model, section.notifications, ("notifications",))
    return section.model_copy(update={"notifications": said})


def _valid(reading: Reading, kind: type[M], model: type[Section], data: Any, above: Path = ()) -> M | None:
    """One model. above: where in the file its data is."""

    def text_at(where: Path) -> str | None:
        text = reading.document.text(where)
        return None if text is None or "$" in text else text

    first = True
    for _ in range(4):
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            faults = faults_of(error, model, text_at, above)
            for fault in faults:
                if first:
                    reading.add(fault)
                reading.doubt(fault.where)
            first = False
            dropped = [_drop(data, fault.where[len(above) :]) for fault in faults]
            if not all(dropped):
                break
    return None


def _drop(data: Any, where: Path) -> bool:
    """Remove what is at `where`, or the nearest mapping's key on the way; whether there was one."""
    holder, key = None, None
    for step in where:
        if isinstance(data, dict) and step in data:
            holder, key = data, step
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            break
    if holder is not None:
        del holder[key]
    return holder is not None
