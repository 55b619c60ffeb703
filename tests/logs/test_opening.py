from __future__ import annotations

import os
import pwd
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from queuepool.logs.backups import shift
from queuepool.logs.opening import acting_as, find_owner, open_existing, open_log, out_of_reach

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
NOBODY = pwd.getpwnam("nobody")


def opened(path: Path | str, user: str | None = "nobody", mode: int = 0o640) -> os.stat_result:
    found = open_log(str(path), find_owner(user, None), mode, lambda name: shift(name, 3))
    try:
        return os.fstat(found.fd)
    finally:
        os.close(found.fd)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of nobody's, which it can reach."""
    here = tmp_path
    while str(here) != "/tmp" and here != here.parent:
        os.chmod(here, os.stat(here).st_mode | 0o011)
        here = here.parent
    directory = tmp_path / "theirs"
    directory.mkdir()
    os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
    return directory


@pytest.fixture
def roots(tmp_path: Path, theirs: Path) -> Path:
    directory = tmp_path / "roots"
    directory.mkdir(0o755)
    return directory


@as_root
@pytest.mark.root
def test_missing_directories_and_the_file_belong_to_the_user(roots: Path, theirs: Path) -> None:
    for base in (roots, theirs):
        seen = opened(base / "made" / "deeper" / "worker.log", mode=0o664)
        assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (NOBODY.pw_uid, NOBODY.pw_gid, 0o664)
        assert os.stat(base / "made").st_uid == os.stat(base / "made" / "deeper").st_uid == NOBODY.pw_uid


@as_root
@pytest.mark.root
def test_root_remains_root_afterwards(theirs: Path) -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    with acting_as(find_owner("nobody", None)):
        (theirs / "made").touch()
        assert ((theirs / "made").stat().st_uid, (theirs / "made").stat().st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
        with pytest.raises(PermissionError):
            Path("/etc/queuepool-test").touch()
    opened(theirs / "worker.log")
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


@as_root
@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all threads change")
def test_other_threads_remain_root_meanwhile(roots: Path) -> None:
    """The daemon loads code in a thread while it opens logs, and that code may be in a directory of root's alone."""
    secret = roots / "secret"
    secret.write_text("yes")
    secret.chmod(0o600)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(secret.read_text).result() == "yes"  # the thread is there
        with acting_as(find_owner("nobody", None)):
            assert other.submit(secret.read_text).result() == "yes"
            with pytest.raises(PermissionError):
                secret.read_text()


@as_root
@pytest.mark.root
@pytest.mark.parametrize("trick", ["symlink", "symlinked directory", "hard link", "dangling symlink"])
def test_a_trap_in_the_users_directory_does_not_reach_a_file_of_roots(theirs: Path, roots: Path, trick: str) -> None:
    secret = roots / "worker.log"
    secret.write_text("root:x:0\n")
    secret.chmod(0o600)
    log = theirs / "worker.log"
    if trick == "symlink":
        log.symlink_to(secret)
    elif trick == "symlinked directory":
        (theirs / "logs").symlink_to(roots)
        log = theirs / "logs" / "worker.log"
    elif trick == "hard link":
        os.link(secret, log)
    else:
        log.symlink_to(roots / "new.log")
    if trick == "hard link":  # moved aside within the directory, like any file the user may not write
        assert opened(log).st_ino != os.stat(secret).st_ino
    else:
        with pytest.raises((PermissionError, FileNotFoundError)):
            opened(log)
    assert secret.read_text() == "root:x:0\n"
    assert (os.stat(secret).st_uid, stat.S_IMODE(os.stat(secret).st_mode)) == (0, 0o600)
    assert os.listdir(roots) == ["worker.log"]


@as_root
@pytest.mark.root
def test_where_only_root_may_write_root_follows_no_symlink_and_hands_over_what_it_makes(roots: Path) -> None:
    target = roots / "target"
    target.touch()
    (roots / "link.log").symlink_to(target)
    for user in ("nobody", None):
        with pytest.raises(OSError, match="symlink"):
            opened(roots / "link.log", user)
    os.link(target, roots / "second.log")
    with pytest.raises(OSError, match="hard link"):
        opened(roots / "second.log")
    assert opened(roots / "worker.log").st_uid == NOBODY.pw_uid
    found = open_existing(str(roots / "worker.log"), find_owner("nobody", None))
    assert found is not None
    os.close(found)


@as_root
@pytest.mark.root
def test_a_log_that_a_supervisor_of_roots_left_is_kept_and_a_new_one_begun(theirs: Path) -> None:
    log = theirs / "worker.log"
    log.write_text("of Supervisor\n")
    log.chmod(0o600)
    assert opened(log).st_uid == NOBODY.pw_uid
    assert (theirs / "worker.log.1").read_text() == "of Supervisor\n"
    assert log.read_text() == ""


@as_root
@pytest.mark.root
def test_reach_is_judged_by_every_part_of_the_path(roots: Path, theirs: Path) -> None:
    owner = find_owner("nobody", None)
    assert owner is not None
    assert out_of_reach(str(roots), owner)
    assert out_of_reach(str(roots / "not" / "yet"), owner)
    assert not out_of_reach(str(theirs), owner)
    assert not out_of_reach(str(theirs / "not" / "yet"), owner)
    assert not out_of_reach("/tmp", owner), "anybody can make names there"
    (theirs / "roots").mkdir()
    assert not out_of_reach(str(theirs / "roots"), owner), "its parent can replace it"
    (theirs / "link").symlink_to(roots)
    assert not out_of_reach(str(theirs / "link"), owner), "it can be pointed elsewhere"
    (roots / "link").symlink_to(roots / "other")
    assert out_of_reach(str(roots / "link"), owner)
    (roots / "loop").symlink_to("loop")
    assert not out_of_reach(str(roots / "loop" / "x"), owner)
    roots.chmod(0o775)
    assert out_of_reach(str(roots), owner)
    os.chown(roots, 0, NOBODY.pw_gid)
    assert not out_of_reach(str(roots), owner)


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        opened(tmp_path / "fifo", None)
    with pytest.raises(IsADirectoryError):
        opened(tmp_path, None)
    with pytest.raises(LookupError, match="no user nosuchuser"):
        find_owner("nosuchuser", None)
    with pytest.raises(LookupError, match="no group nosuchgroup"):
        find_owner(None, "nosuchgroup")


def test_devices_are_taken_as_they_are_and_dev_shm_is_none() -> None:
    assert stat.S_ISCHR(opened("/dev/null", None).st_mode)
    if os.path.isdir("/dev/shm"):
        path = f"/dev/shm/queuepool-test-{os.getpid()}/worker.log"
        try:
            assert stat.S_ISREG(opened(path, None).st_mode)
        finally:
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
