"""Makes docs/doctor.md from the checks: `python -m queuepool.doctor.reference`. A test asserts that it is current."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from queuepool.doctor.checks import CHECKS

MADE = "<!-- Made by `python -m queuepool.doctor.reference`; do not edit. -->"


def checks() -> str:
    """The text of docs/doctor.md."""
    lines = [
        MADE,
        "# Checks of `queuepool doctor`",
        "",
        *_wrapped(
            "What each of the checks looks for. `queuepool doctor --explain ID` shows the same; how the doctor is used "
            "is in [howto/doctor.md](howto/doctor.md). An error is something that does not work, or loses jobs, now; a "
            "warning will bite; an info is worth knowing."
        ),
        "",
        "| check | severity | what is checked |",
        "|---|---|---|",
        *(f"| [{one.id}](#{one.id}) | {one.severity.value} | {_cell(one.title)} |" for one in CHECKS),
    ]
    group = ""
    for one in CHECKS:
        if one.group != group:
            group = one.group
            lines += ["", f"## {group}"]
        lines += ["", f'<a id="{one.id}"></a>', f"### {one.id}", "", f"{one.title}. ({one.severity.value})", ""]
        lines += _blocks(one.explanation)
    return "\n".join(lines) + "\n"


def _blocks(text: str) -> Iterator[str]:
    for at, block in enumerate(text.split("\n\n")):
        if at:
            yield ""
        yield from block.splitlines() if block.startswith((" ", "-", "|")) else _wrapped(block)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(docs: Path) -> None:
    """Write the file into `docs`."""
    (docs / "doctor.md").write_text(checks(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
