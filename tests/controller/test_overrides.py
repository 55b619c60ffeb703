from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.controller.overrides import OverrideStore
from queuepool.domain.desired import Overrides
from queuepool.domain.names import ProcessName

W0, W1 = ProcessName("w", 0), ProcessName("w", 1)


def test_what_operators_changed_is_read_again(tmp_path: Path) -> None:
    path = str(tmp_path / "overrides.json")
    store = OverrideStore(path)
    store.scale("w", 7)
    store.hold([W0, W1])
    store.release([W1], manual=[W1])
    assert store.restart([W1]) == 1
    assert store.restart([W0, W1]) == 2
    again = OverrideStore(path).value
    assert again == store.value == Overrides({"w": 7}, frozenset({W0}), frozenset({W1}), {W0: 2, W1: 2}, 2)


def test_a_scale_is_reset_and_forgotten_with_its_program(tmp_path: Path) -> None:
    store = OverrideStore(str(tmp_path / "o"))
    store.scale("w", 7)
    store.scale("x", 1)
    store.scale("w", None)
    assert store.value.scale == {"x": 1}
    store.hold([W0, W1])
    store.release([], manual=[ProcessName("x", 0)])
    store.forget({"w": 1})
    assert store.value == Overrides(held=frozenset({W0}))


def test_a_clean_end_keeps_the_scale_only(tmp_path: Path) -> None:
    store = OverrideStore(str(tmp_path / "o"))
    store.scale("w", 7)
    store.hold([W0])
    store.restart([W1])
    store.end()
    assert OverrideStore(str(tmp_path / "o")).value == Overrides(scale={"w": 7}, serial=1)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"scale": 3}', '{"scale":{},"held":["x"]}', "\x00"])
def test_a_damaged_file_is_told_and_counts_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "o"
    path.write_text(text)
    told: list[str] = []
    assert OverrideStore(str(path), told.append).value == Overrides()
    assert len(told) == 1
    assert str(path) in told[0]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("o") / "o"
    path.write_bytes(data)
    OverrideStore(str(path), lambda text: None)


def test_one_that_cannot_be_saved_is_told_and_still_in_force(tmp_path: Path) -> None:
    told: list[str] = []
    store = OverrideStore(str(tmp_path / "no" / "such" / "o"), told.append)
    store.scale("w", 3)
    assert store.value.scale == {"w": 3}
    assert "cannot save" in told[0]
    assert not os.path.exists(tmp_path / "no")


def test_trouble_with_saving_is_told_once_and_ends_with_the_next_save(tmp_path: Path) -> None:
    told: list[tuple[str, ...]] = []
    path = tmp_path / "later" / "o"
    store = OverrideStore(str(path), lambda *said: told.append(said), lambda *said: told.append(said))
    store.scale("w", 3)
    store.scale("w", 4)
    path.parent.mkdir()
    store.scale("w", 5)
    store.scale("w", 6)
    said = f"cannot save {path}: No such file or directory; a restart of the daemon would forget this"
    assert told == [(said,), (said, str(path))]
    assert OverrideStore(str(path)).value.scale == {"w": 6}
