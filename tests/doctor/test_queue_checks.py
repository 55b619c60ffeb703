"""What the checks of Redis, queues, time limits and Horizon say of facts that no test can bring about in little time,
and what they leave unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from queuepool.doctor.checks import horizon, queues, redis, timing
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.facts.horizon import HorizonFacts
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.facts.queues import FailedJobs, Job, QueueFacts, QueuesFacts, StoredQueue, StoreFacts
from queuepool.doctor.facts.redis import ServerFacts
from queuepool.doctor.finding import Finding, Severity
from queuepool.doctor.report import report
from queuepool.domain.horizon import HorizonView, Master, Trouble
from queuepool.domain.queues import QueueName, QueueView, RedisHealth
from queuepool.laravel.config import APPLICATION, DOTENV, AppConfig, QueueConnection
from queuepool.laravel.health import judge

APP = "/srv/app"
CHECKS = (*redis.CHECKS, *queues.CHECKS, *timing.CHECKS, *horizon.CHECKS)
CONFIG = AppConfig(
    laravel="12.60.0", php="8.4.1", extensions=frozenset(), base_path=APP, storage_path=f"{APP}/storage",
    environment="production", default_connection="redis", redis={}, redis_client="phpredis", horizon=True,
    connections={"redis": QueueConnection("redis", "default", 90), "database": QueueConnection("database", "d", 90)},
    source=APPLICATION, environment_file=f"{APP}/.env",
)  # fmt: skip
WORKER = ProgramFacts("w", "worker", 4, ("php", "artisan", "queue:work"), APP, app=APP, source="queuepool.yml:5",
                      stop_follows=True)  # fmt: skip
VIEW = QueueView("redis", "default", "redis", ready=0, delayed=0, due=0, reserved=0, expired=0, app=APP)
QUEUE = QueueFacts(VIEW, ("w",))
WELL = ServerFacts(RedisHealth("127.0.0.1:6379", version="7.0.15"), uses=("queue redis",), programs=("w",))
HORIZON = HorizonFacts(APP, ("h",), ("w",), HorizonView(), environment={"h": "production"}, laravel="12.60.0",
                       supervisors={"h": ()})  # fmt: skip


def found(
    *, daemon: bool = True, program: ProgramFacts = WORKER, config: AppConfig = CONFIG, failure: str = "", **seen: Any
) -> dict[str, Finding]:
    """The findings by id. seen: fields of QueuesFacts."""
    application = ApplicationFacts(APP, APP, ("php",), None, ("w", "h"), config, failure)
    facts = Facts(
        1e9, 0, FileFacts("queuepool.yml"), (program,), (application,), queues=QueuesFacts(daemon=daemon, **seen)
    )
    return {finding.id: finding for finding in report(facts, CHECKS).findings}


def with_queue(**view: Any) -> dict[str, Finding]:
    return found(queues=(replace(QUEUE, view=replace(VIEW, **view)),))


def with_redis(**server: Any) -> dict[str, Finding]:
    return found(servers=(replace(WELL, **server),))


def judged(**info: str) -> RedisHealth:
    return judge("127.0.0.1:6379", {"redis_version": "7.0.15", **info}, {}, latency=0.0001, clock_skew=0.0)


def test_of_facts_in_order_nothing_is_said() -> None:
    assert found(queues=(QUEUE,), servers=(WELL,)) == {}
    assert found() == {}


def test_an_old_redis_is_said() -> None:
    assert with_redis(health=judged(redis_version="3.2.12"))["redis.version"].what == "is Redis 3.2.12"
    assert with_redis(health=judged(redis_version="unknown")) == {}


def test_a_clock_that_is_wrong_is_said() -> None:
    health = judge("127.0.0.1:6379", {}, {}, latency=0.0001, clock_skew=-7.0)
    [text] = with_redis(health=health)["redis.clock"].evidence
    assert text == "TIME differs from ours by -7.0 s"


def test_few_connections_left_are_one_finding_though_some_were_turned_away() -> None:
    health = judged(connected_clients="95", maxclients="100", rejected_connections="4")
    assert list(with_redis(health=health, needs=200)) == ["redis.clients"]
    full = RedisHealth("127.0.0.1:6379", "redis at 127.0.0.1:6379 has no connection left (maxclients)")
    seen = with_redis(health=full, code="ERR max number of clients")
    assert [(one.id, one.severity) for one in seen.values()] == [("redis.clients", Severity.ERROR)]


def test_a_server_that_only_env_names_counts_when_the_application_blames_it() -> None:
    guess = replace(CONFIG, source=DOTENV)
    away = replace(WELL, health=RedisHealth("127.0.0.1:6379", "redis at 127.0.0.1:6379 refuses connections"),
                   guessed=True)  # fmt: skip
    assert found(config=guess, failure="cannot boot: no vendor/", servers=(away,)) == {}
    blamed = found(config=guess, failure="cannot boot: Connection refused [tcp://...]", servers=(away,))
    assert list(blamed) == ["redis.answers"]


def test_a_machine_that_is_busy_is_no_slow_server() -> None:
    assert with_redis(pings=(0.0002,) + (0.5,) * 14) == {}
    assert list(with_redis(pings=(0.02,) * 15)) == ["redis.latency"]


def test_a_paused_queue_says_so_and_not_that_nobody_works() -> None:
    seen = with_queue(paused=True, ready=3, workers=2, busy=0, oldest=900.0)
    assert list(seen) == ["queues.paused"]
    assert seen["queues.paused"].remedy == "cd /srv/app && php artisan queue:resume redis:default"


@pytest.mark.parametrize(
    ("view", "ids"),
    [
        ({"ready": 5, "workers": 2, "busy": 0, "oldest": 4.0}, []),  # a worker sleeps for 3 s
        ({"ready": 5, "workers": 2, "busy": 0, "oldest": 30.0}, ["queues.stuck"]),
        ({"ready": 5, "workers": 2, "busy": 1, "oldest": 700.0}, ["queues.oldest"]),
        ({"ready": 5, "workers": 0, "busy": 0, "oldest": 0.0}, ["queues.stuck"]),
        ({"ready": 5, "workers": 0, "busy": 0, "reserved": 1, "oldest": 0.0}, []),  # another host works
        ({"ready": 2, "expired": 1, "reserved": 1, "due": 1, "workers": 0}, ["queues.stuck"]),
        ({"expired": 1, "reserved": 1, "due": 1, "delayed": 1, "workers": 0}, ["queues.expired"]),
        ({"due": 1, "delayed": 2, "workers": 0}, ["queues.delayed_due"]),
        ({"delayed": 2, "workers": 0}, []),
        ({"expired": 1, "reserved": 1, "workers": 2, "busy": 2}, []),  # the next free one takes it
        ({"ready": 500, "workers": 2, "busy": 2, "rate_in": 3.0, "rate_done": 0.5}, ["queues.growing"]),
        ({"ready": 500, "workers": 2, "busy": 2, "rate_in": 3.0, "rate_done": 2.0}, []),  # done in four minutes
        ({"ready": 500, "workers": 2, "busy": 1, "rate_in": 3.0, "rate_done": 0.5}, []),  # one is free
        ({"ready": 500, "workers": 2, "busy": 2, "rate_in": 0.1, "rate_done": 0.5}, []),  # it shrinks
    ],
)  # fmt: skip
def test_a_queue_is_said_once_and_only_when_jobs_do_wait(view: Mapping[str, Any], ids: list[str]) -> None:
    assert list(with_queue(**view)) == ids


def test_jobs_that_mean_to_be_tried_often_are_no_poison() -> None:
    def with_job(**job: Any) -> list[str]:
        return list(found(queues=(replace(QUEUE, jobs=(Job("delayed", "App\\Jobs\\X", attempts=50, **job),)),)))

    assert with_job() == ["queues.poison"]
    assert with_job(retry_until=2e9) == []


def test_jobs_under_another_prefix_are_ours_only_by_their_class() -> None:
    def under(fits: bool | None, worked: bool = False) -> list[str]:
        job = Job("ready", "App\\Jobs\\X", fits=fits)
        one = StoredQueue("127.0.0.1:6379", 0, "old_", "default", app=APP, programs=("w",), ready=3, worked=worked,
                          job=job)  # fmt: skip
        return list(found(queues=(QUEUE,), stored=(one,)))

    assert under(True) == ["redis.other_prefix"]
    assert under(False) == under(None) == under(True, worked=True) == []


def test_a_queue_of_another_program_of_the_file_is_served() -> None:
    one = StoredQueue("127.0.0.1:6379", 0, "app_", "mail", "redis", APP, ("w",), ready=3)
    assert list(found(stored=(one,))) == ["queues.unserved"]
    assert found(stored=(one,), served=frozenset({QueueName("redis", "mail", APP)})) == {}
    assert found(stored=(replace(one, worked=True),)) == {}


@pytest.mark.parametrize(
    ("driver", "version", "said"),
    [
        ("sqlite", "3.40.1", True), ("mysql", "5.7.44", True), ("mysql", "8.0.36", False),
        ("mysql", "5.5.5-10.5.23-MariaDB", True), ("mysql", "5.5.5-10.11.6-MariaDB-log", False),
        ("pgsql", "16.2", False), ("pgsql", "9.4.26", True), ("sqlsrv", "16.0", False), ("mysql", "", False),
    ],
)  # fmt: skip
def test_databases_that_hand_jobs_out_one_at_a_time_are_said(driver: str, version: str, said: bool) -> None:
    program = replace(WORKER, connection="database", numprocs=8)
    store = StoreFacts(APP, ("w",), databases={"database": (driver, version)})
    assert ("queues.database_locks" in found(program=program, stores=(store,))) is said
    assert found(program=replace(program, numprocs=5), stores=(store,)) == {}


def test_failed_jobs_are_told_with_the_newest() -> None:
    jobs = FailedJobs("database-uuids", day=3, hour=1, newest="App\\Jobs\\X", queue="redis:mail", at=1e9 - 300,
                      exception="RuntimeException: no")  # fmt: skip
    finding = found(stores=(StoreFacts(APP, ("w",), jobs),))["queues.failed"]
    assert finding.severity is Severity.INFO
    assert finding.evidence == ("the newest: App\\Jobs\\X in redis:mail, 5 min ago", "RuntimeException: no")
    assert found(stores=(StoreFacts(APP, ("w",), replace(jobs, day=0, hour=0)),)) == {}


def test_a_job_that_is_reserved_for_its_own_timeout_never_runs_twice() -> None:
    long = replace(WORKER, options={"timeout": "300"})
    assert list(found(program=long)) == ["timing.timeout"]
    assert found(program=long, stores=(StoreFacts(APP, ("w",), elastic=frozenset({"redis"})),)) == {}


@pytest.mark.parametrize("text", ["nan", "inf", "soon", "-1e999"])
def test_a_timeout_that_is_no_number_is_another_checks_matter(text: str) -> None:
    assert found(program=replace(WORKER, options={"timeout": text})) == {}


def test_what_reading_the_file_said_of_the_stop_is_not_said_again() -> None:
    program = replace(WORKER, stop_seconds=10.0, stop_follows=False)
    assert list(found(program=program)) == ["timing.stop"]
    application = ApplicationFacts(APP, APP, ("php",), None, ("w",), CONFIG)
    problem = "queuepool.yml:7: programs.w.stopwaitsecs: is less than the timeout of 60 s"
    facts = Facts(1e9, 0, FileFacts("queuepool.yml", problems=(problem,)), (program,), (application,))
    assert report(facts, CHECKS).findings == ()


def test_a_horizon_too_old_for_its_laravel_is_said() -> None:
    store = StoreFacts(APP, ("w", "h"), horizon_lacks=("stop-when-empty-for",))
    old = replace(HORIZON, version="5.46.0", environments=("production",), programs=())
    finding = found(stores=(store,), horizons=(old,))["horizon.version"]
    assert finding.what == "Horizon 5.46.0 does not work with Laravel 12.60.0: its workers end at once"


def test_a_horizon_that_runs_and_does_not_show_itself_is_said() -> None:
    missing = Trouble("missing", "h runs since 40 s, and Redis shows no master of it", ("h",))
    seen = found(horizons=(replace(HORIZON, troubles=(missing,), programs=("h",), supervisors={"h": (_one(),)}),))
    assert [(one.id, one.severity) for one in seen.values()] == [("horizon.inactive", Severity.ERROR)]
    assert seen["horizon.inactive"].remedy == "queuepool restart h; queuepool logs h"


def test_a_dead_master_beside_a_live_one_is_old_news() -> None:
    live, gone = Master("web1-Ab3d", 7, "running", 1.0, "production"), Master("web1-Old1", 6, age=130.0)
    trouble = Trouble("dead", "Horizon's master web1-Old1 is dead and still in Redis: its last beat was 2 min ago")
    seen = replace(HORIZON, view=HorizonView((live, gone)), troubles=(trouble,), supervisors={"h": (_one(),)})
    assert found(horizons=(seen,)) == {}


def test_metrics_that_were_never_taken_are_told_of_a_horizon_that_runs_for_long() -> None:
    live = HorizonView((Master("web1-Ab3d", 7, "running", 1.0, "production"),))
    young = replace(HORIZON, view=live, supervisors={"h": (_one(),)}, running=600.0)
    assert found(horizons=(young,)) == {}
    [finding] = found(horizons=(replace(young, running=7200.0),)).values()
    assert (finding.id, finding.severity) == ("horizon.snapshot", Severity.INFO)
    assert finding.what.endswith("has never run")


def _one() -> Any:
    from queuepool.laravel.config import HorizonSupervisor

    return HorizonSupervisor("one", "redis", ("mail",))
