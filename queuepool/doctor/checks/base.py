"""What a check is, and how it is run. The checks are in the other modules here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Finding, Note, Severity

Find = Callable[[Facts], Iterable[Note]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look for. id: `group.name`. severity: of its notes that give none. title: what is checked, as a
    statement that holds where all is well. explanation: what goes wrong otherwise, and how it is mended: the docstring
    of the function, shown by `--explain`. unless: patterns of ids; what they found of the same programs explains what
    this one finds, which then is not said. needs: the looks (fields of Facts, as in examine.LOOKS) without which it
    finds nothing, so that `--only` can leave the others out; None: any of them. The file and its programs are read
    always."""

    id: str
    severity: Severity
    title: str
    explanation: str
    find: Find
    unless: tuple[str, ...] = ()
    needs: tuple[str, ...] | None = None

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
        return tuple(map(self.finding, self.find(facts)))

    def finding(self, note: Note) -> Finding:
        """The finding that a note of this check is."""
        return Finding(
            self.id, note.severity or self.severity, note.subject, note.what, note.evidence, note.remedy, self.doc,
            note.programs, note.fix,
        )  # fmt: skip


class Checks(list[Check]):
    """The checks of one module, in the order in which they are written:

    CHECKS = Checks("php")

    @CHECKS.add("pcntl", Severity.ERROR, "PHP has the pcntl extension")
    def pcntl(facts: Facts) -> Iterator[Note]: ...
    """

    def __init__(self, group: str, needs: tuple[str, ...] | None = None) -> None:
        """needs: of those checks that give none of their own."""
        super().__init__()
        self._group = group
        self._needs = needs

    def add(
        self,
        name: str,
        severity: Severity,
        title: str,
        *,
        unless: tuple[str, ...] = (),
        needs: tuple[str, ...] | None = None,
    ) -> Callable[[Find], Find]:
        """Make a function a check; see Check."""

        def register(find: Find) -> Find:
            text = inspect.getdoc(find)
            assert text, f"{name} is explained by its docstring"
            wanted = self._needs if needs is None else needs
            self.append(Check(f"{self._group}.{name}", severity, title, text, find, unless, wanted))
            return find

        return register
