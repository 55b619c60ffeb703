"""tests/run itself, with commands in place of ruff, mypy and pytest that end as they are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


class Checkout:
    """A copy of tests/run. pytest counts its runs in `ran`, and fails in the one that `fails` names."""

    def __init__(self, root: Path, cores: int = 2) -> None:
        self.root = root
        self.bin = root / ".venv" / "bin"
        self.bin.mkdir(parents=True)
        (root / "tests" / "support").mkdir(parents=True)
        shutil.copy(HERE / "run", root / "tests" / "run")
        (root / "tests/support/install.sh").write_text("install_packages() { :; }\nmake_venv() { :; }\n")
        (root / "tests/support/cached_php.sh").write_text("echo /bin/true\n")
        for name in ("ruff", "mypy"):
            self.put(name, "exit 0")
        self.put("pytest", 'printf "%s\\n" "$*" >>ran\n[ "$(wc -l <ran)" != "$(cat fails 2>/dev/null)" ]')
        self.put("getconf", f"echo {cores}")

    def put(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def run(self, *args: str) -> tuple[int, str, str]:
        """Exit code, and both outputs."""
        command = ["bash", str(self.root / "tests/run"), *args]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def ran(self) -> list[str]:
        return (self.root / "ran").read_text().splitlines()


def test_all_is_run_so_many_times_and_the_seconds_of_each_are_told(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    code, out, err = checkout.run("--times", "3", "tests/domain")
    assert (code, err) == (0, "")
    assert checkout.ran() == ["-n 3 --dist worksteal tests/domain"] * 3
    assert [line.rstrip("0123456789 s") for line in out.splitlines()[-3:]] == [f"run {n}, pytest:" for n in (1, 2, 3)]


def test_the_first_failure_is_the_last_run(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (tmp_path / "fails").write_text("2")
    code, out, err = checkout.run("--times=4")
    assert (code, err) == (1, "failed: pytest\n")
    assert len(checkout.ran()) == 2
    assert "run 2 of 4" in out


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_one_that_is_not_of_the_commit_any_more_does_not_count(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    (tmp_path / ".gitignore").write_text("ran\n")
    for words in ("init -q", "add .", "-c user.name=n -c user.email=e commit -qm m"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    assert checkout.run("--times", "2")[0] == 0
    checkout.put("mypy", "date >>pyproject.toml")
    code, _, err = checkout.run("--times", "2")
    assert (code, err) == (1, "the files changed meanwhile: these runs are not of one commit\n")


@pytest.mark.parametrize(("cores", "times", "expected"), [(2, "1", 1), (2, "", 0), (8, "1", 0)])
def test_on_two_cores_it_is_said_when_the_tests_take_too_long(
    tmp_path: Path, cores: int, times: str, expected: int
) -> None:
    checkout = Checkout(tmp_path, cores)
    run = tmp_path / "tests/run"
    run.write_text(run.read_text().replace("limit=600", "limit=-1"))
    code, _, err = checkout.run(*(["--times", times] if times else []))
    assert code == expected
    assert ("TOO SLOW: pytest took" in err) == (cores == 2)
    assert ("failed: pytest took over" in err) == bool(expected)


@pytest.mark.parametrize("words", [["--times"], ["--times", "0"], ["--times", "x"], ["--laravel", "9"]])
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: list[str]) -> None:
    code, _, err = Checkout(tmp_path).run(*words)
    assert code == 2
    assert err.startswith("usage: tests/run ")
