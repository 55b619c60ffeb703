"""Checks of PHP, applications and permissions over facts that no real machine here can be brought to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.php import NEEDED
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.access import AccessFacts, Try, UserFacts
from queuepool.doctor.facts.application import ApplicationFacts, FilesFacts
from queuepool.doctor.facts.php import PhpFacts
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.facts.running import RunningFacts
from queuepool.doctor.finding import Finding, GiveTo, MakeDirectory, Severity
from queuepool.doctor.report import report
from queuepool.domain.observed import DaemonView
from queuepool.laravel.composer import Composer, Needs
from queuepool.laravel.config import AppConfig, CacheStore, PhpRuntime, QueueConnection
from queuepool.laravel.inside import Inside, Table
from queuepool.laravel.target import RedisTarget

EXTENSIONS = frozenset({"pcntl", "posix", "redis", "zend opcache", *NEEDED})
RUNTIME = PhpRuntime("8.2.5", "/usr/bin/php8.2", ini="/etc/php.ini", extensions=EXTENSIONS)
CONFIG = AppConfig(
    laravel="12.0.0", php="8.2.5", extensions=frozenset(), base_path="/a", storage_path="/a/storage",
    environment="production", default_connection="redis",
    connections={"redis": QueueConnection("redis", retry_after=90)},
    redis={"default": RedisTarget()}, redis_client="phpredis", horizon=False, cache=CacheStore("file", "file"),
)  # fmt: skip
PHP = PhpFacts(("php",), runtime=RUNTIME)
APP = ApplicationFacts("/a", "/a", ("php",), "www", ("w",), CONFIG, runtime=PHP)
WORKER = ProgramFacts("w", "worker", 1, ("php", "artisan", "queue:work"), "/a", options={}, stop_seconds=80.0)
FACTS = Facts(0.0, 0, FileFacts("/q.yml"), (WORKER,), (APP,))


def found(facts: Facts) -> dict[str, Finding]:
    return {one.id: one for one in report(facts).findings}


def with_app(**changes: object) -> Facts:
    return replace(FACTS, applications=(replace(APP, **changes),))  # type: ignore[arg-type]


def with_config(**changes: object) -> Facts:
    return with_app(config=replace(CONFIG, **changes))  # type: ignore[arg-type]


def with_php(**changes: object) -> Facts:
    return with_app(runtime=replace(PHP, runtime=replace(RUNTIME, **changes)))  # type: ignore[arg-type]


def test_facts_of_a_sound_application_give_no_finding() -> None:
    assert found(FACTS) == {}


def test_a_php_without_pcntl_is_an_error_for_workers_and_none_for_commands() -> None:
    facts = with_php(extensions=EXTENSIONS - {"pcntl"})
    assert found(facts)["php.pcntl"].severity is Severity.ERROR
    assert "php8.2-cli" in found(facts)["php.pcntl"].remedy
    assert found(replace(facts, programs=(replace(WORKER, kind="command"),))) == {}


def test_xdebug_matters_unless_it_is_off() -> None:
    assert "php.xdebug" in found(with_app(runtime=replace(PHP, xdebug="debug")))
    assert found(with_app(runtime=replace(PHP, xdebug="off"))) == {}


def test_predis_needs_its_package() -> None:
    facts = with_config(redis_client="predis", redis_client_ready=False)
    assert found(facts)["php.redis"].remedy == "cd /a && composer require predis/predis"
    assert found(with_config(redis_client="predis", redis_client_ready=True)) == {}


def test_proc_open_matters_to_what_starts_processes_alone() -> None:
    facts = with_php(disabled=frozenset({"proc_open"}))
    assert found(facts) == {}
    (listen,) = found(replace(facts, programs=(replace(WORKER, kind="listen"),))).values()
    assert (listen.id, "proc_open" in listen.what) == ("php.disabled", True)


@pytest.mark.parametrize(
    ("limit", "given", "says"),
    [
        (128, {}, True), (256, {}, False), (None, {}, False), (256, {"memory": "512"}, True),
        (64, {"memory": "x"}, False),
    ],
)  # fmt: skip
def test_memory_limit_is_to_be_above_memory(limit: int | None, given: dict[str, str], says: bool) -> None:
    facts = with_php(memory_limit=limit and limit << 20)
    assert ("php.memory_limit" in found(replace(facts, programs=(replace(WORKER, options=given),)))) is says


def test_a_php_older_than_its_laravel_needs_no_composer_to_be_found() -> None:
    assert "Laravel 13.1.0 needs PHP 8.3" in found(with_config(laravel="13.1.0"))["php.version"].evidence[1]


def test_an_extension_that_composer_asks_for_is_named_with_who_asks() -> None:
    needs = (Needs("intl", "*", "composer.json"), Needs("redis", "*", "composer.json"), Needs("php", "^8.0", "x"))
    facts = with_app(files=FilesFacts(composer=Composer(True, needs)))
    assert found(facts)["php.extensions"].evidence[1] == "composer.json needs ext-intl"


def test_a_laravel_that_is_too_old_or_unknown() -> None:
    assert "application.laravel_version" in found(with_config(laravel="5.8.38"))
    assert found(with_config(laravel="")) == {}


def test_what_could_not_be_asked_is_said_only_when_nothing_else_explains_it() -> None:
    why = "cannot ask the application in /a: artisan did not end within 20 s; what its .env says is shown instead"
    assert list(found(with_app(failure=why))) == ["application.guessed"]
    gone = with_app(failure="cannot ask the application in /a: there is no artisan", files=FilesFacts(artisan=False))
    assert list(found(gone)) == ["application.artisan"]


def test_a_default_cache_store_that_does_not_exist_is_an_error() -> None:
    assert found(with_config(cache=None))["application.cache_store"].severity is Severity.ERROR


def test_the_table_of_a_database_cache_is_looked_for() -> None:
    table = Table("cache", "database", "mysql", "cache", there=False, why="SQLSTATE[HY000] [2002] Connection refused")
    facts = with_app(inside=Inside(tables=(table,)))
    assert found(facts)["application.cache_store"].evidence == (
        "database connection mysql: SQLSTATE[HY000] [2002] Connection refused",
    )


@pytest.mark.parametrize("default", [None, "null"])
def test_a_default_connection_that_is_nothing_throws_jobs_away(default: str | None) -> None:
    assert list(found(with_config(default_connection=default))) == ["application.queue_connection"]


def test_an_option_is_told_with_the_laravel_that_brings_it() -> None:
    facts = replace(
        with_config(laravel="8.83.0"), programs=(replace(WORKER, argv=(*WORKER.argv, "--max-jobs=1", "--json")),)
    )
    told = found(facts)["application.option"]
    assert ("option json" in told.what, "needs Laravel 11.27" in told.evidence[0]) == (True, True)


def test_root_is_a_matter_of_the_container_where_queuepool_is_its_first_process() -> None:
    access = AccessFacts((UserFacts("root", ("w",), uid=0),))
    assert list(found(replace(FACTS, access=access))) == ["permissions.root"]
    assert found(replace(FACTS, access=replace(access, contained=True))) == {}


def test_another_user_is_an_error_for_a_daemon_without_root_and_a_hint_where_one_runs() -> None:
    facts = replace(FACTS, uid=1000, access=AccessFacts((UserFacts("www", ("w",), refused="cannot run as www"),)))
    assert found(facts)["permissions.switch"].severity is Severity.ERROR
    daemon = DaemonView(pid=1, version="", config="", socket="", state="RUNNING")
    told = found(replace(facts, running=RunningFacts(daemon)))["permissions.switch"]
    assert (told.severity, told.remedy) == (Severity.INFO, "sudo queuepool doctor")


def refused(goal: str, path: str, **more: object) -> Try:
    made = Try(goal, "write", path, "EACCES", "Permission denied", path, "drwxr-xr-x root:root", user="www",
               subject="application /a", programs=("w",))  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_security_module_is_named_where_modes_alone_do_not_explain() -> None:
    facts = replace(with_app(tries=(refused("logs", "/a/storage/logs", allowed=True),)), access=AccessFacts())
    assert list(found(facts)) == ["permissions.logs"]
    told = found(replace(facts, access=AccessFacts(security="SELinux")))
    assert list(told) == ["permissions.logs", "permissions.security"]
    assert "httpd_sys_rw_content_t" in told["permissions.security"].remedy


def test_what_is_missing_is_made_and_nothing_above_it_is_given_away() -> None:
    told = found(with_app(tries=(refused("logs", "/a/storage/logs", where="/a"),)))["permissions.logs"]
    assert told.fix == MakeDirectory("/a/storage/logs", "www")
    assert told.remedy == "mkdir -p /a/storage/logs && chown www: /a/storage/logs"


def test_a_log_in_a_directory_of_the_system_is_made_alone() -> None:
    missing = refused("log", "/var/log/app.log", act="append", where="/var/log")
    told = found(with_app(tries=(missing,)))["permissions.log_file"]
    assert (told.fix, told.remedy) == (None, "install -o www -m 640 /dev/null /var/log/app.log")


def test_what_lies_outside_of_the_application_is_not_given_away_by_itself() -> None:
    told = found(with_app(tries=(refused("sqlite", "/srv/db"),)))["permissions.sqlite"]
    assert (told.fix, told.remedy) == (None, "chown www: /srv/db")


def test_what_two_users_need_is_given_to_neither() -> None:
    closed = with_app(tries=(refused("logs", "/a/storage/logs"),))
    both = replace(closed, applications=(*closed.applications, replace(APP, user="deploy", programs=("v",))))
    told = found(both)["permissions.logs"]
    assert told.fix is None
    assert told.remedy == (
        "put deploy and www into one group, then: chgrp -R GROUP /a/storage/logs && chmod -R g+rwX /a/storage/logs"
    )


def test_a_closed_mode_is_opened_for_its_new_owner() -> None:
    told = found(with_app(tries=(refused("log", "/a/x.log", act="append", shown="-r--r--r-- root:root"),)))
    fix = told["permissions.log_file"].fix
    assert isinstance(fix, GiveTo)
    assert (fix.add_mode, fix.recursive) == (0o200, False)
    assert told["permissions.log_file"].remedy == "chown www: /a/x.log && chmod u+w /a/x.log"


def test_storage_itself_may_be_closed_when_what_is_in_it_is_not() -> None:
    assert found(with_app(tries=(refused("storage", "/a/storage"),))) == {}
    assert list(found(with_app(tries=(refused("storage", "/a/storage/app"),)))) == ["permissions.storage"]


def test_what_is_the_same_for_two_users_of_an_application_is_said_once() -> None:
    gone = replace(APP, files=FilesFacts(there=False, artisan=False))
    both = replace(FACTS, applications=(gone, replace(gone, user="other", programs=("v",))))
    (told,) = report(both).findings
    assert (told.id, told.programs) == ("application.directory", ("w", "v"))


def test_every_check_explains_itself() -> None:
    mine = [check for check in CHECKS if check.group in ("php", "application", "permissions")]
    assert len(mine) >= 50
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    known = {check.id for check in CHECKS}
    for check in mine:
        assert len(check.explanation) > 80, check.id
        assert all(cause.endswith("*") or cause in known for cause in check.unless), check.id
