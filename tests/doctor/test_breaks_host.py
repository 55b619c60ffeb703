"""A machine that lacks something: real disks, limits and kills where a test can make them; what only the kernel could
make (no memory, a control group) is told to the doctor by files in place of the kernel's."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from queuepool.system.procstat import birth
from tests.support.installation import Break, Installation, running
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def daemon(it: Installation) -> int:
    pid = it.qp.run.pid()
    assert pid is not None
    return pid


def more_workers_than_memory(it: Installation) -> None:
    it.program(numprocs=MEMORY // (100 << 20), memory=128)


def fewer(it: Installation) -> None:
    it.program(numprocs=1)


def hardly_any_memory(it: Installation) -> None:
    it.put("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 200000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")


def in_a_group(it: Installation, **files: str) -> None:
    """The daemon in a control group with these files."""
    it.put(f"/proc/{daemon(it)}/cgroup", "0::/system.slice/queuepool.service\n")
    for name, text in files.items():
        it.put(f"/sys/fs/cgroup/system.slice/{name.replace('_', '.')}", "max\n")
        it.put(f"/sys/fs/cgroup/system.slice/queuepool.service/{name.replace('_', '.')}", text)


def with_less_memory_than_its_workers_need(it: Installation) -> None:
    in_a_group(it, memory_max=f"{4 << 20}\n", memory_current=f"{1 << 20}\n")


def with_all_its_memory_used(it: Installation) -> None:
    in_a_group(
        it,
        memory_max=f"{1 << 30}\n",
        memory_current=f"{1 << 30}\n",
        memory_stat=f"anon 5\ninactive_file {1 << 20}\n",
    )


def with_as_many_tasks_as_it_may_have(it: Installation) -> None:
    in_a_group(it, pids_max="20\n", pids_current="21\n")


def on_a_machine_with_few_pids(it: Installation) -> None:
    it.put("/proc/sys/kernel/pid_max", "10\n")


def with_a_limit_of_its_user(it: Installation) -> None:
    it.program(numprocs=3, rlimits={"nproc": 2})


def with_few_descriptors(it: Installation) -> None:
    allow(daemon(it), 60)


def with_more(it: Installation) -> None:
    allow(daemon(it), 1000)


def allow(pid: int, files: int) -> None:
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, hard))


def killed_by_the_kernel(it: Installation) -> None:
    [worker] = it.qp.pids("w").values()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: birth(worker) is None, what="it is gone")
    it.qp.running("w", 1)
    it.put("/dev/kmsg", kernel_said(worker))


def kernel_said(pid: int) -> str:
    """As Linux 6 says it, between other lines."""
    now = int(time.monotonic() * 1e6)
    return (
        f"6,900,{now - 9},-;php invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
        f" SUBSYSTEM=memory\n"
        f"3,901,{now},-;Memory cgroup out of memory: Killed process {pid} (php) total-vm:9kB, anon-rss:5kB, UID:33\n"
    )


def mounted(it: Installation, options: str) -> Path:
    logs = it.root / "logs"
    logs.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=1777", "tmpfs", str(logs)])
    if done.returncode:
        pytest.skip("no mounts here")
    it.stack.callback(subprocess.run, ["umount", "-l", str(logs)], check=True)
    (logs / "w.log").touch()
    it.program(stdout_logfile=str(logs / "w.log"))
    return logs


def on_a_full_disk(it: Installation) -> None:
    (mounted(it, "size=4m") / "filling").write_bytes(bytes(3_900_000))


def without_inodes(it: Installation) -> None:
    logs = mounted(it, "size=4m,nr_inodes=200")
    for number in range(1000):
        try:
            (logs / str(number)).touch()
        except OSError:
            return
    raise AssertionError("it has no end")


def emptied(it: Installation) -> None:
    for file in (it.root / "logs").iterdir():
        if file.name != "w.log":
            file.unlink()


def with_a_huge_log_of_laravel(it: Installation) -> None:
    log = it.root / "app/storage/logs/laravel.log"
    log.touch()
    os.truncate(log, 3 << 30)  # a hole: it takes no room
    it.own()


def with_a_huge_log_of_its_own(it: Installation) -> None:
    log = it.root / "w.log"
    log.touch()
    os.truncate(log, 3 << 30)
    if os.geteuid() == 0:
        subprocess.run(["chown", it.user, str(log)], check=True)
    it.program(stdout_logfile=str(log), stdout_logfile_maxbytes=0)


def rotated(it: Installation) -> None:
    it.put("/etc/logrotate.d/laravel", f"{it.root}/app/storage/logs/*.log {{\n  daily\n}}\n")


def with_a_file_as_its_run_directory(it: Installation) -> None:
    (it.root / "file").touch()
    it.qp.environment["QUEUEPOOL_RUNTIME_DIR"] = str(it.root / "file/run")


def gone(path: str) -> Callable[[Installation], None]:
    def remove(it: Installation) -> None:
        (it.machine / path).unlink()

    return remove


BREAKS = [
    Break("host.memory", more_workers_than_memory, r"w: \d+ x 134 MB \(its --memory", "warning", mended=fewer),
    Break("host.memory", with_less_memory_than_its_workers_need, r"w: 1 x .* \(measured\)", "warning", name="group",
          inside=running),
    Break("host.memory_now", hardly_any_memory, "MemAvailable is 2% of MemTotal\nthere is no swap", "warning",
          mended=gone("proc/meminfo")),
    Break("host.memory_now", with_all_its_memory_used, "queuepool.service: 1.1 GB of 1.1 GB", "warning", name="group",
          inside=running),
    Break("host.oom", killed_by_the_kernel, r"w:0 \(pid \d+\) .*Memory cgroup out of memory: Killed", inside=running),
    Break("host.log_size", with_a_huge_log_of_laravel, "laravel.log: 3.2 GB", "warning", mended=rotated),
    Break("host.log_size", with_a_huge_log_of_its_own, "maxbytes is 0", "warning", name="own"),
    Break("host.nofile", with_few_descriptors, r"RLIMIT_NOFILE is 60, \d+ are open", "warning", mended=with_more,
          inside=running),
    Break("host.nproc", with_a_limit_of_its_user, "rlimits: of w: 2\n.*the file asks for 3", "warning",
          mended=lambda it: it.program(rlimits=None)),
    Break("host.nproc", with_as_many_tasks_as_it_may_have, r"queuepool.service/pids.max: 20", "warning", name="group",
          inside=running),
    Break("host.nproc", on_a_machine_with_few_pids, "pid_max: 10", "warning", name="machine"),
    Break("host.tmp", with_a_file_as_its_run_directory, "/file is not a directory"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_machine_that_lacks_something_is_found(broken: Break) -> None:
    broken.prove()


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    "broken",
    [
        Break("host.disk", on_a_full_disk, "it holds logs", "warning", mended=emptied),
        Break("host.inodes", without_inodes, "0 of 200 inodes free", mended=emptied),
    ],
    ids=str,
)
def test_a_disk_without_room_is_found(broken: Break) -> None:
    broken.prove()


def test_what_the_kernel_killed_of_others_is_no_finding() -> None:
    with running() as it:
        it.put("/dev/kmsg", kernel_said(os.getpid()) + kernel_said(next(iter(it.qp.pids("w").values()))))
        assert it.look()["findings"] == []
