"""A real queuepool.yml, broken in each way that its checks look for."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.installation import Break, Installation
from tests.support.ports import free_port

pytestmark = pytest.mark.doctor


def a_wrong_key(it: Installation) -> None:
    it.programs["other"] = {"queue": "other", "numproc": 3}
    it.write()


def no_yaml(it: Installation) -> None:
    it.qp.write("programs:\n  w: [unclosed\n")


def no_program(it: Installation) -> None:
    it.qp.write("programs: {}\n")


def an_empty_file(it: Installation) -> None:
    it.qp.write("")


def a_broken_include(it: Installation) -> None:
    (it.root / "etc/more.yml").write_text("programs:\n  more: {queue: more, tires: 3}\n")
    it.top["include"] = ["*more.yml"]
    it.write()


def an_include_that_is_not_there(it: Installation) -> None:
    it.top["include"] = ["gone.yml"]
    it.write()


def an_env_file_that_is_not_there(it: Installation) -> None:
    it.program(env_file="gone.env")


def an_env_file_with_a_slip(it: Installation) -> None:
    (it.root / "etc/w.env").write_text("GOOD=1\nno such line\n")
    it.program(env_file="w.env")


def a_log_of_two(it: Installation) -> None:
    log = str(it.root / "app/storage/logs/one.log")
    it.programs["other"] = {"queue": "other", "stdout_logfile": log, "stdout_logfile_maxbytes": "1MB"}
    it.program(stdout_logfile=log)


def a_secret_for_all(it: Installation) -> None:
    it.program(environment={"API_TOKEN": "abcdef123456"})
    it.qp.file.chmod(0o644)


def other_tries(it: Installation) -> None:
    it.programs["other"] = {"queue": "default", "tries": 3}
    it.write()


def another_release(it: Installation) -> None:
    for name in ("1", "2"):
        (it.root / "releases" / name).mkdir(parents=True)
        (it.root / "releases" / name / "queuepool.yml").write_text(it.qp.file.read_text())
    (it.root / "current").symlink_to("releases/2")
    it.qp.file = it.root / "releases/1/queuepool.yml"


def a_password_file_for_all(it: Installation) -> None:
    (it.qp.directory / "ann").write_text("hunter2\n")
    (it.qp.directory / "ann").chmod(0o644)
    it.top["http"] = {"listen": f"127.0.0.1:{free_port()}", "users": {"ann": {"password_file": "ann"}}}
    it.write()


def without_the_other(it: Installation) -> None:
    it.programs.clear()
    it.top.pop("include", None)
    it.program(env_file=None)


BREAKS = [
    Break("file.valid", a_wrong_key, r"queuepool.yml:\d+: programs.other.numproc: unknown key \(did you mean numprocs",
          mended=without_the_other),
    Break("file.valid", no_yaml, r"queuepool.yml:3: this is not valid YAML", name="syntax", mended=without_the_other),
    Break("file.empty", no_program, r"programs: none", mended=without_the_other),
    Break("file.empty", an_empty_file, r"queuepool.yml:1: is empty", name="nothing", mended=without_the_other),
    Break("file.include", a_broken_include, r"more.yml:2: programs.more.tires: unknown key \(did you mean tries",
          mended=without_the_other),
    Break("file.include", an_include_that_is_not_there, r"gone.yml:1: cannot be read: no such file", name="missing",
          mended=without_the_other),
    Break("file.env_file", an_env_file_that_is_not_there, r"names gone.env, which cannot be read: no such file",
          mended=without_the_other),
    Break("file.env_file", an_env_file_with_a_slip, r"names w.env, where line 2", name="slip",
          mended=without_the_other),
    Break("file.warnings", a_log_of_two, r"stdout_logfile: is the log of w too", "warning", mended=without_the_other),
    Break("file.mode", lambda it: it.qp.file.chmod(0o646), r"queuepool.yml: mode 0646, owned by uid \d+",
          mended="--fix"),
    Break("file.mode", lambda it: it.qp.directory.chmod(0o777), r"etc: mode 0777", name="directory",
          mended=lambda it: it.qp.directory.chmod(0o755)),
    Break("file.queues", other_tries, r"--tries: w 1, other 3", "info", mended=without_the_other),
    Break("file.machine", lambda it: it.program(directory="/nowhere"), r"w: the directory /nowhere does not exist here",
          mended=lambda it: it.program(directory=None)),
    Break("file.secrets", a_password_file_for_all, r"what lets in ann", "warning", name="http",
          mended=lambda it: (it.qp.directory / "ann").chmod(0o600)),
    Break("file.release", another_release, r"current/queuepool.yml", "warning"),
]  # fmt: skip
AS_ROOT = [
    Break("file.mode", lambda it: os.chown(it.qp.file, 33, 33), r"owned by uid 33, while queuepool runs as root",
          "warning", name="owner", mended=lambda it: os.chown(it.qp.file, 0, 0)),
    Break("file.secrets", a_secret_for_all, r"queuepool.yml:\d+: programs.w.environment.API_TOKEN", "warning",
          mended="--fix"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_file_is_found(broken: Break) -> None:
    broken.prove()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("broken", AS_ROOT, ids=str)
def test_a_file_that_is_open_to_others_is_found(broken: Break) -> None:
    broken.prove()


def test_no_secret_is_shown() -> None:
    with Installation() as it:
        a_secret_for_all(it)
        done = it.qp.try_("doctor")
        for told in (done.stdout + done.stderr, str(it.look())):
            assert "API_TOKEN" in told
            assert "abcdef123456" not in told


def test_what_is_right_in_a_broken_file_is_looked_at_all_the_same() -> None:
    with Installation() as it:
        a_wrong_key(it)
        (it.root / "app/bootstrap/app.php").write_text("<?php\noops(\n")
        found = it.look()["findings"]
        assert {finding["id"] for finding in found} == {"file.valid", "application.boots"}, json.dumps(found)
