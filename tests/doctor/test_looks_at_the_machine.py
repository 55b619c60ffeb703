"""What the looks read of the kernel, of other managers' files, of the daemon's log and of a machine's processes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queuepool.doctor.looks import daemon, journal, kernel, managers
from queuepool.doctor.looks.bounded import bounded
from queuepool.doctor.looks.crowd import Crowd, artisan_in, belongs, family, shown
from queuepool.doctor.looks.places import ROOT, Places
from queuepool.system import procstat
from queuepool.system.rundir import RunDirectory

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places({ROOT: str(tmp_path), "HOME": str(tmp_path / "home")})


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(path: str, text: str) -> Path:
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


Put = Callable[[str, str], Path]


def test_the_tightest_control_group_on_the_way_counts(places: Places, put: Put, tmp_path: Path) -> None:
    put("/proc/7/cgroup", "0::/a/b\n")
    put("/sys/fs/cgroup/a/memory.max", "1000\n")
    put("/sys/fs/cgroup/a/memory.current", "900\n")
    put("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 300\n")
    put("/sys/fs/cgroup/a/b/memory.max", "max\n")
    assert kernel.tightest(7, places, "memory") == kernel.Group(f"{tmp_path}/sys/fs/cgroup/a", 1000, 600)


def test_control_groups_of_version_1_are_read_too(places: Places, put: Put) -> None:
    put("/proc/7/cgroup", "5:pids:/x\n4:memory,hugetlb:/docker/1\n")
    put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "5000\n")
    put("/sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "100\n")
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    put("/sys/fs/cgroup/pids/x/pids.max", "max\n")
    group = kernel.tightest(7, places, "memory")
    assert group is not None
    assert (group.limit, group.current) == (5000, 100)
    assert kernel.tightest(7, places, "pids") is None


@linux
def test_kills_are_told_by_the_kernel_alone_and_with_their_time(places: Places, put: Put) -> None:
    ago = int((time.monotonic() - 100) * 1e6)
    put(
        "/dev/kmsg",
        f"3,1,{ago},-;Out of memory: Killed process 12 (php) total-vm:1kB\n"
        f"3,2,{ago},-;Memory cgroup out of memory: Killed process 13 (x) total-vm:1kB\n"
        f"13,3,{ago},-;Out of memory: Killed process 14 (a person wrote this)\n"
        "3,x;Killed process 15 (\n;;;\n",
    )
    killed = kernel.kills(places)
    assert killed is not None
    assert [(kill.pid, kill.cgroup) for kill in killed] == [(12, False), (13, True)]
    assert abs(time.time() - 100 - killed[0].time) < 50


def test_the_daemons_log_tells_how_often_a_process_crashed(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path / "queuepool.yml"), {"QUEUEPOOL_RUNTIME_DIR": str(tmp_path)})
    os.makedirs(directory.state)
    now = time.mktime(time.strptime("2026-11-29 10:00:00", "%Y-%m-%d %H:%M:%S"))
    lines = [
        "2026-11-29 08:00:00,000 event=exited process=w:0 code=1 reason=old",
        '2026-11-29 09:58:00,500 event=exited process=w:0 code=1 reason="exit 1: say \\"no\\"" lived=0.1',
        "2026-11-29 09:59:00,500 event=exited process=w:0 code=-9 reason=killed",
        "2026-11-29 09:59:10,500 event=exited process=w:0 code=-15 reason=asked",
        "2026-11-29 09:59:20,000 event=recycled process=w:1 code=12 reason=memory",
        "a torn li",
    ]
    Path(directory.log).write_text("\n".join(lines))
    crashed, recycled = daemon.crashes(directory, now)
    assert (crashed.name, crashed.program, crashed.count, crashed.seconds, crashed.code) == ("w:0", "w", 2, 60.0, -9)
    assert (recycled.name, recycled.recycled) == ("w:1", True)
    said = list(journal.tail(directory.log, frozenset({"exited"})))
    assert said[1].fields["reason"] == 'exit 1: say "no"'


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("cd /srv/app && php artisan schedule:run >> /dev/null 2>&1", "schedule:run"),
        ("/usr/bin/php8.2 /srv/app/artisan queue:work redis --tries=3", "queue:work"),
        ("php artisan --env=production horizon", "horizon"),
        ('sh -c "php artisan queue:listen"', "queue:listen"),
        ("php artisan horizon:terminate", None),
        ("php artisan queue:work-around", None),
        ("php artisan migrate", None),
        ("php partisan queue:work", None),
    ],
)
def test_a_command_that_runs_artisan_for_long_is_known(text: str, command: str | None) -> None:
    assert artisan_in(text) == command


def test_a_secret_in_the_command_of_another_manager_is_not_shown() -> None:
    text = "* * * * * DB_PASSWORD='a b c' REDIS_URL=redis://u:pw@h/0 php artisan horizon --api-token=xyz  --queue=key"
    told = shown(text)
    assert told == (
        "* * * * * DB_PASSWORD=******** REDIS_URL=redis://u:********@h/0 php artisan horizon --api-token=******** "
        "--queue=key"
    )


def test_releases_beside_each_other_are_one_application(tmp_path: Path) -> None:
    for name in ("releases/1", "releases/2", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/2")
    directories = family(str(tmp_path / "current"))
    assert belongs([f"{tmp_path}/releases/1/"], directories)
    assert belongs([f"{tmp_path}/current"], directories)
    assert not belongs([f"{tmp_path}/elsewhere"], directories)
    assert not belongs([f"{tmp_path}/releases2"], directories)
    assert not belongs([f"{tmp_path}/releases/2/another/application"], directories)
    assert not belongs(["releases/1", ""], directories)
    assert not belongs([f"{tmp_path}/elsewhere"], family(str(tmp_path / "else")))


def test_supervisords_files_are_read_as_supervisord_reads_them(places: Places, put: Put, tmp_path: Path) -> None:
    put(
        "/etc/supervisor/conf.d/a.conf",
        "[program:one]\ncommand=php artisan queue:work ; a remark\ndirectory=/srv/app\n"
        "[program:two]\nCOMMAND = php /srv/app/artisan horizon\n[program:three]\ncommand=sleep 1\n"
        "[group:g]\nprograms=one\n",
    )
    put("/etc/supervisor/conf.d/bad.conf", "artisan ][ is no section\n")
    put("/etc/supervisor/conf.d/other.txt", "[program:x]\ncommand=php artisan horizon\n")
    found = [
        (entry.name, paths, entry.active) for _, entry, paths in managers.supervisor_programs(places, Crowd(places))
    ]
    assert found == [("one", ["/srv/app"], False), ("two", ["/srv/app", ""], False)]


def test_units_of_systemd_are_told_with_whether_they_start_at_boot(places: Places, put: Put, tmp_path: Path) -> None:
    text = "[Service]\nWorkingDirectory=-/srv/app\nExecStart=@/usr/bin/php artisan \\\n   queue:work\n"
    unit = put("/etc/systemd/system/a.service", text)
    put("/usr/lib/systemd/system/a.service", text)
    put("/etc/systemd/system/ours.service", "# queuepool startup: /q.yml\nExecStart=php artisan horizon\n")
    template = put("/home/.config/systemd/user/b@.service", text)
    for path, target in (("etc/systemd/system/m.target.wants/a.service", unit),
                         ("home/.config/systemd/user/d.target.wants/b@1.service", template)):  # fmt: skip
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).symlink_to(target)
    found = [(entry.name, entry.active, paths[-1]) for _, entry, paths in managers.units(places)]
    assert found == [("a.service", True, "/srv/app"), ("b@.service", True, "/srv/app")]


def test_crontabs_of_the_system_and_of_users_are_read(places: Places, put: Put) -> None:
    line = "* * * * * cd /srv/app && php artisan schedule:run"
    put("/etc/crontab", f"SHELL=/bin/sh\n{line}\n")
    put("/var/spool/cron/crontabs/joe", f"#{line}\n\n{line}\n")
    found = [(entry.where.removeprefix(places.root), paths[0]) for _, entry, paths in managers.crontabs(places)]
    assert found == [("/etc/crontab:2", "/srv/app"), ("/var/spool/cron/crontabs/joe:3", "/srv/app")]


@linux
def test_all_processes_of_a_machine_are_looked_through_at_once() -> None:
    crowd = Crowd(Places({}))
    crowd.look()
    assert crowd.arguments[os.getpid()]
    assert os.getppid() in crowd.ancestors(os.getpid())
    began = procstat.started(os.getpid())
    assert began is not None
    assert 0 <= time.time() - began < 86_400
    assert procstat.directory(os.getpid()) == os.getcwd()


def test_a_call_that_never_returns_is_left_alone() -> None:
    never = threading.Event()

    async def call() -> None:
        with pytest.raises(TimeoutError):
            await bounded(0.05, never.wait)
        assert await bounded(5, max, 1, 2) == 2
        with pytest.raises(ZeroDivisionError):
            await bounded(5, divmod, 1, 0)

    asyncio.run(call())
    never.set()
