"""What users may do, taken away for real. Only root can do so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installation import Break, Installation

pytestmark = [
    pytest.mark.doctor,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def roots(it: Installation, *paths: str) -> None:
    """Give them to root, with all in them."""
    subprocess.run(["chown", "-R", "root:root", *(str(it.root / path) for path in paths)], check=True)


def made_by_root(it: Installation, path: str, mode: int = 0o644) -> None:
    file = it.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    file.chmod(mode)


def everything_is_closed(it: Installation) -> None:
    it.root.chmod(0o750)


def a_directory_in_the_cache_is_roots(it: Installation) -> None:
    (it.root / "app/storage/framework/cache/data/ab").mkdir(mode=0o755)


def bootstrap_cache_is_gone(it: Installation) -> None:
    shutil.rmtree(it.root / "app/bootstrap/cache")


def artisan_is_closed(it: Installation) -> None:
    roots(it, "app/artisan")
    (it.root / "app/artisan").chmod(0o600)


def the_database_stands_in_a_directory_of_root(it: Installation) -> None:
    (it.root / "db").mkdir()
    (it.root / "app/storage/app/database.sqlite").rename(it.root / "db/jobs.sqlite")
    it.app.set_env(DB_DATABASE=str(it.root / "db/jobs.sqlite"))


def the_directory_is_given_away(it: Installation) -> None:
    shutil.chown(it.root / "db", it.user)


def command(it: Installation, text: str | None, mode: int = 0o755) -> None:
    """A program beside the workers that runs a script."""
    if text is not None:
        (it.root / "report").write_text(text)
        (it.root / "report").chmod(mode)
    it.programs["report"] = {"type": "command", "command": str(it.root / "report")}
    it.write()


def its_log_is_below_a_file(it: Installation) -> None:
    it.program(stdout_logfile=str(it.root / "app/artisan/w.log"))


def its_log_is_a_directory(it: Installation) -> None:
    it.program(stdout_logfile=str(it.root / "app/storage/logs"))


BREAKS = [
    Break("permissions.user", lambda it: it.top.update(user="www-dat") or it.write(), "getent passwd www-dat: nothing",
          mended=lambda it: it.top.clear() or it.write()),
    Break("permissions.user", lambda it: it.program(group="wwdata"), "getent group wwdata: nothing", name="group"),
    Break("permissions.root", lambda it: it.top.update(user="root") or it.write(), r"uid 0", severity="warning"),
    Break("permissions.traverse", everything_is_closed, r"(?m)^drwxr-x--- root:root /tmp/qp-doctor-\w+$",
          mended=lambda it: it.root.chmod(0o751)),
    Break("permissions.storage", lambda it: roots(it, "app/storage"),
          r"storage/app as www-data: Permission denied \(drwxr-xr-x root:root",
          mended=lambda it: it.qp("doctor", "--fix", "--yes")),
    Break("permissions.logs", lambda it: roots(it, "app/storage/logs"), "drwxr-xr-x root:root .*storage/logs",
          mended="--fix"),
    Break("permissions.log_file", lambda it: made_by_root(it, "app/storage/logs/laravel.log"),
          r"-rw-r--r-- root:root .*laravel.log", mended="--fix"),
    Break("permissions.cache", lambda it: roots(it, "app/storage/framework/cache"), "storage/framework/cache",
          mended="--fix"),
    Break("permissions.cache", a_directory_in_the_cache_is_roots, "root:root .*cache/data/ab", name="inner",
          mended="--fix"),
    Break("permissions.bootstrap_cache", lambda it: roots(it, "app/bootstrap/cache"), "must be present and writable",
          mended="--fix"),
    Break("permissions.bootstrap_cache", bootstrap_cache_is_gone, "must be present and writable", name="gone",
          mended="--fix"),
    Break("permissions.artisan", artisan_is_closed, "-rw------- root:root .*artisan"),
    Break("permissions.env_file", lambda it: (it.root / "app/.env").chmod(0o644), "-rw-r--r-- www-data",
          severity="warning", mended=lambda it: (it.root / "app/.env").chmod(0o640)),
    Break("permissions.sqlite", lambda it: roots(it, "app/storage/app/database.sqlite"), "it is used for: failed",
          mended="--fix"),
    Break("permissions.sqlite", the_database_stands_in_a_directory_of_root, r"/db as www-data: Permission denied",
          mended=the_directory_is_given_away, name="directory"),
    Break("permissions.worker_log", its_log_is_below_a_file, "Not a directory",
          mended=lambda it: it.program(stdout_logfile=None), name="file"),
    Break("permissions.worker_log", its_log_is_a_directory, "Is a directory", name="directory"),
    Break("permissions.command", lambda it: command(it, None), "report: there is no such file|no such file",
          mended=lambda it: command(it, "#!/bin/sh\n"), name="missing"),
    Break("permissions.command", lambda it: command(it, "#!/bin/sh\n", 0o744), r"-rwxr--r-- root:root", name="mode"),
    Break("permissions.command", lambda it: command(it, "#!/opt/nowhere/python\n"), "/opt/nowhere/python, does not",
          name="interpreter"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_what_a_user_may_not_do_is_found(broken: Break) -> None:
    broken.prove()


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """The directory mounted upon itself with these options. Skips where this machine forbids it."""
    if subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        subprocess.run(["mount", "-o", f"remount,bind,{options}", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_file_system_that_is_mounted_read_only_is_found() -> None:
    with Installation() as it, mounted(it.root / "app/storage", "ro"):
        (found,) = it.look()["findings"]
        assert found["id"] == "permissions.readonly"
        assert "Read-only file system" in found["evidence"][0]


def test_a_command_on_a_file_system_without_execution_is_found() -> None:
    with Installation() as it:
        (it.root / "bin").mkdir()
        shutil.copy("/bin/true", it.root / "bin/report")
        it.programs["report"] = {"type": "command", "command": str(it.root / "bin/report")}
        it.write()
        with mounted(it.root / "bin", "noexec"):
            (found,) = it.look()["findings"]
            assert found["id"] == "permissions.command"
            assert "mounted noexec" in found["evidence"][0]


def test_what_two_users_of_one_application_lack_is_said_of_each() -> None:
    with Installation() as it:
        it.programs["other"] = {"queue": "other", "user": "nobody"}
        it.write()
        findings = it.look()["findings"]
        assert {tuple(found["programs"]) for found in findings} == {("other",)}, findings
