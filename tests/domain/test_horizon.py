"""What is said about a Horizon, from what Redis shows of it and what queuepool runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.horizon import (
    MARGIN,
    Beside,
    HorizonView,
    Master,
    Options,
    Supervisor,
    graceful_seconds,
    host_slug,
    judge,
    paused_pids,
)
from queuepool.domain.queues import QueueName

MASTER = Master("web1-Ab3d", 7, "running", 0.4, "production", ("web1-Ab3d:one",))
ONE = Supervisor(
    "web1-Ab3d:one", "web1-Ab3d", 8, "running", 0.4, "redis", ("high", "default"), (("high", 1), ("default", 2)),
    Options("auto", "time", 1, 4, 60),
)  # fmt: skip
VIEW = HorizonView((MASTER,), (ONE,))
HORIZON = Beside("horizon", "horizon", pids=frozenset({7, 8, 9}), running=100.0)
DEFAULT = frozenset({QueueName("redis", "default")})
FOREIGN = Master("web1-Xy9z", 70, "running", 1.0)


def said(view: HorizonView = VIEW, *programs: Beside, living: set[int] | None = None) -> list[str]:
    living = {7, 70} if living is None else living
    return [trouble.text for trouble in judge(view, programs or (HORIZON,), host="Web1", living=living)]


def masters(*found: Master) -> HorizonView:
    return HorizonView(found, (ONE,))


def test_of_a_horizon_that_works_nothing_is_said() -> None:
    assert said() == []
    assert said(HorizonView(), replace(HORIZON, running=None)) == [], "it does not run, and status says why"
    assert said(HorizonView(), replace(HORIZON, running=3.0)) == [], "it boots"
    assert said(masters(MASTER, Master("web2-Cc3d", 7, "running", 0.4))) == [], "each host has its own"
    assert said(VIEW, HORIZON, Beside("w", "worker", frozenset({QueueName("redis", "mail")}), running=5.0)) == []
    assert said(VIEW, HORIZON, Beside("w", "worker", frozenset({QueueName("sqs", "default")}), running=5.0)) == []
    assert said(VIEW, HORIZON, Beside("w", "worker", DEFAULT)) == [], "the pool is stopped"
    assert said(masters(MASTER, Master("web1-Dock", 6, "running", 0.9))) == [], "a container of the same name"


@pytest.mark.parametrize(
    ("view", "programs", "sentence"),
    [
        (
            masters(replace(MASTER, status="paused")),
            (HORIZON,),
            "Horizon is paused on web1, it takes no jobs; `queuepool continue horizon` lets it work",
        ),
        (
            masters(MASTER, Master("web2-Cc3d", 3, "paused", 1.0)),
            (HORIZON,),
            "Horizon is paused on web2, it takes no jobs; `php artisan horizon:continue` on web2 lets it work",
        ),
        (
            HorizonView((MASTER,), (replace(ONE, status="paused"),)),
            (HORIZON,),
            "Horizon's supervisor web1-Ab3d:one is paused; `php artisan horizon:continue-supervisor one` lets it work",
        ),
        (
            HorizonView((MASTER,), (replace(ONE, age=21.0),)),
            (HORIZON,),
            "Horizon's supervisor web1-Ab3d:one is silent since 21 s",
        ),
        (
            masters(MASTER, Master("web1-Old1", 6, "running", 9.0)),
            (HORIZON,),
            "Horizon's master web1-Old1 is dead, there is no process 6; Redis still announces it, for 15 s at most",
        ),
        (
            masters(MASTER, Master("web2-Old1", age=130.0)),
            (HORIZON,),
            "Horizon's master web2-Old1 is dead and still in Redis: its last beat was 2 min ago",
        ),
        (
            HorizonView(),
            (replace(HORIZON, running=40.0),),
            "horizon runs since 40 s, and Redis shows no master of it; does it use the Redis database and "
            "horizon.prefix that the application's configuration names?",
        ),
        (
            VIEW,
            (replace(HORIZON, orphans=frozenset({31, 9})),),
            "2 processes of horizon have lost their supervisor and work beside those that replaced them; "
            "`kill -TERM 9 31` lets them finish their job and end",
        ),
        (
            VIEW,
            (HORIZON, Beside("mail", "worker", DEFAULT, running=5.0)),
            "mail works on redis:default, and so does Horizon's supervisor web1-Ab3d:one: neither knows of the other's "
            "workers; leave each queue to one of them",
        ),
        (
            HorizonView((FOREIGN,)),
            (Beside("mail", "worker", DEFAULT, running=5.0),),
            "Horizon's master web1-Xy9z (pid 70) was not started by queuepool: nothing here restarts it",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_once(view: HorizonView, programs: tuple[Beside, ...], sentence: str) -> None:
    assert said(view, *programs) == [sentence]


def test_two_masters_on_one_host_are_said_and_which_one_is_not_ours() -> None:
    assert said(masters(MASTER, FOREIGN)) == [
        "2 masters of Horizon run on web1 (pids 7 and 70), each with all its workers; end the surplus with kill -TERM",
        "Horizon's master web1-Xy9z (pid 70) was not started by queuepool",
    ]


def test_an_application_may_name_its_hosts_itself() -> None:
    """MasterSupervisor::determineNameUsing: the master that is our own process shows what this host is called."""
    ours, other = replace(MASTER, name="blue-Ab3d"), replace(FOREIGN, name="blue-Xy9z")
    assert said(HorizonView((ours,))) == []
    assert said(HorizonView((ours, other)))[0].startswith("2 masters of Horizon run on blue ")
    assert said(HorizonView((other,)), replace(HORIZON, running=1.0)) == [], "it may be on any host"


def test_a_pause_by_queuepool_is_no_problem_but_one_by_artisan_is_marked() -> None:
    paused = HorizonView((replace(MASTER, status="paused"),), (replace(ONE, status="paused"),))
    assert said(paused, replace(HORIZON, paused=True)) == []
    assert paused_pids(paused) == {7}
    assert paused_pids(VIEW) == frozenset()
    assert (VIEW.status, paused.status, HorizonView().status) == ("running", "paused", "inactive")


def test_a_master_that_is_long_dead_is_no_news() -> None:
    assert said(masters(MASTER, Master("web1-Old1", age=86_400.0))) == []


def test_the_numbers_are_of_those_that_live() -> None:
    dead = replace(ONE, name="web9-Zz:one", master="web9-Zz", age=200.0)
    view = HorizonView((MASTER,), (ONE, dead))
    assert view.processes == 3
    assert view.pids_on("web1") == {7}
    shown = view.to_json(("bad",))
    assert (shown["status"], shown["processes"], shown["problems"]) == ("running", 3, ["bad"])
    assert shown["masters"][0] == {
        "name": "web1-Ab3d", "host": "web1", "pid": 7, "status": "running", "alive": True, "age": 0.4,
        "environment": "production", "supervisors": ["web1-Ab3d:one"],
    }  # fmt: skip
    assert shown["supervisors"][0] == {
        "name": "web1-Ab3d:one", "short": "one", "master": "web1-Ab3d", "pid": 8, "status": "running", "alive": True,
        "age": 0.4, "connection": "redis", "queues": ["high", "default"], "processes": {"high": 1, "default": 2},
        "balance": "auto", "strategy": "time", "min_processes": 1, "max_processes": 4, "timeout": 60,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "slug"),
    [("vm", "vm"), ("Web_1", "web-1"), ("web1.example.com", "web1examplecom"), ("-a--b-", "a-b"), ("", "")],
)
def test_a_host_is_called_as_laravel_calls_it(name: str, slug: str) -> None:
    assert host_slug(name) == slug


@pytest.mark.parametrize(
    ("timeouts", "seconds"),
    [((60,), 60 + MARGIN), ((30, 7200), 7200 + MARGIN), ((0, 60), 3600), ((), 60 + MARGIN), ((7200, 0), 3600)],
)
def test_the_time_to_end_is_that_of_the_longest_job(timeouts: tuple[float, ...], seconds: float) -> None:
    assert graceful_seconds(timeouts) == seconds


AGES = st.none() | st.floats(0, 1000)
STATUS = st.sampled_from(["running", "paused", ""])
NAMES = st.text(max_size=8)
PIDS = st.integers(1, 5)
VIEWS = st.builds(
    HorizonView,
    st.lists(st.builds(Master, NAMES, st.none() | PIDS, STATUS, AGES), max_size=4).map(tuple),
    st.lists(st.builds(Supervisor, NAMES, NAMES, st.none() | PIDS, STATUS, AGES), max_size=4).map(tuple),
)
PROGRAMS = st.lists(
    st.builds(
        Beside, NAMES, st.sampled_from(["horizon", "worker", "listen"]), st.just(DEFAULT),
        st.frozensets(PIDS), st.frozensets(PIDS), st.none() | st.floats(0, 1000), st.booleans(),
    ),
    max_size=3,
)  # fmt: skip


@given(view=VIEWS, programs=PROGRAMS, living=st.frozensets(st.integers(1, 5)), host=NAMES)
def test_of_anything_something_can_be_said(
    view: HorizonView, programs: list[Beside], living: frozenset[int], host: str
) -> None:
    assert all(judge(view, programs, host=host, living=living))
