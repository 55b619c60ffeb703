from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuepool.errors import Locked, QueuepoolError
from queuepool.system.rundir import RunDirectory, canonical


def directory(tmp_path: Path, config: str = "app/queuepool.yml") -> RunDirectory:
    return RunDirectory(str(tmp_path / config), {"QUEUEPOOL_RUNTIME_DIR": str(tmp_path / "run")})


def test_the_same_file_has_the_same_directory_through_current_and_through_its_release(tmp_path: Path) -> None:
    for number in ("7", "8"):
        (tmp_path / "releases" / number).mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/7")
    through_link = canonical(str(tmp_path / "current" / "queuepool.yml"))
    assert canonical(str(tmp_path / "releases" / "7" / "queuepool.yml")) == through_link
    assert canonical(str(tmp_path / "releases" / "8" / "queuepool.yml")) != through_link
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("releases/8")
    assert canonical(str(tmp_path / "current" / "queuepool.yml")) == through_link, "a deploy changes nothing"


def test_other_links_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    assert canonical(str(tmp_path / "alias" / "q.yml")) == canonical(str(tmp_path / "real" / "q.yml"))


def test_two_files_never_share_a_directory(tmp_path: Path) -> None:
    assert directory(tmp_path, "a/queuepool.yml").path != directory(tmp_path, "b/queuepool.yml").path
    assert directory(tmp_path, "a/queuepool.yml").path != directory(tmp_path, "a/other.yml").path


def test_everything_made_is_private(tmp_path: Path) -> None:
    run = directory(tmp_path)
    run.make()
    for path in (run.path, run.state, run.pipes):
        assert os.stat(path).st_mode & 0o777 == 0o700
    os.chmod(run.path, 0o777)
    run.make()
    assert os.stat(run.path).st_mode & 0o777 == 0o700


def test_a_socket_path_that_is_too_long_is_said_with_what_to_do(tmp_path: Path) -> None:
    run = RunDirectory(str(tmp_path / "q.yml"), {"QUEUEPOOL_RUNTIME_DIR": str(tmp_path / ("x" * 120))})
    with pytest.raises(QueuepoolError, match="longer than 107 bytes") as caught:
        run.make()
    assert "QUEUEPOOL_RUNTIME_DIR" in caught.value.hint


def test_a_place_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(QueuepoolError, match="cannot make the directory"):
        directory(tmp_path).make()


@pytest.mark.root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    run = directory(tmp_path)
    os.makedirs(run.path)
    os.chown(run.path, 12345, 12345)
    with pytest.raises(QueuepoolError, match="does not belong to the user"):
        run.make()


def test_the_lock_is_held_by_one_and_names_it(tmp_path: Path) -> None:
    run = directory(tmp_path)
    run.make()
    assert run.pid() is None
    fd = run.acquire()
    try:
        assert run.pid() == os.getpid()
        with pytest.raises(Locked, match=f"pid {os.getpid()}"):
            run.acquire()
    finally:
        os.close(fd)
    assert run.pid() is None
    os.close(run.acquire())


def test_users_have_their_own_places() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/1000", "XDG_STATE_HOME": "/home/u/.local/state"}
    run = RunDirectory("/srv/app/queuepool.yml", environ)
    if os.geteuid() == 0:
        assert run.path.startswith("/run/queuepool/app-")
        assert run.state.startswith("/var/lib/queuepool/app-")
    else:
        assert run.path.startswith("/run/user/1000/queuepool/app-")
        assert run.state.startswith("/home/u/.local/state/queuepool/app-")
