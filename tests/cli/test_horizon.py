"""The rows of `status` below a Horizon."""

from __future__ import annotations

from dataclasses import replace

import click

from queuepool.cli.horizon import lines
from queuepool.domain.horizon import HorizonView, Master
from tests.domain.test_horizon import MASTER, ONE, VIEW

FIXED = replace(
    ONE, name="web1-Ab3d:fixed", queues=("mail", "slow"), processes=(("mail,slow", 2),),
    options=replace(ONE.options, balance="off", max_processes=2),
)  # fmt: skip


def shown(view: HorizonView, *problems: str, pids: tuple[int, ...] = (7,)) -> list[str]:
    return [click.unstyle(line) for line in lines(view.to_json(problems), pids)]


def test_supervisors_stand_below_their_program_with_their_workers() -> None:
    assert shown(HorizonView((MASTER,), (ONE, FIXED))) == [
        "      fixed  running  mail,slow 2        (redis, at most 2)",
        "      one    running  high 1, default 2  (redis, balance auto, at most 4)",
    ]


def test_problems_follow() -> None:
    assert shown(VIEW, "Horizon is paused")[-1] == "  ! Horizon is paused"


def test_masters_of_other_hosts_have_a_row_of_their_own() -> None:
    other = Master("web2-Xy9z", 3, "paused", 1.0)
    silent = replace(FIXED, name="web2-Xy9z:fixed", master="web2-Xy9z", age=20.0, processes=())
    view = HorizonView((other, MASTER, Master("web3-Dead", 4, "running", 90.0)), (ONE, silent))
    assert shown(view) == [
        "    web1-Ab3d  running  pid 7",
        "      one  running  high 1, default 2  (redis, balance auto, at most 4)",
        "    web2-Xy9z  paused   pid 3",
        "      fixed  silent   no workers  (redis, at most 2)",
    ]


def test_without_a_program_of_our_own_the_master_is_named() -> None:
    assert shown(VIEW, pids=())[0] == "    web1-Ab3d  running  pid 7"
    assert shown(HorizonView()) == []


def test_no_name_in_redis_can_move_the_cursor() -> None:
    bad = replace(ONE, name="web1-Ab3d:\x1b[2J", connection="\x07", processes=(("\x1b]0;x", 1),))
    assert all(line.isprintable() for line in shown(HorizonView((MASTER,), (bad,)), "\x1b[1m"))
