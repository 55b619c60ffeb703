"""What is said where no daemon is seen."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile

import pytest

from queuepool.cli import absence
from queuepool.system.rundir import RunDirectory


@pytest.mark.root
def test_a_directory_of_somebody_else_is_not_taken_for_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tempfile.mkdtemp(prefix="qp-", dir="/tmp")  # others may look into it, unlike pytest's own
    os.chmod(runtime, 0o755)
    directory = RunDirectory("/srv/app/queuepool.yml", {"QUEUEPOOL_RUNTIME_DIR": runtime})
    os.makedirs(directory.path, mode=0o700)
    monkeypatch.setattr(absence, "ROOTS", runtime)
    mine = RunDirectory("/srv/app/queuepool.yml", {"QUEUEPOOL_RUNTIME_DIR": "/tmp/qp-none"})
    pwd.getpwuid(0)  # what is loaded late cannot be read by the other user
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        error = absence.none_runs(directory)
        os.write(writer, f"{error.message}\n{error.hint}\n{absence.hint(mine)}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == (
            f"cannot look into {directory.path}: it belongs to root\nrun this command as root: `sudo queuepool ...`\n"
            "root may have a daemon for this file: `sudo queuepool ...`; else start it with `queuepool up`"
        )
    os.waitpid(child, 0)
    shutil.rmtree(runtime)
