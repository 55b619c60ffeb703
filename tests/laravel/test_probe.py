"""Asking real applications, sound and broken ones, with real PHP."""

import asyncio
import os
import pwd
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from queuepool.errors import QueuepoolError
from queuepool.laravel.probe import AppConfig, config_of, probe
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.php
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def asked(app: LaravelApp, **options: object) -> AppConfig:
    before = os.listdir("/proc/self/fd")
    try:
        return asyncio.run(probe(PHP, str(app.root), environment=ENVIRONMENT, **options))  # type: ignore[arg-type]
    finally:
        assert len(os.listdir("/proc/self/fd")) == len(before)


def refused(app: LaravelApp, **options: object) -> str:
    with pytest.raises(QueuepoolError) as raised:
        asked(app, **options)
    assert raised.value.hint
    return raised.value.message


def test_the_configuration_in_force_is_told(laravel_app: LaravelApp, redis_server: RedisServer) -> None:
    laravel_app.set_env(REDIS_PASSWORD="s3cret", REDIS_QUEUE="work", REDIS_QUEUE_BLOCK_FOR="5")
    config = asked(laravel_app, schedule=True)

    assert int(config.laravel.split(".")[0]) >= 8
    assert {"redis", "pcntl", "posix", "json"} <= config.extensions
    assert config.default_connection == "redis"
    queue = config.connections["redis"]
    assert (queue.driver, queue.queue, queue.retry_after, queue.block_for) == ("redis", "work", 90, 5)
    redis = config.redis_of()
    assert redis is not None
    assert (redis.host, redis.port, redis.prefix, redis.password) == (
        "127.0.0.1", redis_server.port, redis_server.prefix, "s3cret",
    )  # fmt: skip
    assert config.redis["cache"].db == 1
    assert config.redis_of("database") is None
    assert config.storage_path == os.path.realpath(laravel_app.root / "storage")
    assert (config.scheduled, config.horizon, config.down, config.config_cached) == (1, False, False, False)
    assert config.errors == ()
    assert "s3cret" not in repr(config)


def test_the_environment_of_the_workers_wins_and_a_cached_configuration_beats_both(laravel_app: LaravelApp) -> None:
    environment = {**ENVIRONMENT, "REDIS_HOST": "elsewhere"}
    config = asyncio.run(probe(PHP, str(laravel_app.root), environment=environment))
    assert config.redis["default"].host == "elsewhere"

    laravel_app.artisan("config:cache")
    config = asyncio.run(probe(PHP, str(laravel_app.root), environment=environment))
    assert config.redis["default"].host == "127.0.0.1"
    assert config.config_cached


def test_maintenance_mode_and_a_release_behind_a_symlink_are_seen(laravel_app: LaravelApp, tmp_path: Path) -> None:
    laravel_app.artisan("down")
    (tmp_path / "current").symlink_to(laravel_app.root)
    config = asyncio.run(probe(PHP, str(tmp_path / "current"), environment=ENVIRONMENT))
    assert config.down
    assert config.base_path == os.path.realpath(laravel_app.root)


@pytest.mark.parametrize(
    ("file", "broken", "expected"),
    [
        ("config/queue.php", "<?php\n\nreturn [;", "syntax error"),
        ("config/queue.php", "<?php\n\nthrow new Exception(\"no luck\\nand more\");", "no luck (config/queue.php:3)"),
        ("bootstrap/app.php", "<?php\nthrow new Exception('early');", ": Exception: early (bootstrap/app.php:2)"),
        ("app/Console/Kernel.php", "<?php\nnamespace App\\Console;\nclass Kernel extends {", "Console/Kernel.php:3)"),
        ("artisan", "<?php\n$x = ;\n", "syntax error, unexpected token \";\" (artisan:2)"),
        ("config/app.php", "<?php return ['providers' => ['App\\Nope']];", "\"App\\Nope\" not found"),
        ("app/Console/Commands/Reset.php", "<?php namespace App\\Console\\Commands; class Reset extends No {}", "No"),
        (".env", "APP_NAME=s3cret with blanks\n", "The environment file is invalid!"),
        ("artisan", "<?php exit(3);", "(exit code 3)"),
        ("artisan", "no php at all", "no php at all (exit code 0)"),
    ],
)  # fmt: skip
def test_a_broken_application_is_told_in_one_line(
    laravel_app: LaravelApp, file: str, broken: str, expected: str
) -> None:
    (laravel_app.root / file).write_text(broken)
    message = refused(laravel_app)
    assert message.startswith(f"cannot boot the application in {laravel_app.root}: ")
    assert expected in message
    assert "\n" not in message
    assert "s3cret" not in message


def test_what_is_missing_is_named(laravel_app: LaravelApp) -> None:
    assert refused(laravel_app, user="no-such-user") == "cannot run as no-such-user: there is no such user or group"
    with pytest.raises(QueuepoolError, match=r"cannot run /nonexistent/php in .*: No such file or directory"):
        asyncio.run(probe(("/nonexistent/php",), str(laravel_app.root), environment=ENVIRONMENT))
    (laravel_app.root / "artisan").unlink()
    assert refused(laravel_app).endswith("there is no artisan")


def alive(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_application_that_hangs_is_given_up_and_killed_with_its_children(laravel_app: LaravelApp) -> None:
    pids = laravel_app.root / "pids"
    (laravel_app.root / "artisan").write_text(
        f"<?php pcntl_fork(); file_put_contents('{pids}', getmypid().PHP_EOL, FILE_APPEND); while (true) sleep(9);"
    )
    before = time.monotonic()
    # Long enough for both to have signed; on a machine so slow that they have not, what follows still holds.
    assert refused(laravel_app, timeout=1.0).endswith("artisan did not end within 1 s")
    assert time.monotonic() - before < 15
    for pid in pids.read_text().split() if pids.exists() else []:
        eventually(lambda pid=pid: not alive(pid), what=f"{pid} is gone")  # type: ignore[misc]


def test_an_application_that_never_stops_talking_is_cut_short(laravel_app: LaravelApp) -> None:
    kernel = laravel_app.root / "bootstrap/app.php"
    kernel.write_text(
        kernel.read_text().replace("<?php", "<?php echo str_repeat(str_repeat('x', 1023).PHP_EOL, 20000);", 1)
    )
    assert asked(laravel_app).default_connection == "redis"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_it_runs_as_the_user_of_the_workers_who_cannot_see_where_queuepool_is_installed(
    redis_server: RedisServer,
) -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to other users
        os.chmod(directory, 0o755)
        app = LaravelApp(Path(directory) / "app", redis_server)
        subprocess.run(["chown", "-R", "nobody", str(app.root)], check=True)
        (app.root / "config/whoami.php").write_text(
            "<?php file_put_contents(storage_path('me'), posix_geteuid().json_encode(posix_getgroups())); return [];"
        )
        config = asked(app, user="nobody")
        assert config.default_connection == "redis"
        assert (app.root / "storage/me").read_text() == f"{nobody.pw_uid}[{nobody.pw_gid}]"
        assert asked(app, user=str(nobody.pw_uid)).default_connection == "redis"


def test_no_copy_of_the_probe_is_left_behind(
    laravel_app: LaravelApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    asked(laravel_app)
    (laravel_app.root / "artisan").write_text("<?php exit(1);")
    refused(laravel_app)
    assert list(scratch.iterdir()) == []
    assert stat.S_IMODE(scratch.stat().st_mode) & stat.S_IWOTH == 0


FACTS = {
    "laravel": "12.0.0", "php": "8.3.0", "extensions": [], "base": "/a", "storage": "/a/storage", "environment": "x",
    "queue": {"default": "redis", "connections": {"redis": {"driver": "redis", "connection": "q"}, "sync": []}},
    "horizon": True, "horizon_version": "v5.30", "config_cached": False, "down": False, "scheduled": None, "errors": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("laravel", "client", "shared", "entry", "host", "prefix"),
    [
        ("12.0.0", "phpredis", {"prefix": "all_"}, {"host": "h", "prefix": "own_"}, "h", "own_"),
        ("9.11.0", "phpredis", {"prefix": "all_"}, {"host": "h", "prefix": "own_"}, "h", "all_"),
        ("8.83.0", "phpredis", {"prefix": "all_"}, {"host": "h", "options": {"prefix": "opt_"}}, "h", "opt_"),
        ("8.83.0", "phpredis", {"prefix": "all_", "host": "g"}, {"host": "h"}, "g", "all_"),
        ("8.83.0", "predis", {"prefix": "all_", "host": "g"}, {"host": "h"}, "h", "all_"),
        ("8.83.0", "phpredis", [], {"host": "h", "options": []}, "h", ""),
    ],
)  # fmt: skip
def test_options_of_redis_are_merged_as_laravels_connectors_do(
    laravel: str, client: str, shared: object, entry: object, host: str, prefix: str
) -> None:
    redis = {"client": client, "options": shared, "connections": {"q": entry}, "clusters": []}
    config = config_of({**FACTS, "laravel": laravel, "redis": redis})
    target = config.redis_of()
    assert target is not None
    assert (target.host, target.prefix, target.cluster) == (host, prefix, False)


def test_a_cluster_is_known_as_one() -> None:
    redis = {"client": "phpredis", "options": [], "connections": [], "clusters": {"q": [{"host": "n1", "port": 7000}]}}
    target = config_of({**FACTS, "redis": redis}).redis_of("redis")
    assert target is not None
    assert (target.cluster, target.where) == (True, "n1:7000")
