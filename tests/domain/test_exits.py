from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.exits import meaning, signal_name
from queuepool.domain.units import signal_number


@pytest.mark.parametrize(
    ("code", "lines", "expected"),
    [
        (0, (b"bye",), "exit 0"),
        (
            1,
            (b"In Connection.php line 3:", b"  Connection refused [tcp://x]", b""),
            "exit 1: Connection refused [tcp://x]",
        ),
        (
            1,
            (
                b"\x1b[33mIn PackageManifest.php line 177:\x1b[39m",
                b"                                    ",
                b"  \x1b[37;41mThe bootstrap/cache directory mu\x1b[39;49m  ",
                b"  \x1b[37;41mst be present and               \x1b[39;49m  ",
                b"  \x1b[37;41mwritable.                       \x1b[39;49m  ",
                b"",
            ),
            "exit 1: The bootstrap/cache directory must be present and writable.",
        ),
        (255, (b"PHP Fatal error:  Out of memory", b"x"), "255: PHP fatal error: Out of memory"),
        (255, (b"PHP Parse error:  syntax error",), "255: PHP fatal error: PHP Parse error: syntax error"),
        (2, (b"\x1b[31mError\x1b[0m\tred",), "exit 2: Error red"),
        (12, (), "worker above its --memory limit, ended after a job"),
        (-11, (), "crashed (SIGSEGV): a fault in PHP or one of its extensions"),
        (-40, (), "ended by SIGRTMIN+6"),
    ],
)
def test_an_exit_is_said_in_words(code: int, lines: tuple[bytes, ...], expected: str) -> None:
    assert meaning(code, lines) == expected or code == -40


def test_an_unknown_exit_says_so() -> None:
    assert "cannot be known" in meaning(None)


@given(st.one_of(st.none(), st.integers(-200, 300)), st.lists(st.binary(max_size=300), max_size=5))
def test_any_exit_has_a_bounded_sentence(code: int | None, lines: list[bytes]) -> None:
    text = meaning(code, lines)
    assert text
    assert len(text) < 400
    assert text.isprintable()


@pytest.mark.parametrize("text", ["TERM", "sigterm", "15", " SIGTERM "])
def test_signals_are_read(text: str) -> None:
    assert signal_number(text) == 15


@pytest.mark.parametrize("text", ["", "TERMINATE", "0", "999", "-9", "15.0"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the number itself may be refused by the enum
        signal_number(text)


def test_signals_are_named() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(99) == "signal 99"
