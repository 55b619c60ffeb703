from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), (60, 60), ("60s", 60), ("1m", 60), ("1h30m", 5400), ("500ms", 0.5), ("1.5", 1.5), ("1d", 86400)],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(text: object, seconds: float) -> None:
    assert units.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "1 minute", "1e3", "nan", "inf", "m1", True, None, [], "9" * 400, "١"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        units.duration(text)


def test_a_whole_duration_has_no_fraction() -> None:
    assert units.whole_seconds("1m") == 60
    with pytest.raises(ValueError, match="whole"):
        units.whole_seconds("1.5")


@pytest.mark.parametrize(("text", "pause"), [("never", 0), (False, 0), ("1m", 60), ("0", 0)])
def test_a_retry_pause_may_be_never(text: object, pause: float) -> None:
    assert units.retry_pause(text) == pause


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024", 1024), (7, 7), ("1KB", 1024), ("512K", 524288), ("10mb", 10485760), ("1.5GB", 1610612736), ("0", 0)],
)
def test_a_size_is_read_as_supervisor_writes_it(text: object, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1XB", "1 2", True, "9" * 400 + "GB", -1, 2**63])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not"):
        units.size(text)


@pytest.mark.parametrize(("text", "megabytes"), [("128", 128), (128, 128), ("256MB", 256), ("1GB", 1024), ("0", 0)])
def test_memory_is_in_megabytes_as_laravel_counts_it(text: object, megabytes: int) -> None:
    assert units.megabytes(text) == megabytes


def test_part_of_a_megabyte_is_refused() -> None:
    with pytest.raises(ValueError, match="megabytes"):
        units.megabytes("100KB")


@pytest.mark.parametrize(("text", "mask"), [("022", 0o22), ("22", 0o22), ("0o027", 0o27), (18, 0o22), ("0", 0)])
def test_a_umask_is_octal(text: object, mask: int) -> None:
    assert units.octal(text) == mask


@pytest.mark.parametrize("text", ["9", "0x1", "-1", "77777", "", True])
def test_what_is_no_umask_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="octal"):
        units.octal(text)


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "term", "15", 15])
def test_a_signal_has_a_name_or_a_number(text: object) -> None:
    assert units.signal_number(text) == signal.SIGTERM


@pytest.mark.parametrize("text", ["FOO", "0", "99", "-1", "", "SIG", "SIGSIGTERM", True, "²"])
def test_an_unknown_signal_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="signal"):
        units.signal_number(text)


def test_exit_codes_come_in_supervisors_form_too() -> None:
    assert units.exit_codes("0,2") == units.exit_codes([2, "0"]) == (0, 2)
    assert units.exit_codes(3) == (3,)
    for bad in ("x", "256", "", None, {"a": 1}):
        with pytest.raises(ValueError, match="exit codes"):
            units.exit_codes(bad)


def test_a_command_is_split_as_a_shell_would_but_nothing_expands() -> None:
    assert units.words("""sh -c 'echo $HOME; date +%Y' "a b" c\\ d""") == (
        "sh",
        "-c",
        "echo $HOME; date +%Y",
        "a b",
        "c d",
    )
    assert units.words(["php", "-d", "x=1 2"]) == ("php", "-d", "x=1 2")


@pytest.mark.parametrize(
    ("bad", "why"), [("a 'b", "quote"), ("a \\", "backslash"), ("", "empty"), ([], "empty"), ({}, "not a")]
)
def test_a_command_that_cannot_be_split_is_refused(bad: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        units.words(bad)


def test_supervisors_environment_is_read() -> None:
    assert units.environment("""A="1, 2",B=two, C='x=y' ,D=a b""") == {"A": "1, 2", "B": "two", "C": "x=y", "D": "a b"}
    assert units.environment({"A": 1, "B": None}) == {"A": "1", "B": ""}


@pytest.mark.parametrize("bad", ["hunter2", 'A="hunter2', "A=hunter2,b", {"a b": "hunter2"}, {"A": ["hunter2"]}, 3])
def test_a_bad_environment_is_refused_without_showing_its_values(bad: object) -> None:
    with pytest.raises(ValueError, match=r"holds|form|mapping") as caught:
        units.environment(bad)
    assert "hunter2" not in str(caught.value)


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text("ab ,=/.:'#%$\\", max_size=12)))
def test_any_environment_survives_supervisors_form(pairs: dict[str, str]) -> None:
    text = ",".join(f'{name}="{value}"' for name, value in pairs.items())
    assert units.environment(text) == pairs


def test_resource_limits_are_soft_and_hard() -> None:
    given = {"nofile": "4096", "core": "unlimited", "NPROC": "100:200", "as": "2GB", "stack": {"soft": 1, "hard": -1}}
    assert units.rlimits(given) == {
        "nofile": (4096, 4096), "core": (-1, -1), "nproc": (100, 200), "as": (2**31, 2**31), "stack": (1, -1),
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad", [{"files": 1}, {"nofile": "x"}, {"nofile": "5:4"}, {"nofile": {}}, {"core": "unlimited:5"}, "x"]
)
def test_a_wrong_resource_limit_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match=r"holds|mapping"):
        units.rlimits(bad)


@pytest.mark.parametrize(("text", "share"), [("2", 2), (2, 2), ("25%", "25%"), ("0%", "0%"), ("007", 7)])
def test_a_share_is_a_number_or_a_percentage(text: object, share: object) -> None:
    assert units.share(text) == share


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "101%", "%", True, None])
def test_what_is_no_share_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="percentage"):
        units.share(bad)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
READERS: list[Callable[[object], Any]] = [
    units.duration, units.whole_seconds, units.retry_pause, units.size, units.megabytes, units.octal,
    units.signal_number, units.exit_codes, units.names, units.paths, units.words, units.arguments, units.environment,
    units.rlimits, units.share,
]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(READERS), ANYTHING)
def test_no_reader_fails_otherwise_than_with_a_phrase(reader: Callable[[object], Any], value: object) -> None:
    phrase = "is right"
    try:
        reader(value)
    except ValueError as error:
        phrase = str(error)
    assert phrase.split()[0] in ("is", "has", "holds")
