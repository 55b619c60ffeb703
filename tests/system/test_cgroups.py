from __future__ import annotations

from pathlib import Path

import pytest

from queuepool.system.cgroups import oom_kills

V2 = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"
KERNELS = [
    ("0::/system.slice/queuepool.service\n", {"system.slice/queuepool.service/memory.events": V2}, 2),
    ("0::/\n", {"memory.events": V2}, 2),
    ("0::/docker/1234\n", {"memory.events": V2}, 2),
    ("0::/\n", {}, None),
    ("4:cpu:/\n3:memory:/app\n0::/\n", {"memory/app/memory.oom_control": V1}, 5),
    ("3:memory:/docker/1234\n", {"memory/memory.oom_control": V1}, 5),
    ("3:memory:/app\n", {"memory/app/memory.oom_control": "oom_kill_disable 0\n"}, None),  # before Linux 4.13
    ("nonsense\n", {}, None),
]


@pytest.mark.parametrize(("groups", "files", "count"), KERNELS)
def test_kills_are_read_from_the_group_of_this_process(
    tmp_path: Path, groups: str, files: dict[str, str], count: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert oom_kills(str(tmp_path)) == count


def test_where_there_are_no_groups_nothing_is_told(tmp_path: Path) -> None:
    assert oom_kills(str(tmp_path)) is None
