"""The file that `init` writes, as text and for real applications."""

import os
import pwd
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis.strategies import booleans, builds, from_regex, integers, lists, none, sampled_from, text

from queuepool.cli.init import init, look, queues_in_redis
from queuepool.config.load import load
from queuepool.config.starter import Facts, by_urgency, starter
from queuepool.domain.pool import Loaded
from queuepool.errors import QueuepoolError
from queuepool.laravel.target import RedisTarget
from tests.support.horizon import add_horizon, needs_horizon
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer


def loaded(directory: Path, content: str) -> Loaded:
    """The file as the daemon reads it, for an application that is just an artisan."""
    (directory / "artisan").touch()
    file = directory / "queuepool.yml"
    file.write_text(content)
    return load(str(file), {})


QUEUE = from_regex(r"[^\s,\x00-\x1f\x7f]{1,20}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(
    facts=builds(
        Facts,
        laravel=none() | sampled_from(["8.83.26", "v12.1.0", "6.20.0", "13.x-dev", "nonsense"]),
        connection=none() | sampled_from(["redis", "redis-long", "yes", "a:b", "#x"]),
        queues=lists(QUEUE, max_size=12).map(tuple),
        retry_after=none() | integers(0, 4000),
        block_for=none() | integers(0, 60),
        horizon=booleans(),
        scheduled=booleans(),
        cron=none() | sampled_from(["/etc/cron.d/app", "/etc/a\nb"]),
        clear_env=booleans(),
        unfit_user=none() | sampled_from(["www-data"]),
        notes=lists(text(max_size=200), max_size=2).map(tuple),
    )
)
def test_whatever_is_found_the_file_loads_and_serves_the_queues(facts: Facts, tmp_path_factory: object) -> None:
    directory = tmp_path_factory.mktemp("app")  # type: ignore[attr-defined]
    found = loaded(directory, starter(facts))
    assert [problem for problem in found.problems if ": error" in problem] == []
    if facts.horizon:
        assert "laravel-worker" not in found.pools
        assert found.pools["horizon"].kind == "horizon"
    else:
        pool = found.pools["laravel-worker"]
        assert pool.connection == facts.connection
        if 0 < len(set(facts.queues)) <= 8:
            assert pool.queues == by_urgency(facts.queues)
    assert ("scheduler" in found.pools) == (facts.scheduled and not facts.cron and facts.laravel != "6.20.0")


@given(retry_after=integers(2, 4000), block_for=integers(0, 60))
def test_a_job_can_neither_run_twice_nor_be_cut_off(retry_after: int, block_for: int) -> None:
    lines = starter(Facts(retry_after=retry_after, block_for=block_for)).splitlines()
    values = {k.strip(): v.split("#")[0].strip() for k, _, v in (line.partition(":") for line in lines)}
    assert 1 <= int(values["timeout"]) < retry_after
    if block_for:
        assert int(values["stopwaitsecs"]) > int(values["timeout"]) + block_for


def test_the_text_reads_as_if_written_by_hand() -> None:
    content = starter(
        Facts(laravel="12.4.1", php=("php8.3",), user="www-data", connection="redis", retry_after=90, block_for=5,
              queues=("mail", "default", "high"), scheduled=True)
    )  # fmt: skip
    values = [line.partition("#")[0].rstrip() for line in content.splitlines()]
    assert [line for line in values if line] == [
        "app: .",
        "php: php8.3",
        "user: www-data",
        "programs:",
        "  laravel-worker:",
        "    connection: redis",
        "    queue: [high, default, mail]",
        "    numprocs: 4",
        "    tries: 3",
        "    timeout: 60",
        "    sleep: 1",
        "    max_time: 1h",
        "    stopwaitsecs: 81",
        "  scheduler:",
        "    type: command",
        "    command: php8.3 artisan schedule:work",
    ]
    assert max(len(line) for line in content.splitlines()) <= 120


def test_queues_are_put_in_the_order_that_their_names_suggest() -> None:
    names = ["low", "default", "mail", "high", "emails-urgent", "bulk_import", "default"]
    assert by_urgency(names) == ("emails-urgent", "high", "default", "mail", "bulk_import", "low")


def run_init(*args: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `queuepool init`."""
    result = CliRunner().invoke(init, args, obj=None)
    if isinstance(result.exception, QueuepoolError):
        return int(result.exception.exit_code), result.stdout, f"{result.exception.message}\n{result.exception.hint}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.php
def test_init_finds_out_all_about_an_application(laravel_app: LaravelApp, redis_server: RedisServer) -> None:
    laravel_app.dispatch("Quick", 1, queue="high")
    laravel_app.dispatch("Quick", 1, queue="reports", delay=60)
    redis_server.client.rpush("another_app_queues:foreign", "x")
    (laravel_app.root / "queuepool.yml").unlink()
    code, out, _ = run_init(str(laravel_app.root))
    assert code == 0

    found = load(str(laravel_app.root / "queuepool.yml"), {})
    assert found.problems == ()
    worker = found.pools["laravel-worker"]
    assert (worker.connection, worker.queues, worker.numprocs) == ("redis", ("high", "default", "reports"), 4)
    assert found.pools["scheduler"].process(0).launch.argv == (*PHP, "artisan", "schedule:work")
    assert "asked the application itself" in out
    assert "high, default, reports on redis" in out
    assert out.splitlines()[-1] == f"next: queuepool -c {laravel_app.root}/queuepool.yml up"


@needs_horizon
@pytest.mark.php
def test_init_finds_horizon(laravel_app: LaravelApp) -> None:
    add_horizon(laravel_app)
    (laravel_app.root / "queuepool.yml").unlink()
    code, out, _ = run_init(str(laravel_app.root))
    assert code == 0
    assert "asked the application itself" in out
    found = load(str(laravel_app.root / "queuepool.yml"), {})
    assert found.problems == ()
    assert list(found.pools) == ["horizon", "scheduler"], "Horizon starts the workers; so no laravel-worker"
    horizon = found.pools["horizon"]
    assert (horizon.kind, horizon.numprocs) == ("horizon", 1)
    assert horizon.process(0).launch.argv == (*PHP, "artisan", "horizon")


@pytest.mark.php
def test_init_never_overwrites_but_prints(laravel_app: LaravelApp) -> None:
    file = laravel_app.root / "queuepool.yml"
    file.write_text("mine")
    code, _, err = run_init(str(laravel_app.root))
    assert code == 2
    assert err.startswith(f"cannot write {file}: it is there already")
    code, out, err = run_init(str(laravel_app.root), "--print")
    assert code == 0
    assert file.read_text() == "mine"
    assert out.endswith(f"command: {shlex.join(PHP)} artisan schedule:work\n")
    assert "application" in err


def test_init_wants_an_application(tmp_path: Path) -> None:
    code, _, err = run_init(str(tmp_path))
    assert code == 2
    assert err.startswith(f"cannot find a Laravel application in {tmp_path}: there is no artisan")


@pytest.mark.php
def test_an_application_that_does_not_boot_gets_a_file_from_its_env(laravel_app: LaravelApp) -> None:
    laravel_app.set_env(REDIS_QUEUE="work")
    (laravel_app.root / "config/app.php").write_text("<?php throw new Exception('broken');")
    findings = look(laravel_app.root, laravel_app.root, os.environ)
    assert "broken (config/app.php:1)" in dict(findings.said)["application"]
    content = starter(findings.facts)
    assert "So this file rests on .env alone" in " ".join(content.replace("\n#", "").split())
    assert loaded(laravel_app.root, content).pools["laravel-worker"].queues == ("work",)


@pytest.mark.php
def test_a_queue_that_works_inside_the_request_is_said_and_redis_proposed(laravel_app: LaravelApp) -> None:
    laravel_app.set_env(QUEUE_CONNECTION="sync")
    facts = look(laravel_app.root, laravel_app.root, os.environ).facts
    assert facts.connection == "redis"
    assert facts.notes[0].startswith("QUEUE_CONNECTION is sync: jobs run inside the web request")


@pytest.mark.php
def test_an_application_configured_by_its_environment_keeps_it(
    laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    (laravel_app.root / ".env").unlink()
    environment = {"PATH": os.environ["PATH"], "APP_KEY": "base64:" + "a" * 43 + "=", "REDIS_QUEUE": "from-outside",
                   "REDIS_PORT": str(redis_server.port)}  # fmt: skip
    facts = look(laravel_app.root, laravel_app.root, environment).facts
    assert facts.queues == ("from-outside",)
    assert "clear_env: false" in starter(facts)


@pytest.mark.php
def test_a_scheduler_that_cron_runs_is_left_to_cron(
    laravel_app: LaravelApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text(
        f"# * * * * * cd {laravel_app.root} && php artisan schedule:run\n"
        "* * * * * php /srv/another/artisan schedule:run\n"
    )
    monkeypatch.setattr("queuepool.cli.init.CRONTABS", (str(crontab),))
    assert look(laravel_app.root, laravel_app.root, os.environ).facts.cron is None
    with crontab.open("a") as file:
        file.write(f"* * * * * cd {laravel_app.root} && php artisan schedule:run >> /dev/null 2>&1\n")
    facts = look(laravel_app.root, laravel_app.root, os.environ).facts
    assert facts.cron == str(crontab)
    assert "scheduler" not in loaded(laravel_app.root, starter(facts)).pools


@pytest.mark.php
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files to another user")
def test_the_owner_of_storage_is_the_user_of_the_workers(laravel_app: LaravelApp) -> None:
    facts = look(laravel_app.root, laravel_app.root, os.environ).facts
    assert (facts.user, facts.unfit_user) == (None, "www-data")
    storage = laravel_app.root / "storage"
    storage.chmod(0o777)
    assert look(laravel_app.root, laravel_app.root, os.environ).facts.user == "www-data"
    nobody = pwd.getpwnam("nobody")
    os.chown(storage, nobody.pw_uid, nobody.pw_gid)
    assert look(laravel_app.root, laravel_app.root, os.environ).facts.user == "nobody"


def test_a_redis_that_does_not_answer_stops_nothing(redis_server: RedisServer) -> None:
    target = RedisTarget(port=redis_server.port, prefix="a[b]*")
    redis_server.client.rpush("a[b]*queues:one", "x")
    redis_server.client.zadd("a[b]*queues:one:delayed", {"x": 1})
    redis_server.client.rpush("a[b]*queues:two words", "x")
    redis_server.client.rpush("abXqueues:other", "x")
    assert queues_in_redis(target) == ("one",)
    redis_server.freeze()
    assert queues_in_redis(target, seconds=0.1) is None
    redis_server.kill()
    assert queues_in_redis(target) is None
