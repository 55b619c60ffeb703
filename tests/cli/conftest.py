from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.system.rundir import RunDirectory
from tests.control.fake import FakeDaemon, serving

from .calling import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A directory with a queuepool.yml, and run directories of its own; the current directory of the test."""
    with tempfile.TemporaryDirectory(prefix="qp", dir="/tmp") as runtime:
        for name in ("NO_COLOR", "QUEUEPOOL_CONFIG", "QUEUEPOOL_STATE_DIR", "PWD", "NOTIFY_SOCKET"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("QUEUEPOOL_RUNTIME_DIR", runtime)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "queuepool.yml").write_text("programs: {}\n")
        yield Place(tmp_path / "queuepool.yml")


@pytest.fixture
def daemon(place: Place) -> Iterator[FakeDaemon]:
    """A daemon of that file, as far as a command can see: its socket answers and its lock is held."""
    directory = RunDirectory(str(place.config))
    directory.make()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(place.config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    place.daemon_pid = holder.pid
    try:
        with serving(directory.socket, FakeDaemon()) as fake:
            yield fake
    finally:
        holder.stdin.close()
        holder.stdout.close()
        assert holder.wait(20) == 0


_HOLD = """
import os, sys
from queuepool.system.rundir import RunDirectory
RunDirectory(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_defect_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tracebacks of defects go where the test can see them."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert os.environ["TMPDIR"]
