from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuepool.config import find
from queuepool.config.find import find_config
from queuepool.errors import NoConfig


@pytest.fixture(autouse=True)
def _no_system_wide_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(find, "SYSTEM_WIDE", str(tmp_path / "etc" / "queuepool.yml"))


def _file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("programs: {}\n")
    return str(path)


def test_the_named_file_wins_over_the_variable_and_that_over_the_search(tmp_path: Path) -> None:
    here, one, two = (_file(tmp_path / name) for name in ("queuepool.yml", "one.yml", "two.yml"))
    assert find_config("one.yml", {"QUEUEPOOL_CONFIG": two}, str(tmp_path)) == one
    assert find_config(None, {"QUEUEPOOL_CONFIG": "two.yml"}, str(tmp_path)) == two
    assert find_config(None, {"QUEUEPOOL_CONFIG": ""}, str(tmp_path)) == here


def test_the_search_goes_up_to_the_root_of_the_checkout(tmp_path: Path) -> None:
    above = _file(tmp_path / "queuepool.yml")
    deep = tmp_path / "app" / "a" / "b"
    deep.mkdir(parents=True)
    assert find_config(None, {}, str(deep)) == above
    (tmp_path / "app" / ".git").mkdir()
    with pytest.raises(NoConfig):
        find_config(None, {}, str(deep))
    inside = _file(tmp_path / "app" / "queuepool.yaml")
    assert find_config(None, {}, str(deep)) == inside


def test_the_file_of_the_system_is_the_last_resort(tmp_path: Path) -> None:
    (tmp_path / "x" / ".git").mkdir(parents=True)
    system = _file(tmp_path / "etc" / "queuepool.yml")
    assert find_config(None, {}, str(tmp_path / "x")) == system


def test_a_directory_stands_for_the_file_in_it(tmp_path: Path) -> None:
    inside = _file(tmp_path / "app" / "queuepool.yaml")
    assert find_config("app", {}, str(tmp_path)) == inside
    assert find_config(".", {}, str(tmp_path / "app")) == inside


def test_nothing_found_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for explicit, environ in ((None, {}), ("nope.yml", {}), (None, {"QUEUEPOOL_CONFIG": "/nope.yml"})):
        with pytest.raises(NoConfig) as caught:
            find_config(explicit, environ, str(tmp_path))
        assert "queuepool init" in caught.value.hint
        assert "cannot find" in caught.value.message


def test_below_a_current_symlink_the_file_is_that_of_the_symlink(tmp_path: Path) -> None:
    _file(tmp_path / "releases" / "1" / "queuepool.yml")
    current = tmp_path / "current"
    current.symlink_to("releases/1")
    real = os.path.realpath(current)
    assert find_config(None, {"PWD": str(current)}, real) == str(current / "queuepool.yml")
    assert find_config(None, {"PWD": "/somewhere/else"}, real) == os.path.join(real, "queuepool.yml")
    assert find_config(None, {"PWD": str(current) + "/../current"}, real) == os.path.join(real, "queuepool.yml")
