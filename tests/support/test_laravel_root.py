"""The script that makes a root with another Laravel: when it cannot, it says why and leaves nothing behind. (That it
can is shown by `tests/run --laravel all`.)"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("laravel_root.sh")
NEEDED = ("awk", "bash", "cksum", "cut", "find", "flock", "mkdir", "mktemp", "realpath", "rm", "touch")
FAKE_APT = """#!/bin/bash
case "$*" in
    indextargets*) echo http://mirror.invalid/debian ;;
    *update*) {update} ;;
    *install*) cp {package} "$(dirname "$(ls -d {cache}/*/apt/archives/partial)")" ;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg here")


def run(tmp_path: Path, *args: str, path: str) -> tuple[int, str]:
    """(exit code, standard output). path: of the programs it finds."""
    environment = {"PATH": path, "QUEUEPOOL_TEST_ROOTS": str(tmp_path / "cache")}
    done = subprocess.run(
        [shutil.which("bash") or "bash", str(SCRIPT), *args],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


def tools(tmp_path: Path, *more: str) -> Path:
    """A directory with links to what the script needs of the system."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in (*NEEDED, *more):
        found = shutil.which(name)
        assert found
        (directory / name).symlink_to(found)
    return directory


def with_fake_apt(tmp_path: Path, update: str = "true", version: str = "") -> str:
    """A PATH whose apt-get offers one package with a Laravel of that version."""
    content = tmp_path / "package"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
    )
    framework = content / "usr/share/php/Illuminate/Foundation/Application.php"
    framework.parent.mkdir(parents=True)
    framework.write_text(f"<?php\nclass Application {{\n    const VERSION = '{version}';\n}}\n")
    package = tmp_path / "x.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", content, package], check=True, stdout=subprocess.DEVNULL)
    apt = tmp_path / "fake/apt-get"
    apt.parent.mkdir()
    apt.write_text(FAKE_APT.format(update=update, package=package, cache=tmp_path / "cache"))
    apt.chmod(0o755)
    return f"{apt.parent}:{os.environ['PATH']}"


def left(tmp_path: Path) -> list[str]:
    return [entry.name for entry in (tmp_path / "cache").iterdir()]


def test_only_known_laravels_are_made(tmp_path: Path) -> None:
    for args in ((), ("9",)):
        assert run(tmp_path, *args, path=os.environ["PATH"])[0] == 2


def test_without_apt_the_reason_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, "13", path=str(tools(tmp_path))) == (
        1, "cannot make a root with Laravel 13: there is no apt-get here\n",
    )  # fmt: skip
    assert left(tmp_path) == []


@pytest.mark.skipif(
    not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists(), reason="this system has not Debian's keyring"
)
@pytest.mark.parametrize(
    ("update", "version", "reason"),
    [
        ("exit 100", "13.1.0", "no source of this system's apt has Debian sid"),
        ("true", "14.0.1", "Debian sid has Laravel 14.0.1 now"),
        ("true", "", "Debian sid has Laravel in another place now"),
    ],
)
def test_a_debian_that_has_it_not_is_told_and_leaves_nothing(
    tmp_path: Path, update: str, version: str, reason: str
) -> None:
    code, said = run(tmp_path, "13", path=with_fake_apt(tmp_path, update, version))
    assert (code, said) == (1, f"cannot make a root with Laravel 13: {reason}\n")
    assert left(tmp_path) == []


def test_a_root_that_is_there_is_used_again(tmp_path: Path) -> None:
    checksum = subprocess.run(["cksum"], input=SCRIPT.read_bytes(), capture_output=True, check=True).stdout.split()[0]
    root = tmp_path / "cache" / f"laravel-10-{checksum.decode()}"
    root.mkdir(parents=True)
    assert run(tmp_path, "10", path=str(tools(tmp_path))) == (0, f"{root}\n")
