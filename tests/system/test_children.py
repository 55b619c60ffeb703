"""Real processes: who they run as, what they inherit, how their end is heard of, and why one could not be started."""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.domain.pool import Launch
from queuepool.errors import SpawnError
from queuepool.system import children, procstat
from tests.support.wait import LIMIT, eventually

SHOW = """
import json, os, resource
fds = [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)]
print(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "umask": os.umask(0), "nice": os.nice(0), "fds": fds,
  "sid": os.getsid(0), "pid": os.getpid(), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)}))
"""


def launch(*argv: str, **values: object) -> Launch:
    return Launch(tuple(argv) or (sys.executable, "-c", SHOW), str(values.pop("directory", "/")), **values)  # type: ignore[arg-type]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    fd = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT, 0o666)
    yield fd, tmp_path / "out"
    os.close(fd)


def finish(pid: int) -> int:
    fd = children.pidfd(pid)
    assert fd is not None
    try:
        assert select.select([fd], [], [], LIMIT)[0]
    finally:
        os.close(fd)
    code = children.reap(pid)
    assert code is not None
    return code


def shown(spec: Launch, output: tuple[int, Path]) -> dict[str, object]:
    assert finish(children.spawn(spec, {"QUEUEPOOL_PROCESS": "w:0"}, output[0], None)) == 0
    return dict(json.loads(output[1].read_text()))


def test_a_child_leads_a_session_of_its_own_with_a_clean_environment(
    output: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SECRET", "x")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    seen = shown(launch(environment=(("APP_ENV", "production"),)), output)
    assert seen["sid"] == seen["pid"]
    env = seen["env"]
    assert isinstance(env, dict)
    me = pwd.getpwuid(os.getuid())
    assert {"HOME": me.pw_dir, "USER": me.pw_name, "LOGNAME": me.pw_name}.items() <= env.items()
    assert (env["APP_ENV"], env["QUEUEPOOL_PROCESS"]) == ("production", "w:0")
    assert not {"DAEMON_SECRET", "NOTIFY_SOCKET"} & set(env)
    inherited = {int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
    inherited = {fd for fd in inherited if os.get_inheritable(fd)}  # of whoever runs the tests
    assert set(seen["fds"]) <= {0, 1, 2, 3} | inherited, "nothing of the daemon is open in it"  # 3: its own listing


def test_a_child_does_not_ignore_what_python_ignores(output: tuple[int, Path]) -> None:
    assert finish(children.spawn(launch("grep", "SigIgn", "/proc/self/status"), {}, output[0], None)) == 0
    ignored = int(output[1].read_text().split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert not ignored & 1 << number - 1, "Python ignores them; its children must not"


def test_with_clear_env_off_the_environment_is_kept_but_for_what_is_ours(
    output: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_HOST", "redis")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("QUEUEPOOL_UPGRADE", "{}")
    env = shown(launch(clear_env=False), output)["env"]
    assert isinstance(env, dict)
    assert env["REDIS_HOST"] == "redis"
    assert not {"NOTIFY_SOCKET", "QUEUEPOOL_UPGRADE"} & set(env)


@pytest.mark.root
def test_a_child_of_another_user_has_its_groups_home_and_path(output: tuple[int, Path]) -> None:
    script = "id -u; id -g; id -G; echo $HOME $USER $PATH"
    spec = launch("/bin/sh", "-c", script, user="www-data", groups=("daemon",))
    assert finish(children.spawn(spec, {}, output[0], None)) == 0
    uid, gid, groups, names = output[1].read_text().splitlines()
    me = pwd.getpwnam("www-data")
    assert (int(uid), int(gid), set(map(int, groups.split()))) == (me.pw_uid, me.pw_gid, {me.pw_gid, 1})
    assert names == f"{me.pw_dir} www-data {children.DEFAULT_PATH}"


def test_directory_umask_nice_and_limits_are_set(output: tuple[int, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    spec = launch(directory=str(tmp_path), umask=0o027, nice=5, rlimits=(("nofile", 77, 88),))
    pid = children.spawn(
        launch("sh", "-c", f"read go <gate; exec {sys.executable} -c '{SHOW}'", directory=str(tmp_path),
               umask=spec.umask, nice=spec.nice, rlimits=spec.rlimits),
        {}, output[0], None,
    )  # fmt: skip
    (tmp_path / "gate").write_text("go\n")  # the limits are set when it has been spawned, which may be after its start
    assert finish(pid) == 0
    seen = json.loads(output[1].read_text())
    assert (seen["cwd"], seen["umask"], seen["nice"], seen["nofile"]) == (str(tmp_path), 0o027, 5, [77, 88])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (launch("true", directory="/no/such/place"), "cannot enter the directory /no/such/place: it does not exist"),
        (launch("true", directory="/etc/passwd"), "cannot enter the directory /etc/passwd: it is not a directory"),
        (launch("no-such-command-here"), "cannot find the command no-such-command-here: it is not in PATH"),
        (launch("/no/such/command"), "cannot find the command /no/such/command: there is no such file"),
        (launch("/etc/passwd"), "cannot execute /etc/passwd"),
        (launch("true", user="no-such-user"), "cannot run as no-such-user: there is no such user"),
        (launch("true", user="root", group="no-such-group"), "cannot run with group no-such-group"),
        (launch("tr\0ue"), "cannot start"),
        (launch("true", rlimits=(("nonsense", 1, 1),)), "cannot set rlimit nonsense"),
    ],
)
def test_what_cannot_be_started_says_which_step_failed(spec: Launch, message: str, output: tuple[int, Path]) -> None:
    with pytest.raises(SpawnError) as caught:
        children.spawn(spec, {}, output[0], None)
    assert caught.value.message.startswith(message), caught.value.message


def test_a_script_without_its_interpreter_says_so(output: tuple[int, Path], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(SpawnError, match="interpreter in its first line does not exist"):
        children.spawn(launch(str(script)), {}, output[0], None)


@pytest.mark.root
def test_a_directory_that_the_user_may_not_enter_is_told_from_a_missing_one(
    output: tuple[int, Path], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SpawnError, match=r"cannot enter the directory .*closed as www-data: no permission for .*"):
        children.spawn(launch("true", directory=str(closed), user="www-data"), {}, output[0], None)


def test_descriptors_do_not_leak_from_failed_starts(output: tuple[int, Path]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(SpawnError):
            children.spawn(launch("no-such-command-here"), {}, output[0], None)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", -9), ("exit 0", 0)])
def test_the_end_is_heard_by_pidfd_and_its_status_reaped(script: str, code: int, output: tuple[int, Path]) -> None:
    pid = children.spawn(launch("sh", "-c", script), {}, output[0], None)
    fd = children.pidfd(pid)
    assert fd is not None
    assert select.select([fd], [], [], LIMIT)[0]
    assert children.reap(pid) == code
    os.close(fd)
    with pytest.raises(ChildProcessError):
        children.reap(pid)


def test_the_exit_of_a_stranger_is_read_where_the_kernel_tells() -> None:
    script = (
        "import subprocess; p = subprocess.Popen(['sh', '-c', 'read x; exit 7'], stdin=0); print(p.pid, flush=True);"
        "p.wait(); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pid = int(parent.stdout.readline())
        fd = children.pidfd(pid)
        assert fd is not None
        assert children.exit_of_stranger(fd) is None, "it still runs"
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert select.select([fd], [], [], LIMIT)[0]
        release = tuple(map(int, os.uname().release.split(".")[:2]))
        if release >= (6, 15):
            assert eventually(lambda: children.exit_of_stranger(fd), 10, "the exit status of a stranger") == 7
        os.close(fd)
        parent.stdin.write("\n")
        parent.stdin.close()


def test_a_tree_is_signalled_and_seen_as_a_whole(output: tuple[int, Path]) -> None:
    pid = children.spawn(launch("sh", "-c", "sleep 100 & sleep 100 & wait"), {}, output[0], None)
    eventually(lambda: len(procstat.session_members(pid)) == 3, 10, "three processes")
    os.kill(pid, signal.SIGKILL)
    assert finish(pid) == -9
    assert children.signal_tree(pid, 0), "its children live on"
    assert len(procstat.session_members(pid)) == 2
    assert children.signal_tree(pid, signal.SIGKILL)
    eventually(lambda: not procstat.session_members(pid), 10, "nothing left")
    assert not children.signal_one(2**22 + 1, 0)


def test_a_process_is_told_from_a_later_one_with_its_pid(output: tuple[int, Path]) -> None:
    one = children.spawn(launch("sleep", "100"), {}, output[0], None)
    two = children.spawn(launch("sleep", "100"), {}, output[0], None)
    try:
        assert procstat.birth(one) == procstat.birth(one) is not None
        assert procstat.parent(one) == os.getpid()
        assert procstat.session(one) == one
        eventually(lambda: (seen := procstat.usage(two)) is not None and seen.rss > 0, 10, "its memory")
    finally:
        for pid in (one, two):
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: procstat.birth(pid) is None, 10, "a zombie counts as gone")
            finish(pid)
    assert procstat.usage(one) is None


def test_it_is_seen_which_signals_a_process_handles(output: tuple[int, Path]) -> None:
    pid = children.spawn(launch("sh", "-c", "trap : USR2; while :; do sleep 100; done"), {}, output[0], None)
    try:
        eventually(lambda: procstat.handles(pid, signal.SIGUSR2), 60, "it has its handler")
        assert procstat.handles(pid, signal.SIGUSR1) is False
    finally:
        children.signal_tree(pid, signal.SIGKILL)
        finish(pid)
    assert procstat.handles(pid, signal.SIGUSR2) is None


def test_it_is_seen_how_long_a_process_ran_and_whether_it_wants_to(output: tuple[int, Path]) -> None:
    busy = children.spawn(launch("sh", "-c", "while :; do :; done"), {}, output[0], None)
    idle = children.spawn(launch("sleep", "100"), {}, output[0], None)
    try:
        eventually(lambda: procstat.session(idle) == idle, 10, "started")
        first = procstat.ran(busy)
        assert first is not None
        eventually(lambda: (procstat.ran(busy) or 0) > first + 50_000_000, 30, "50 ms of running")
        assert procstat.hungry(busy), "it wants the processor"
        eventually(lambda: not procstat.hungry(idle), 20, "a sleeper wants nothing")
        assert procstat.ran(idle) is not None
    finally:
        for pid in (busy, idle):
            os.kill(pid, signal.SIGKILL)
            finish(pid)
