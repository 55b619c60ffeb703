"""What is said about a Horizon, from what Redis shows of it and what queuepool runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.horizon import (
    MARGIN,
    Beside,
    HorizonMaster,
    HorizonSupervisor,
    HorizonView,
    Options,
    graceful_seconds,
    host_slug,
    judge,
    paused_pids,
)
from queuepool.domain.queues import QueueName

MASTER = HorizonMaster("web1-Ab3d", 7, "running", 0.4, "production", ("web1-Ab3d:one",))
ONE = HorizonSupervisor(
    "web1-Ab3d:one", "web1-Ab3d", 8, "running", 0.4, "redis", ("high", "default"), (("high", 1), ("default", 2)),
    Options("auto", "time", 1, 4, 60),
)  # fmt: skip
VIEW = HorizonView((MASTER,), (ONE,))
HORIZON = Beside("horizon", "horizon", pids=frozenset({7, 8, 9}), running=100.0)
DEFAULT = frozenset({QueueName("redis", "default")})
FOREIGN = HorizonMaster("web1-Xy9z", 70, "running", 1.0)


def said(view: HorizonView = VIEW, *programs: Beside, living: set[int] | None = None) -> list[str]:
    living = {7, 70} if living is None else living
    return list(judge(view, programs or (HORIZON,), host="Web1", living=living))


def masters(*found: HorizonMaster) -> HorizonView:
    return HorizonView(found, (ONE,))


def test_of_a_horizon_that_works_nothing_is_said() -> None:
    assert said() == []
    assert said(HorizonView(), replace(HORIZON, running=None)) == [], "it does not run, and status says why"
    assert said(HorizonView(), replace(HORIZON, running=3.0)) == [], "it boots"
    assert said(masters(MASTER, HorizonMaster("web2-Cc3d", 7, "running", 0.4))) == [], "each host has its own"
    assert said(VIEW, HORIZON, Beside("w", "worker", frozenset({QueueName("redis", "mail")}), running=5.0)) == []
    assert said(VIEW, HORIZON, Beside("w", "worker", frozenset({QueueName("sqs", "default")}), running=5.0)) == []
    assert said(VIEW, HORIZON, Beside("w", "worker", DEFAULT)) == [], "the pool is stopped"


@pytest.mark.parametrize(
    ("view", "programs", "sentence"),
    [
        (
            masters(replace(MASTER, status="paused")),
            (HORIZON,),
            "Horizon is paused on web1, it takes no jobs; `queuepool continue horizon` lets it work",
        ),
        (
            masters(MASTER, HorizonMaster("web2-Cc3d", 3, "paused", 1.0)),
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
            masters(MASTER, HorizonMaster("web1-Old1", 6, "running", 9.0)),
            (HORIZON,),
            "Horizon's master web1-Old1 is dead, there is no process 6; Redis still announces it, for 15 s at most",
        ),
        (
            masters(MASTER, HorizonMaster("web2-Old1", age=130.0)),
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
    assert said(masters(MASTER, HorizonMaster("web1-Old1", age=86_400.0))) == []


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


DEFAULTS = {"one": {"timeout": 60, "maxProcesses": 1}, "two": {"timeout": "120"}}


@pytest.mark.parametrize(
    ("config", "environment", "seconds"),
    [
        ({"defaults": DEFAULTS, "environments": {"production": {}}}, "production", 120 + MARGIN),
        ({"defaults": DEFAULTS, "environments": {"production": {"two": {"timeout": 30}}}}, "production", 60 + MARGIN),
        ({"defaults": {}, "environments": {"production": {"x": {}}}}, "production", 60 + MARGIN),
        ({"defaults": {}, "environments": {"pro*": {"x": {"timeout": 5}}, "*": {"x": {}}}}, "prod", 5 + MARGIN),
        ({"defaults": {}, "environments": {"a": {"x": {"timeout": 5}}, "b": {"x": {"timeout": 9}}}}, "b", 9 + MARGIN),
        ({"defaults": {}, "environments": {"a": {"x": {"timeout": 5}}, "b": {"x": {"timeout": 9}}}}, None, 9 + MARGIN),
        ({"environments": {"a": {"x": {"timeout": 5}, "y": {"timeout": 9, "processes": 0}}}}, "a", 5 + MARGIN),
        ({"environments": {"a": {"x": {"timeout": 0}}}}, "a", 3600),
        ({"environments": {"a": {"x": {"timeout": 7200}}}, "fast_termination": True}, "a", 7200 + MARGIN),
        ({"environments": {"a": {}}}, "b", 60 + MARGIN),
        ({"environments": [], "defaults": [], "fast_termination": True}, "a", 60 + MARGIN),
        (None, None, 60 + MARGIN),
    ],
)
def test_the_time_to_end_is_that_of_the_longest_job(config: object, environment: str | None, seconds: float) -> None:
    assert graceful_seconds(config, environment) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["defaults", "environments", "one", "*", "timeout", "maxProcesses"]) | st.text(max_size=3),
            inner,
        )
    ),
    max_leaves=12,
)


@given(config=JSON, environment=st.none() | st.text(max_size=5))
def test_any_configuration_gives_some_time(config: Any, environment: str | None) -> None:
    assert graceful_seconds(config, environment) >= MARGIN


AGES = st.none() | st.floats(0, 1000)
STATUS = st.sampled_from(["running", "paused", ""])
NAMES = st.text(max_size=8)
PIDS = st.none() | st.integers(1, 5)
VIEWS = st.builds(
    HorizonView,
    st.lists(st.builds(HorizonMaster, NAMES, PIDS, STATUS, AGES), max_size=4).map(tuple),
    st.lists(st.builds(HorizonSupervisor, NAMES, NAMES, PIDS, STATUS, AGES), max_size=4).map(tuple),
)
PROGRAMS = st.lists(
    st.builds(
        Beside, NAMES, st.sampled_from(["horizon", "worker", "listen"]), st.just(DEFAULT),
        st.frozensets(st.integers(1, 5)), st.none() | st.floats(0, 1000), st.booleans(),
    ),
    max_size=3,
)  # fmt: skip


@given(view=VIEWS, programs=PROGRAMS, living=st.frozensets(st.integers(1, 5)), host=NAMES)
def test_of_anything_something_can_be_said(
    view: HorizonView, programs: list[Beside], living: frozenset[int], host: str
) -> None:
    assert all(judge(view, programs, host=host, living=living))
