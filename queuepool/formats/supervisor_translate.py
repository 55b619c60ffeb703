"""What every part of the import has at hand: the configuration, the remarks, texts in queuepool's words, and values
that are to be written in a form of their own. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queuepool.domain import expand
from queuepool.formats.supervisor_ini import Where
from queuepool.formats.supervisor_model import Config, Program, Surroundings
from queuepool.formats.supervisor_remarks import REFUSES, Remark, Verdict, quoted
from queuepool.formats.supervisor_values import Ref, Template


class Translator:
    """Collects remarks, and turns Supervisor's templates into queuepool's."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self.config, self.around = config, around
        self.remarks = list(config.remarks)
        self._said = set(self.remarks)

    def text(self, value: Template, where: Where, subject: str, option: str) -> str | None:
        """A template in queuepool's words; None (and a remark) where it cannot be said there."""
        try:
            known = value.known({"here": self.around.here})
            pieces: list[str | Ref] = []
            for piece in known.pieces:
                if isinstance(piece, Ref) and not (piece.name in expand.NAMES or piece.name.startswith("ENV_")):
                    shown = "a %(...)s" if option == "environment" else quoted(str(piece))
                    what = f"holds {shown}, whose name is not known; {REFUSES}"
                    self.say(Verdict.WRONG, where, subject, option, what, "it stands for itself here; mend it")
                    pieces.append(str(piece))
                    continue
                if isinstance(piece, Ref) and piece.name.startswith("ENV_"):
                    self._needs(piece.name[4:], where, subject, option)
                pieces.append(piece)
            return Template(tuple(pieces)).for_queuepool()
        except ValueError as error:
            self.say(Verdict.LEFT, where, subject, option, str(error), "write it by hand")
            return None

    def _needs(self, name: str, where: Where, subject: str, option: str) -> None:
        own = next((p.environment for p in self.config.programs if f"[{p.section.name}]" == subject), {})
        if name not in self.around.environ and name not in self.config.environment and name not in own:
            what = f"needs the environment variable {quoted(name)}, which is not set here"
            todo = "set it where `queuepool up` runs, or name a file with it: `env_file: .env`"
            self.say(Verdict.WRONG, where, subject, option, what, todo)

    def say(self, verdict: Verdict, where: Where, subject: str, option: str, what: str, todo: str = "") -> None:
        """Add a remark, once."""
        remark = Remark(verdict, where, subject, option, what, todo)
        if remark not in self._said:
            self._said.add(remark)
            self.remarks.append(remark)


class Part:
    """Something about one program: what it becomes in queuepool.yml goes to `keys`, what is to be said to the whole."""

    def __init__(self, whole: Translator, program: Program, label: str, keys: dict[str, Any]) -> None:
        self.whole, self.program, self.label, self.keys = whole, program, label, keys

    def text(self, value: Template, option: str) -> str | None:
        """As Translator.text, of this program."""
        return self.whole.text(value, self.program.where(option), self.label, option)

    def say(self, verdict: Verdict, option: str, what: str, todo: str = "") -> None:
        """Add a remark about an option of this program."""
        self.whole.say(verdict, self.program.where(option), self.label, option, what, todo)

    def wrong(self, option: str, what: str, todo: str) -> None:
        """Something was wrong in the old file."""
        self.say(Verdict.WRONG, option, what, todo)

    def changed(self, option: str, what: str, todo: str = "") -> None:
        """Something is not as it was."""
        self.say(Verdict.CHANGED, option, what, todo)


class Octal(int):
    """A mask, written 022."""


class Seconds(int):
    """A duration, written 1h where that is shorter."""


class Size(int):
    """Bytes, written 50MB."""


@dataclass(frozen=True, slots=True)
class Variable:
    """The value of an environment variable. value: what it is now, or the option's default."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"${{{self.name}}}"


def plain(value: Any) -> Any:
    """The value as the loader would have it."""
    if isinstance(value, Variable):
        return value.value
    return f"{value:03o}" if isinstance(value, Octal) else int(value) if isinstance(value, Seconds | Size) else value
