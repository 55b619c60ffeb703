from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.names import ProcessName, UnknownName, select

DISPLAYS = {ProcessName("worker", slot): f"worker:worker_{slot:02d}" for slot in range(12)}
DISPLAYS |= {ProcessName("mail", slot): f"mail:mail_{slot:02d}" for slot in range(2)} | {ProcessName("cron", 0): "cron"}
GROUPS = {"laravel": ("worker", "mail"), "empty": ()}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["all"], list(DISPLAYS)),
        (["mail"], [ProcessName("mail", 0), ProcessName("mail", 1)]),
        (["mail:*"], [ProcessName("mail", 0), ProcessName("mail", 1)]),
        (["mail:"], [ProcessName("mail", 0), ProcessName("mail", 1)]),
        (["worker:3"], [ProcessName("worker", 3)]),
        (["worker:worker_03"], [ProcessName("worker", 3)]),
        (["worker:worker_1?"], [ProcessName("worker", 10), ProcessName("worker", 11)]),
        (["laravel:worker_03"], [ProcessName("worker", 3)]),
        (["cron"], [ProcessName("cron", 0)]),
        (["m*", "cron"], [ProcessName("mail", 0), ProcessName("mail", 1), ProcessName("cron", 0)]),
        (["mail:1", "mail"], [ProcessName("mail", 0), ProcessName("mail", 1)]),
    ],
)
def test_a_selector_selects(selectors: list[str], expected: list[ProcessName]) -> None:
    assert list(select(selectors, DISPLAYS, GROUPS)) == expected


@pytest.mark.parametrize("selector", ["nope", "mail:9", "mail:mail_99", "worker:mail_00", "", ":", "empty"])
def test_a_selector_that_selects_nothing_is_named(selector: str) -> None:
    with pytest.raises(UnknownName) as caught:
        select([selector], DISPLAYS, GROUPS)
    assert caught.value.text == selector


@given(st.text())
def test_any_text_selects_something_known_or_is_refused(text: str) -> None:
    with contextlib.suppress(UnknownName):
        assert set(select([text], DISPLAYS, GROUPS)) <= set(DISPLAYS)


def test_names_are_written_and_read() -> None:
    assert ProcessName.parse("a:b:3") == ProcessName("a:b", 3)
    assert str(ProcessName("mail", 3)) == "mail:3"
    for bad in ("mail", "mail:x", ":3", "mail:-1"):
        with pytest.raises(ValueError, match="not of the form"):
            ProcessName.parse(bad)
