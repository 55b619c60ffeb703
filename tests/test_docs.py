"""The documents against each other and against the program: links lead somewhere, commands exist, and the Chinese pages
hold the same facts as those they were made from."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from queuepool.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"""(?<![\w./-])queuepool +(?=[\w-])((?:[^|;&<>)`'"\n]|"[^"\n]*"|'[^'\n]*')*)""")

README, MIGRATION, DOCTOR = "README.md", "docs/migrating-from-supervisor.md", "docs/howto/doctor.md"
TRANSLATED = {
    (README, "A minute of use"): ("docs/zh/README.md", "和 Supervisor 有什么不同"),
    (MIGRATION, "Options"): ("docs/zh/migrating-from-supervisor.md", "选项对照"),
    (MIGRATION, "Commands"): ("docs/zh/migrating-from-supervisor.md", "命令对照"),
    (MIGRATION, "Widespread, and wrong"): ("docs/zh/migrating-from-supervisor.md", "流传很广但不对的说法"),
    (DOCTOR, "At three in the morning"): ("docs/zh/doctor.md", "凌晨三点出了故障"),
    (DOCTOR, "In CI, before a deploy"): ("docs/zh/doctor.md", "在 CI 中，部署之前"),
}
"""(page, section) -> (Chinese page, section) whose rows say the same."""


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_fences(page: Path) -> str:
    return FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """What `#...` may name in the page: GitHub's names of its headings, and the ids that stand in it."""
    text = without_fences(page)
    seen: Counter[str] = Counter()
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def wrong_links(page: Path, root: Path = ROOT) -> Iterator[str]:
    for link in LINK.findall(CODE.sub("", without_fences(page))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(root) or not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(wrong_links(page)) == []


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `queuepool` wherever the page shows something to type; what a console printed is left out."""
    text = page.read_text()
    for language, body in FENCE.findall(text):
        typed = [line for line in body.splitlines() if language != "console" or line.startswith("$ ")]
        for line in typed:
            for rest in COMMAND.findall(re.sub(r"(^| )#.*", "", line)):
                yield shlex.split(rest)
    for code in CODE.findall(FENCE.sub("", text)):
        for rest in COMMAND.findall(code):
            yield shlex.split(rest.replace("\\", ""))


def unknown(words: list[str]) -> str | None:
    """The first word that is no command and no option of its command."""
    command: click.Command = cli
    context = click.Context(cli)
    remaining = iter(words)
    for word in remaining:
        if word.startswith("-") and not re.fullmatch(r"-\d+|--?", word):
            name, has_value, _ = word.partition("=")
            options = [each for each in command.get_params(context) if name in (*each.opts, *each.secondary_opts)]
            if not options:
                return word
            if isinstance(command, click.Group) and not has_value and not getattr(options[0], "is_flag", False):
                next(remaining, None)
        elif isinstance(command, click.Group):
            child = command.get_command(context, word)
            if child is None:
                return word
            command, context = child, click.Context(child, parent=context)
    return None


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_to_type_exists_with_its_options(page: Path) -> None:
    assert [(unknown(words), words) for words in commands(page) if unknown(words)] == []


@pytest.mark.parametrize("page", [MIGRATION, "docs/zh/migrating-from-supervisor.md"])
def test_every_command_that_stands_for_one_of_supervisorctl_exists(page: str) -> None:
    section = {MIGRATION: "Commands"}.get(page, "命令对照")
    cells = [re.split(r" *(?<!\\)\| *", row.strip("| "))[1] for row in rows(page, section)[1:]]
    named = [shlex.split(code) for cell in cells for code in CODE.findall(cell)]
    assert len(named) > 10
    assert [words for words in named if unknown(words)] == []


def rows(page: str, section: str) -> list[str]:
    """What a section lists: the rows of its table without the rule, else its items."""
    text = FENCE.sub("", (ROOT / page).read_text())
    body = re.search(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert body, f"{page} has no section {section!r}"
    table = [line for line in re.findall(r"^\|.*\|$", body[1], re.M) if set(line) - set("|-")]
    return table or [item.replace("\n", " ") for item in re.findall(r"^- (?:.|\n(?!- |\n))*", body[1], re.M)]


def facts(row: str) -> list[str]:
    """What is the same in every language: code, and numbers beside it."""
    return sorted(CODE.findall(row)) + sorted(re.findall(r"\d+", CODE.sub("", row)))


@pytest.mark.parametrize("source", TRANSLATED, ids=" ".join)
def test_the_chinese_page_holds_the_same_rows(source: tuple[str, str]) -> None:
    english, chinese = rows(*source), rows(*TRANSLATED[source])
    has_head = english[0].startswith("|")
    expected, found = english[has_head:], chinese[1:]
    assert len(expected) > 3
    assert [facts(row) for row in found] == [facts(row) for row in expected]


def test_the_checks_of_this_file_see_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`\n# 怎么办？\n[v](#a-b) [w](#怎么办) [x](#c) [y](no.md) [z](../page.md) `[not](one.md)`\n"
        "```console\n$ queuepool stats  # x\nqueuepool printed\n```\n"
        "```\n7 * * * * root queuepool -c up config chek > x\nssh a 'queuepool pid' b\n```\n`queuepool up -x`\n"
    )
    assert [wrong.partition(":")[0] for wrong in wrong_links(page, tmp_path)] == ["#c", "no.md", "../page.md"]
    assert [unknown(words) for words in commands(page)] == ["stats", "chek", None, "-x"]
    assert facts("| `a`, 2 days | `b` |") == facts("| `b`，2 天 | `a` |") != facts("| `a`, 3 days | `b` |")
