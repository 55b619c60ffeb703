"""Supervisor's files are read as its own parser reads them, and every option knows its line."""

from __future__ import annotations

import configparser

from hypothesis import example, given
from hypothesis import strategies as st

from queuepool.formats.supervisor_ini import Source, read

PIECES = st.sampled_from(
    ["[program:a]", "[program:b]", "[DEFAULT]", "command", "=", ":", " ", "\t", "x", "1", ";", "#", " ;", " #", "\n",
     "\r\n", "\r", "]", "[", "A", "%", '"', "ü", "\x85", "\x0b", "\u2028", "\n ", "\n\n", "/"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def source(text: str, path: str = "a.conf") -> Source:
    return Source(path, "/etc", text)


def by_supervisor(*texts: str) -> dict[str, dict[str, str]] | None:
    """What Supervisor's parser (UnhosedConfigParser) makes of it; None when it raises."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        for text in texts:
            lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            parser.read_file([line + "\n" for line in lines])
    except configparser.Error:
        return None
    return {name: dict(parser.items(name)) for name in parser.sections()}


@given(TEXTS, TEXTS)
@example("[a]\nx=1 # y ; z\n", "")
@example("[a]\nx=a;b #c ;d\n", "[a]\n x=1\n")
@example("[a]\nx=1\n\n  2\n\n[b]\n", "[a]\nX : 3")
def test_the_text_means_what_supervisors_own_parser_says(first: str, second: str) -> None:
    expected = by_supervisor(first, second)
    ini = read([source(first), source(second, "b.conf")])
    if expected is None:
        assert any(not fault.ignored for fault in ini.faults)
    else:
        assert all(fault.ignored for fault in ini.faults)
        assert {n: {k: o.value for k, o in s.options.items()} for n, s in ini.sections.items()} == expected


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read([source(text)])


def test_an_option_knows_its_line_and_what_it_replaces() -> None:
    ini = read([source("[a]\nx=1\n; c\nx=2 ; why\n"), source("\n[a]\nx=3\n", "b.conf")])
    option = ini.sections["a"].options["x"]
    assert (option.value, str(option.where)) == ("3", "b.conf:3")
    assert [str(where) for where in option.before] == ["a.conf:2", "a.conf:4"]
    assert [str(where) for where in ini.sections["a"].where] == ["a.conf:1", "b.conf:2"]


def test_what_a_comment_cut_off_is_kept() -> None:
    assert read([source("[a]\nx=sh -c 'a ; b'\n")]).sections["a"].options["x"].cut == "; b'"


def test_here_is_the_directory_of_the_file_where_files_are_included() -> None:
    main = Source("m", "/main", "[include]\nfiles=x\n[a]\nx=%(here)s\n")
    ini = read([main, Source("o", "/other", "[b]\nx=%(here)s\n")])
    assert ini.sections["a"].options["x"].value == "/main"
    assert ini.sections["b"].options["x"].value == "/other"


def test_what_stands_behind_a_header_is_said_to_be_ignored() -> None:
    (fault,) = read([source("[program:a] command=x numprocs=2\n")]).faults
    assert (fault.ignored, fault.where.line) == (True, 1)
    assert "behind the header [program:a]" in fault.what


def test_every_bad_line_is_a_fault_and_the_rest_is_read() -> None:
    ini = read([source("x=1\ny=2\n[a]\n// no\nnonsense\nz=1\n")])
    assert [fault.where.line for fault in ini.faults] == [1, 4, 5]
    assert ini.sections["a"].options["z"].value == "1"
