"""The one file that `engine: supervisord` writes: a section per process, with what queuepool has to know of it,
and back. PURE. What is to be in it is supervisor_steps.py's decision, writing it engines/supervisord_files.py's.

Each process is a program, and so a group, of its own: Supervisor changes whole groups, and one must not touch another.
What Supervisor has no option for stands in comments, which its parser leaves out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec, ProcessSpec
from queuepool.formats.supervisor_export import CannotExport, section_of

_MARK = "; written by queuepool from "
_END = "; do not edit"
_SUM = "; sha256 of what follows: "
_ABOUT = "; queuepool: "
_HEADER = re.compile(r"\[program:(?P<name>[^\]]+)\]\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One process in the file. section: its name in Supervisor. fingerprint, serial: of the Revision that it is.
    release: real path that it was written for; None where there is none. runs: whether Supervisor starts it by itself
    (autostart). options: the rest of the section, as it stands in the file."""

    section: str
    name: ProcessName
    fingerprint: str
    serial: int = 0
    release: str | None = None
    runs: bool = True
    options: str = field(default="", repr=False)

    def same(self, other: Entry | None) -> bool:
        """Whether Supervisor would run the same by it."""
        return other is not None and replace(self, runs=other.runs) == other


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was read. owner: the queuepool.yml. whole: nobody changed it since it was written."""

    owner: str
    entries: Mapping[str, Entry]
    whole: bool


def entry(
    section: str, pool: PoolSpec, spec: ProcessSpec, serial: int, release: str | None, homes: Mapping[str, str]
) -> Entry:
    """The process as it is to be written. spec: with the launch that is wanted, paths of the release in it. homes: user
    -> home directory. Raises CannotExport for what no such file can hold."""
    named = replace(pool, autostart=True)
    _, _, options = section_of(section, named, spec, homes).partition("\n")
    if any(line.startswith(("[", ";", "#")) for line in options.splitlines()):
        raise CannotExport("it holds a line that Supervisor would take for another section or a comment")
    fingerprint = pool.process(spec.name.slot).launch.fingerprint
    return Entry(section, spec.name, fingerprint, serial, release, True, options)


def render(owner: str, entries: Iterable[Entry]) -> str:
    """The text of the file. owner: path of the queuepool.yml."""
    text = "\n".join(_section(one) for one in entries)
    total = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{_MARK}{owner}{_END}\n{_SUM}{total}\n\n{text}"


def read(text: str) -> Written | None:
    """What a file holds; None where it is not one of ours."""
    mark, _, rest = text.partition("\n")
    if not (mark.startswith(_MARK) and mark.endswith(_END)):
        return None
    total, _, body = rest.partition("\n")
    body = body.removeprefix("\n")
    owner = mark.removeprefix(_MARK).removesuffix(_END)
    found = hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    entries: dict[str, Entry] = {}
    whole = total == _SUM + found
    for part in re.split(r"^(?=\[)", body, flags=re.M):
        if not part.strip():
            continue
        one = _entry(part)
        if one is None:
            whole = False
        else:
            entries[one.section] = one
    return Written(owner, entries, whole)


def owner_of(text: str) -> str | None:
    """The queuepool.yml that a file is written from; None where it is not one of ours."""
    found = read(text)
    return found.owner if found else None


def to_json(entries: Iterable[Entry]) -> list[dict[str, object]]:
    """The entries as plain values, for a copy that is kept elsewhere."""
    return [{**_about(one), "section": one.section, "runs": one.runs, "options": one.options} for one in entries]


def from_json(values: Iterable[Mapping[str, object]]) -> dict[str, Entry]:
    """The other way. Raises KeyError, TypeError or ValueError."""
    found = {}
    for value in values:
        one = _described(str(value["section"]), value, bool(value["runs"]), str(value["options"]))
        found[one.section] = one
    return found


def _section(one: Entry) -> str:
    runs = "" if one.runs else "autostart=false\n"
    return f"[program:{one.section}]\n{_ABOUT}{json.dumps(_about(one))}\n{runs}{one.options}"


def _about(one: Entry) -> dict[str, object]:
    return {"process": str(one.name), "fingerprint": one.fingerprint, "serial": one.serial, "release": one.release}


def _entry(part: str) -> Entry | None:
    header, _, rest = part.partition("\n")
    about, _, options = rest.partition("\n")
    match = _HEADER.match(header)
    if match is None or not about.startswith(_ABOUT):
        return None
    try:
        value = json.loads(about.removeprefix(_ABOUT))
        runs = not options.startswith("autostart=false\n")
        options = options.removeprefix("autostart=false\n").rstrip("\n") + "\n"
        return _described(match["name"], value, runs, options)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _described(section: str, value: Mapping[str, object], runs: bool, options: str) -> Entry:
    release = value["release"]
    return Entry(
        section,
        ProcessName.parse(str(value["process"])),
        str(value["fingerprint"]),
        int(str(value["serial"])),
        None if release is None else str(release),
        runs,
        options,
    )
