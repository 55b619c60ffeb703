"""What Composer's files say, as its own documentation writes constraints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import text

from queuepool.laravel.composer import Composer, Needs, composer, lowest, older


@pytest.mark.parametrize(
    ("constraint", "bound"),
    [
        ("^8.2", (8, 2)), (">=7.2.5", (7, 2, 5)), ("^7.3|^8.0", (7, 3)), ("^8.1 || ^8.2", (8, 1)), ("8.3.*", (8, 3)),
        ("~8.1.0", (8, 1, 0)), (">= 8.2, <9", (8, 2)), (">=8.1 <8.4", (8, 1)), ("8.1 - 8.3", (8, 1)), ("*", None),
        ("<9.0", None), ("", None), ("^8.2 || *", None), ("v8.1", (8, 1)), ("dev-master", None),
    ],
)  # fmt: skip
def test_the_lowest_version_that_a_constraint_lets_through(constraint: str, bound: tuple[int, ...] | None) -> None:
    assert lowest(constraint) == bound


def test_a_version_is_older_only_below_all_that_is_let_through() -> None:
    assert older("8.1.27", "^8.2")
    assert not older("8.2.0", "^8.2")
    assert not older("7.4.33", "^7.3|^8.2")
    assert not older("8.5.0", "^8.2")
    assert not older("", "^8.2")


@given(constraint=text())
def test_no_constraint_brings_it_down(constraint: str) -> None:
    older("8.2.1", constraint)


def write(root: Path, name: str, content: object) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content))


def test_what_the_application_and_its_framework_need_is_told_with_who_needs_it(tmp_path: Path) -> None:
    write(tmp_path, "composer.json", {"require": {"php": "^8.1", "ext-intl": "*", "laravel/framework": "^11.0"}})
    framework = {"name": "laravel/framework", "version": "v11.1.0", "require": {"php": "^8.2", "ext-mbstring": "*"}}
    polyfill = {"name": "symfony/polyfill-mbstring", "version": "v1", "provide": {"ext-mbstring": "*"}}
    write(tmp_path, "composer.lock", {"packages": [framework, polyfill], "platform": {"php": "^8.1"}})
    found = composer(str(tmp_path))
    assert found == Composer(
        True,
        (
            Needs("php", "^8.1", "composer.json"), Needs("intl", "*", "composer.json"),
            Needs("php", "^8.1", "composer.lock"), Needs("php", "^8.2", "laravel/framework v11.1.0"),
        ),
    )  # fmt: skip


def test_packages_that_are_not_those_of_the_lock_are_named(tmp_path: Path) -> None:
    def branch(reference: str) -> dict[str, object]:
        return {"name": "a/branch", "version": "dev-main", "source": {"reference": reference}}

    same, moved = {"name": "a/same", "version": "1.0"}, {"name": "a/moved", "version": "2.0"}
    write(tmp_path, "composer.lock", {"packages": [same, moved, branch("new"), {"name": "a/gone", "version": "3"}]})
    assert composer(str(tmp_path)).drifted == ()  # nothing is installed: that is another matter
    installed = [same, {"name": "a/moved", "version": "1.9"}, branch("old"), {"name": "a/more", "version": "1"}]
    write(tmp_path, "vendor/composer/installed.json", {"packages": installed})
    assert composer(str(tmp_path)).drifted == (
        "a/moved 1.9 (composer.lock: 2.0)", "a/branch dev-main (composer.lock: dev-main)",
        "a/gone is not installed (composer.lock: 3)",
    )  # fmt: skip


@pytest.mark.parametrize("content", ["", "[", "[1, {}]", '{"packages": 7, "require": [], "platform": null}', "null"])
def test_files_that_make_no_sense_say_nothing(tmp_path: Path, content: str) -> None:
    for name in ("composer.json", "composer.lock", "vendor/composer/installed.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert composer(str(tmp_path)) == Composer(True)
