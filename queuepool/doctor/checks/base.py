"""What a check is, and how it is run. The checks are in the other modules here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Finding, Note, Severity

Find = Callable[[Facts], Iterable[Note]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look for. id: `group.name`. severity: of its notes that give none. title: what is checked, as a
    statement that holds where all is well. explanation: what goes wrong otherwise, and how it is mended: the docstring
    of the function, shown by `--explain`. unless: patterns of ids; what they found of the same programs explains what
    this one finds, which then is not said."""

    id: str
    severity: Severity
    title: str
    explanation: str
    find: Find
    unless: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The part of the installation that it is about."""
        return self.id.partition(".")[0]

    @property
    def doc(self) -> str:
        """Where it is explained."""
        return f"docs/doctor.md#{self.id}"

    def run(self, facts: Facts) -> tuple[Finding, ...]:
        """What it finds; nothing where all is well."""
        return tuple(
            Finding(
                self.id, note.severity or self.severity, note.subject, note.what, note.evidence, note.remedy, self.doc,
                note.programs, note.fix,
            )
            for note in _merged(self.find(facts))
        )  # fmt: skip


def _merged(notes: Iterable[Note]) -> Iterable[Note]:
    """An application that runs as several users is looked at as each: what is the same for all of them is said once."""
    found: dict[tuple[str, str, tuple[str, ...]], Note] = {}
    for note in notes:
        same = found.setdefault((note.subject, note.what, note.evidence), note)
        if same is not note:
            programs = tuple(dict.fromkeys((*same.programs, *note.programs)))
            found[note.subject, note.what, note.evidence] = replace(same, programs=programs)
    return found.values()


class Checks(list[Check]):
    """The checks of one module, in the order in which they are written:

    CHECKS = Checks("php")

    @CHECKS.add("pcntl", Severity.ERROR, "PHP has the pcntl extension")
    def pcntl(facts: Facts) -> Iterator[Note]: ...
    """

    def __init__(self, group: str) -> None:
        super().__init__()
        self._group = group

    def add(self, name: str, severity: Severity, title: str, *, unless: tuple[str, ...] = ()) -> Callable[[Find], Find]:
        """Make a function a check; see Check."""

        def register(find: Find) -> Find:
            text = inspect.getdoc(find)
            assert text, f"{name} is explained by its docstring"
            self.append(Check(f"{self._group}.{name}", severity, title, text, find, unless))
            return find

        return register
