from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.expand import CannotExpand, template, variables

KNOWN = {"A": "1", "EMPTY": ""}
NAMES = {"program_name": "mail", "process_num": 3, "numprocs": 4, "ENV_A": "x"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "1"), ("x${A}y${A}", "x1y1"), ("$A $", "$A $"), ("$$", "$$"),
        ("echo $$", "echo $$"), ("$${A}", "${A}"), ("${B:-d e}", "d e"),
        ("${EMPTY:-d}", "d"), ("${EMPTY-d}", ""), ("${EMPTY}", ""), ("${B-}", ""), ("${A:-d}", "1"),
    ],
)  # fmt: skip
def test_variables_expand_as_in_compose(text: str, expanded: str) -> None:
    assert variables(text, KNOWN.get) == expanded


@pytest.mark.parametrize(
    ("text", "why"), [("${B}", "B, which is not set"), ("${", r"\$\{"), ("${1}", r"\$\{"), ("${A##*/}", r"\$\{")]
)
def test_a_variable_that_is_not_known_is_refused_by_name_alone(text: str, why: str) -> None:
    with pytest.raises(CannotExpand, match=why) as caught:
        variables(text, {"A": "hunter2"}.get)
    assert "hunter2" not in str(caught.value)


def test_leniently_what_is_not_known_stays() -> None:
    assert variables("${B} ${A} ${1}", KNOWN.get, lenient=True) == "${B} 1 ${1}"


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("%(program_name)s_%(process_num)02d", "mail_03"), ("date +%Y-%m", "date +%Y-%m"), ("100%", "100%"),
        ("%%(program_name)s", "%(program_name)s"), ("%(ENV_A)s", "x"), ("%(numprocs)d", "4"), ("", ""),
        ("%(process_num)s/%(process_num)d", "3/3"), ("%%", "%%"),
    ],
)  # fmt: skip
def test_supervisors_names_expand_and_a_bare_percent_is_one(text: str, rendered: str) -> None:
    assert template(text).render(NAMES) == rendered
    assert template(text).bind(NAMES).render({"process_num": 3}) == rendered


@pytest.mark.parametrize(
    "text", ["%(nope)s", "%(program_name)", "%(", "%()s", "%(ENV_NOPE)s", "%(program_name)d", "%(a b)s"]
)
def test_what_cannot_expand_is_refused(text: str) -> None:
    with pytest.raises(CannotExpand):
        template(text).render(NAMES)


def test_the_environment_is_not_dumped_when_a_name_is_unknown() -> None:
    with pytest.raises(CannotExpand) as caught:
        template("%(nope)s").render({"ENV_SECRET": "hunter2"})
    assert "SECRET" not in str(caught.value)
    assert "%(process_num)s" in str(caught.value)


def test_only_the_number_of_the_slot_stays_open_when_bound() -> None:
    bound = template("a%(program_name)s-%(process_num)02d-%(numprocs)d").bind(NAMES)
    assert bound.per_slot
    assert [bound.render({"process_num": n}) for n in (0, 11)] == ["amail-00-4", "amail-11-4"]


@settings(deadline=None)
@given(st.text("ab%()sd$ {}", max_size=20))
def test_any_text_expands_or_is_refused(text: str) -> None:
    try:
        template(text).render(NAMES)
        variables(text, KNOWN.get)
    except CannotExpand:
        pass
