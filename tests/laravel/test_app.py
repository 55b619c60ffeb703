"""What the files of an application tell."""

import json
import os
from pathlib import Path

import pytest

from queuepool.laravel.app import DEBIAN_FRAMEWORK, inspect, release
from tests.support.laravel import EXAMPLE


def write(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.php
def test_the_example_is_known_without_running_it() -> None:
    facts = inspect(str(EXAMPLE))
    assert facts.artisan
    assert facts.scheduler
    assert facts.horizon is None
    assert facts.problems == ()
    if not (EXAMPLE / "vendor").exists() and DEBIAN_FRAMEWORK.exists():
        assert facts.laravel is not None
        assert facts.laravel_from == str(DEBIAN_FRAMEWORK)
        assert int(facts.laravel.split(".")[0]) >= 8


def test_installed_packages_win_over_the_lock_and_both_forms_of_composer_are_read(tmp_path: Path) -> None:
    packages = [{"name": "laravel/framework", "version": "v12.1.0"}, {"name": "laravel/horizon", "version": "v5.30.1"}]
    (tmp_path / "vendor/composer").mkdir(parents=True)
    (tmp_path / "vendor/autoload.php").touch()
    (tmp_path / "composer.lock").write_text(
        json.dumps({"packages": [{"name": "laravel/framework", "version": "v9.0"}]})
    )
    assert inspect(str(tmp_path)).laravel == "9.0"

    for installed in (packages, {"packages": packages}):
        (tmp_path / "vendor/composer/installed.json").write_text(json.dumps(installed))
        facts = inspect(str(tmp_path))
        assert (facts.laravel, facts.laravel_from, facts.horizon) == (
            "12.1.0", "vendor/composer/installed.json", "5.30.1",
        )  # fmt: skip


def test_the_environment_file_is_read_as_the_installed_phpdotenv_does(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('REDIS_HOST=one\nNOTE="never closed\nREDIS_HOST=two\n')
    for version, problems in (("v5.4.1", 0), ("v5.8.0", 1), ("dev-master", 1)):
        packages = [{"name": "vlucas/phpdotenv", "version": version}]
        (tmp_path / "composer.lock").write_text(json.dumps({"packages": packages}))
        assert len(inspect(str(tmp_path)).problems) == problems


def test_horizon_that_is_required_but_not_installed_is_seen(tmp_path: Path) -> None:
    (tmp_path / "composer.json").write_text('{"require": {"laravel/horizon": "^5.0"}}')
    assert inspect(str(tmp_path)).horizon == ""


def test_redis_is_guessed_from_the_environment_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        'APP_NAME="My App"\nQUEUE_CONNECTION=redis\nREDIS_HOST=cache.internal\nREDIS_PORT=6380\n'
        "REDIS_PASSWORD='p#ss word'\nREDIS_DB=3 # the queue\n"
    )
    facts = inspect(str(tmp_path))
    assert facts.queue_connection == "redis"
    redis = facts.redis
    assert redis is not None
    assert (redis.host, redis.port, redis.db, redis.password, redis.prefix) == (
        "cache.internal", 6380, 3, "p#ss word", "my_app_database_",
    )  # fmt: skip
    assert "p#ss" not in repr(facts)

    overruled = inspect(str(tmp_path), {"REDIS_URL": "rediss://u:p%40ss@other:7000/5"}).redis
    assert overruled is not None
    assert (overruled.where, overruled.db, overruled.username, overruled.password, overruled.tls) == (
        "other:7000", 5, "u", "p@ss", True,
    )  # fmt: skip


def test_what_cannot_be_read_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "composer.lock").write_text("{")
    (tmp_path / ".env").write_text("REDIS_PASSWORD=two s3crets")
    (tmp_path / "vendor/composer/installed.json").mkdir(parents=True)
    facts = inspect(str(tmp_path))
    assert len(facts.problems) == 3
    assert "s3crets" not in "".join(facts.problems)
    assert inspect(str(tmp_path / "nothing")).artisan is False


@pytest.mark.parametrize(
    ("file", "code", "scheduled"),
    [
        ("app/Console/Kernel.php", "<?php $schedule->command('x')->daily();", True),
        ("app/Console/Kernel.php", "<?php // $schedule->command('inspire')->hourly();", False),
        ("app/Console/Kernel.php", "<?php /* $schedule\n->command('x'); */", False),
        ("routes/console.php", "<?php Schedule::command('x')->daily();", True),
        ("routes/console.php", "<?php Artisan::command('inspire', f(...))->hourly();", True),
        ("routes/console.php", "<?php Artisan::command('inspire', f(...));", False),
        ("bootstrap/app.php", "<?php ->withSchedule(function () {})", True),
    ],
)
def test_a_schedule_is_found_where_laravel_wants_it(tmp_path: Path, file: str, code: str, scheduled: bool) -> None:
    write(tmp_path, **{file.replace("/", "__").replace(".", "_DOT_"): code})
    assert inspect(str(tmp_path)).scheduler is scheduled


def test_the_release_is_the_real_path_behind_current(tmp_path: Path) -> None:
    (tmp_path / "releases/7").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/7")
    assert release(str(tmp_path / "current")) == os.path.realpath(tmp_path / "releases/7")
    facts = inspect(str(tmp_path / "current"))
    assert (facts.root, facts.release) == (str(tmp_path / "current"), release(str(tmp_path / "current")))
