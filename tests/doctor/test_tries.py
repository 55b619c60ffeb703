"""What a user may do is really tried, in a child, and leaves nothing behind."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuepool.doctor.facts.access import Try
from queuepool.doctor.looks.tries import tried
from queuepool.system.children import identity

ROOT = os.geteuid() == 0
WHO = identity("nobody" if ROOT else None, None, None)


def needs_root(test: Callable[[Path], None]) -> Callable[[Path], None]:
    return pytest.mark.root(pytest.mark.skipif(not ROOT, reason="needs root")(test))


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qp-tries-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def outcome(act: str, path: Path) -> Try:
    (found,) = tried(WHO, [Try("x", act, str(path))])
    return found


def test_what_may_be_done_has_no_error_and_leaves_no_trace(place: Path) -> None:
    place.chmod(0o777)
    file = place / "log"
    file.write_text("kept")
    file.chmod(0o666)
    before = file.stat()
    for act, path in (("write", place), ("append", file), ("read", file), ("enter", place), ("write", place / "a/b"),
                      ("append", place / "new/w.log"), ("execute", Path("/bin/sh"))):  # fmt: skip
        assert outcome(act, path).error == "", (act, path)
    assert (os.listdir(place), file.read_text(), file.stat().st_mtime_ns) == (["log"], "kept", before.st_mtime_ns)


def test_a_fifo_that_nobody_reads_does_not_hold_us(place: Path) -> None:
    os.mkfifo(place / "fifo")
    (place / "fifo").chmod(0o666)
    assert outcome("append", place / "fifo").error == ""


def test_what_is_in_the_way_is_named(place: Path) -> None:
    (place / "file").write_text("")
    assert outcome("append", place).error == "EISDIR"
    assert outcome("append", place / "file/w.log").error == "ENOTDIR"
    assert outcome("read", place / "none").error == "ENOENT"
    missing = outcome("inside", place / "none")
    assert (missing.error, missing.where) == ("ENOENT", str(place))
    (place / "link").symlink_to(place / "none/storage")
    assert outcome("enter", place / "link").error == "ENOENT"


def test_a_loop_of_links_is_an_outcome_like_any_other(place: Path) -> None:
    (place / "a").symlink_to(place / "b")
    (place / "b").symlink_to(place / "a")
    assert {outcome(act, place / "a").error for act in ("write", "append", "read", "enter", "execute")} == {"ELOOP"}


@needs_root
def test_another_users_limits_hold_for_root_too(place: Path) -> None:
    (place / "secret").write_text("")
    (place / "secret").chmod(0o600)
    told = outcome("read", place / "secret")
    assert (told.error, told.shown, told.allowed) == ("EACCES", "-rw------- root:root", False)
    assert told.evidence == (
        f"reading {place}/secret as nobody: Permission denied (-rw------- root:root {place}/secret)"
    )
    assert outcome("write", place).error == "EACCES"
    assert outcome("execute", place / "secret").error == "EACCES"


@needs_root
def test_the_first_directory_that_is_closed_is_named_also_behind_a_link(place: Path) -> None:
    inner = place / "home/app/storage"
    inner.mkdir(parents=True)
    (place / "home").chmod(0o700)
    (place / "current").symlink_to(place / "home/app")
    for path in (inner, place / "current/storage", inner / "none/at/all"):
        told = outcome("write", path)
        assert (told.error, told.closed, told.closed_shown) == ("EACCES", str(place / "home"), "drwx------ root:root")
        assert told.evidence.endswith(f"as nobody: Permission denied (drwx------ root:root {place}/home)")


@needs_root
def test_an_acl_counts_where_modes_say_otherwise(place: Path) -> None:
    # What `setfacl -m u:nobody:rwx` sets: version 2; owner, user, group, mask and others (linux/posix_acl_xattr.h).
    entries = [(0x01, 7, -1), (0x02, 7, WHO.uid), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(place, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no ACLs here")
    assert outcome("write", place).error == ""
