"""Each fix does what its command says and no more: real files, real users."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.doctor import fixes
from queuepool.doctor.finding import (
    Finding,
    Fix,
    GiveTo,
    MakeDirectory,
    RemoveStale,
    RunCommand,
    SetMode,
    Severity,
    as_command,
)
from queuepool.doctor.fixes import Outcome, fixes_of, perform
from queuepool.domain.pool import Launch

USER = "www-data"
ROOT = os.geteuid() == 0
root = pytest.mark.skipif(not ROOT, reason="only root gives files away")


@pytest.fixture
def site() -> Iterator[Path]:
    """A directory that everybody may enter, with an application in it that belongs to its workers' user."""
    path = Path(tempfile.mkdtemp(prefix="qp-fix-", dir="/tmp"))
    path.chmod(0o755)
    app = path / "app"
    (app / "storage/logs").mkdir(parents=True)
    (app / "storage/logs/laravel.log").write_text("kept\n")
    if ROOT:
        shutil.chown(app, USER, USER)
    yield path
    shutil.rmtree(path)


def uid(user: str = USER) -> int:
    return pwd.getpwnam(user).pw_uid


def owner(path: Path) -> int:
    return path.lstat().st_uid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_user(*command: str) -> None:
    subprocess.run(["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", *command], check=True)


def done(fix: Fix) -> str:
    """Do it, and once more without effect; what the first time said."""
    first = perform(fix)
    assert not first.failed, first
    again = perform(fix)
    assert not again.failed, again
    if not isinstance(fix, RunCommand):
        assert "already" in again.what, again
    return first.what


def refused(fix: Fix) -> str:
    outcome = perform(fix)
    assert outcome.failed, outcome
    assert "Traceback" not in outcome.what
    return outcome.what


# --- GiveTo -----------------------------------------------------------------------------------------------------------


@root
@pytest.mark.root
def test_a_tree_is_given_away_and_what_is_in_it_is_kept(site: Path) -> None:
    storage = site / "app/storage"
    (storage / "logs/laravel.log").chmod(0o400)
    assert done(GiveTo((str(storage),), USER, recursive=True, add_mode=0o200)) == "3 changed"
    assert {owner(path) for path in (storage, storage / "logs", storage / "logs/laravel.log")} == {uid()}
    assert mode(storage / "logs/laravel.log") == 0o600
    assert (storage / "logs/laravel.log").read_text() == "kept\n"
    as_user("sh", "-c", f"echo more >> {storage}/logs/laravel.log")


@root
@pytest.mark.root
def test_without_recursion_only_the_named_files_are_given(site: Path) -> None:
    log = site / "app/storage/logs/laravel.log"
    done(GiveTo((str(log),), USER, "root"))
    assert (owner(log), log.stat().st_gid) == (uid(), 0)
    assert owner(log.parent) == 0


@root
@pytest.mark.root
def test_links_in_a_tree_are_not_followed_and_stay(site: Path) -> None:
    outside = site / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (site / "app/storage/link").symlink_to(outside)
    (site / "app/storage/file").symlink_to(outside / "secret")
    done(GiveTo((str(site / "app/storage"),), USER, recursive=True))
    assert {owner(outside), owner(outside / "secret"), owner(site / "app/storage/link")} == {0}


@root
@pytest.mark.root
def test_a_file_with_a_second_name_is_left_alone_and_told(site: Path) -> None:
    shadow = site / "shadow"
    shadow.write_text("root's")
    os.link(shadow, site / "app/storage/planted")
    what = perform(GiveTo((str(site / "app/storage"),), USER, recursive=True)).what
    assert owner(shadow) == 0
    assert what == f"3 changed; left alone: {site}/app/storage/planted"
    assert "second name" in refused(GiveTo((str(site / "app/storage/planted"),), USER))


@root
@pytest.mark.root
@pytest.mark.parametrize("fix", [
    lambda path: GiveTo((path,), USER, recursive=True),
    lambda path: GiveTo((f"{path}/secret",), USER),
    lambda path: SetMode(f"{path}/secret", 0o666),
    lambda path: MakeDirectory(f"{path}/made", USER),
    lambda path: RemoveStale(f"{path}/secret"),
])  # fmt: skip
def test_a_symlink_that_the_user_has_made_leads_nowhere(site: Path, fix: object) -> None:
    assert callable(fix)
    etc = site / "etc"
    etc.mkdir()
    (etc / "secret").write_text("x")
    shutil.rmtree(site / "app/storage")
    as_user("ln", "-s", str(etc), f"{site}/app/storage")
    assert "is a symlink of uid" in refused(fix(f"{site}/app/storage"))
    assert {owner(etc), owner(etc / "secret")} == {0}
    assert mode(etc / "secret") == 0o644
    assert [path.name for path in etc.iterdir()] == ["secret"]


@root
@pytest.mark.root
def test_the_link_of_a_deployment_is_followed(site: Path) -> None:
    shared = site / "shared/storage"
    shared.mkdir(parents=True)
    (site / "release").mkdir()
    (site / "release/storage").symlink_to("../shared/storage")
    (site / "current").symlink_to(site / "release")
    done(GiveTo((f"{site}/current/storage",), USER, recursive=True))
    assert owner(shared) == uid()


@root
@pytest.mark.root
def test_the_link_of_a_deploy_user_is_followed_to_what_is_its_own(site: Path) -> None:
    deploy = uid("nobody")
    shared = site / "shared"
    shared.mkdir()
    (site / "app/link").symlink_to("../shared")
    os.chown(site / "app/link", deploy, deploy, follow_symlinks=False)
    assert "not followed" in refused(GiveTo((f"{site}/app/link",), USER))
    os.chown(shared, deploy, deploy)
    assert not perform(GiveTo((f"{site}/app/link",), USER)).failed
    assert owner(shared) == uid()


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/", "/var/www", "/tmp/../etc"])
def test_directories_of_the_system_are_given_to_nobody(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes, "_reached", lambda *_: pytest.fail("it would have been done"))
    assert "belongs to the system" in refused(GiveTo((path,), USER, recursive=True))


@root
@pytest.mark.root
def test_a_pipe_in_a_tree_blocks_nothing(site: Path) -> None:
    os.mkfifo(site / "app/storage/pipe")
    assert "left alone" in perform(GiveTo((str(site / "app/storage"),), USER, recursive=True)).what


def test_an_unknown_user_is_named(site: Path) -> None:
    assert "no-such-user" in refused(GiveTo((str(site / "app"),), "no-such-user"))


@root
@pytest.mark.root
def test_an_ordinary_user_is_told_who_may(site: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os.setuid(uid("nobody"))
        what = perform(GiveTo((f"{site}/app/storage",), USER)).what
        os._exit(0 if "sudo queuepool doctor --fix" in what else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# --- the others -------------------------------------------------------------------------------------------------------


def test_a_missing_directory_is_made_with_its_parents(site: Path) -> None:
    path = site / "app/storage/framework/cache"
    before = os.umask(0o077)
    try:
        done(MakeDirectory(str(path)))
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o775, 0o775)


@root
@pytest.mark.root
def test_a_missing_directory_belongs_to_the_user_and_what_was_there_does_not(site: Path) -> None:
    path = site / "app/storage/framework/cache"
    done(MakeDirectory(str(path), USER, mode=0o750))
    assert {owner(path), owner(path.parent)} == {uid()}
    assert owner(site / "app/storage") == 0
    assert mode(path) == 0o750


def test_a_file_in_the_way_of_a_directory_is_not_touched(site: Path) -> None:
    assert "not a directory" in refused(MakeDirectory(f"{site}/app/storage/logs/laravel.log/x"))
    assert (site / "app/storage/logs/laravel.log").read_text() == "kept\n"


@pytest.mark.parametrize("path", ["made", "", "../made", "/tmp/../made"])
@pytest.mark.parametrize("fix", [MakeDirectory, RemoveStale, lambda path: SetMode(path, 0o777)])
def test_a_path_that_is_not_plain_is_refused(path: str, fix: object) -> None:
    assert callable(fix)
    assert "is no absolute path" in refused(fix(path))


def test_a_mode_is_set(site: Path) -> None:
    done(SetMode(f"{site}/app/storage/logs/laravel.log", 0o640))
    assert mode(site / "app/storage/logs/laravel.log") == 0o640
    assert "no such" in refused(SetMode(f"{site}/app/nothing", 0o640))


def test_a_socket_is_removed_only_when_nobody_answers(site: Path) -> None:
    path = f"{site}/control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert "in use" in refused(RemoveStale(path))
        assert os.path.exists(path)
    done(RemoveStale(path))
    assert not os.path.exists(path)


def test_a_directory_is_never_removed_nor_a_file_that_is_locked(site: Path) -> None:
    import fcntl

    assert "is a directory" in refused(RemoveStale(f"{site}/app/storage"))
    lock = site / "lock"
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "holds its lock" in refused(RemoveStale(str(lock)))
    done(RemoveStale(str(lock)))
    assert not lock.exists()


def test_a_command_is_run_where_and_as_whom_it_says(site: Path) -> None:
    user = USER if ROOT else None
    launch = Launch(("sh", "-c", "id -un > said; pwd >> said"), f"{site}/app", user)
    assert perform(RunCommand(launch, "sh")) == Outcome()
    assert (site / "app/said").read_text() == f"{user or pwd.getpwuid(os.geteuid()).pw_name}\n{site}/app\n"


def test_a_command_that_fails_says_how(site: Path) -> None:
    launch = Launch(("sh", "-c", "echo no such table; exit 3"), str(site))
    assert refused(RunCommand(launch, "sh")) == "exit code 3: no such table"
    assert "cannot find the command" in refused(RunCommand(Launch(("/no/such/php",), str(site)), "php"))
    slow = RunCommand(Launch(("sleep", "100"), str(site)), "sleep", seconds=0.1)
    assert refused(slow) == "it took longer than 0.1 s"


def test_each_fix_is_done_once_and_directories_are_made_first() -> None:
    make, give, setting = MakeDirectory("/a"), GiveTo(("/a",), USER), SetMode("/a", 0o750)
    findings = [
        Finding("a.b", Severity.ERROR, str(n), "", fix=fix) for n, fix in enumerate([setting, give, make, give])
    ]
    found = fixes_of([*findings, Finding("c.d", Severity.ERROR, "", "")])
    assert [(finding.subject, fix) for finding, fix in found] == [("2", make), ("1", give), ("0", setting)]


paths = st.lists(st.sampled_from(["a", "..", ".", "link", "up", "x y", "\n"]), max_size=5).map("/".join)


@given(path=paths, fix=st.sampled_from([SetMode, RemoveStale, MakeDirectory, GiveTo]))
def test_whatever_the_path_nothing_beside_the_tree_is_touched(path: str, fix: type) -> None:
    with tempfile.TemporaryDirectory(prefix="qp-fix-") as name:
        # Deep: were a path to lead up after all, it would still end in here, and not in a directory of the system.
        outside, tree = Path(name, "outside"), Path(name, *["deep"] * 12, "tree")
        tree.mkdir(parents=True)
        outside.mkdir(mode=0o700)
        (outside / "a").write_text("kept")
        (tree / "a").mkdir()
        (tree / "link").symlink_to(outside)
        (tree / "up").symlink_to("../..")
        if ROOT:
            for each in ("link", "up"):
                os.chown(tree / each, uid(), uid(), follow_symlinks=False)
        shown = os.path.join(tree, path)
        made = {SetMode: lambda: SetMode(shown, 0o777), GiveTo: lambda: GiveTo((shown,), str(uid()), recursive=True)}
        one: Fix = made.get(fix, lambda: fix(shown))()
        perform(one)
        assert as_command(one)
        if ROOT:
            assert {owner(outside), owner(outside / "a")} == {0}
            assert (outside / "a").read_text() == "kept"
            assert mode(outside) == 0o700
            assert [each.name for each in outside.iterdir()] == ["a"]
