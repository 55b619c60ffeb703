from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.config import document
from queuepool.config.document import MAX_NODES, parse


def test_everything_has_its_line_and_stays_text() -> None:
    found = parse("a: 022\nb:\n  - yes\n  - {c: 1:30}\nd: ~\ne: '~'\n")
    assert found.data == {"a": "022", "b": ["yes", {"c": "1:30"}], "d": None, "e": "~"}
    lines = {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1, "c"): 4, ("d",): 5, ("e", "nope"): 6, (): 1}
    assert {path: found.line(path) for path in lines} == lines
    assert found.text(("b", 1, "c")) == "1:30"
    assert found.text(("b", "x")) is None


def test_a_key_that_is_given_twice_is_named_with_both_lines() -> None:
    found = parse("programs:\n  a: {}\n  b: {}\n  a: {}\n")
    assert [(t.line, t.path, t.what) for t in found.troubles] == [
        (4, ("programs", "a"), "is given twice, first in line 2")
    ]


def test_merged_keys_give_way_to_those_that_are_written() -> None:
    found = parse("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  c: 3\n  <<: [*x, *y]\n")
    assert found.data["z"] == {"c": "3", "a": "1", "b": "1"}
    assert found.line(("z", "a")) == 1


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: b: c", 1, "colon where none can be"),
        ("a: 1\nb:\t- x\n c: 1", 2, "not valid YAML"),
        ('a: "b\n', 2, "quote is not closed"),
        ("a: @x", 1, "cannot begin with this character"),
        ("a: 1\n\x07", 2, "control character"),
        ("- *b", 1, "no anchor"),
        ("a: &a [*a]", 1, "inside of what it stands for"),
        ("a: 1\n---\nb: 1", 2, "second document"),
        ("? [a]\n: 1", 1, "a key must be text"),
        ("a: &a [1]\n? *a\n: 1", 2, "a key must be text"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !mine x", 1, "tag"),
        ('a: "\\0"', 1, "NUL"),
        ("a: {<<: 3}", 1, "<< needs"),
        ("[" * 100_000, 1, "nested more than"),
        ("- " * 100_000, 1, "nested more than"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, line: int, what: str) -> None:
    trouble = parse(text).troubles[-1]
    assert (trouble.line, what in trouble.what) == (line, True), trouble


def test_aliases_that_unfold_to_billions_are_refused_at_once() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert f"{MAX_NODES:,}" in parse(text).troubles[0].what


def test_the_slow_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 022\nb: [yes, {c: 1}]\nd: ~\ne: '~'\nf: ''\ng:\n"
    fast = parse(text)
    monkeypatch.setattr(document, "Loader", yaml.SafeLoader)
    assert parse(text) == fast


@settings(max_examples=300, deadline=None)
@given(st.text("ab:- \n\t'\"{}[]&*!|>%@~<,?#\\0\x07\u0085\ufeff", max_size=60))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    found = parse(text)
    for trouble in found.troubles:
        assert 1 <= trouble.line <= len(text) + 1
