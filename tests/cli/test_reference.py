"""The documents that are made from code are those that the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuepool.cli import reference
from queuepool.cli.main import COMMANDS
from queuepool.errors import ExitCode

DOCS = Path(reference.__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "make"),
    [("commands", reference.commands), ("exit-codes", reference.exit_codes), ("json", reference.objects)],
)
def test_the_reference_is_current(name: str, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(make)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert (DOCS / f"{name}.md").read_text() == make(), "run `python -m queuepool.cli.reference`"


def test_every_command_and_every_exit_code_is_in_it() -> None:
    text, codes = reference.commands(), reference.exit_codes()
    for section in COMMANDS.values():
        for name in section:
            assert f"\n### {name}\n" in text
    for code in ExitCode:
        assert f"| {code.value} | {code.name} |" in codes
    assert "| `-d, --detach` |" in text
