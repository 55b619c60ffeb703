"""Asking real applications, sound and broken ones, with real PHP."""

import asyncio
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from redis import Redis

from queuepool.errors import QueuepoolError
from queuepool.laravel.probe import AppConfig, probe
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


PROVIDER = "config/app.php", "'providers' => [", "'providers' => [App\\Broken::class,"


def with_provider(app: LaravelApp, code: str) -> None:
    file, before, after = PROVIDER
    config = app.root / file
    config.write_text(config.read_text().replace(before, after))
    (app.root / "app/Broken.php").write_text(code)


CLASS = "<?php\nnamespace App;\nclass Broken extends \\Illuminate\\Support\\ServiceProvider\n{\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (CLASS + "public function boot() { oops }\n}", "syntax error, unexpected token \"}\" (app/Broken.php:5)"),
        (CLASS + "public function boot()\n{\nthrow new \\Exception(\"no\\nmore\");\n}\n}", "no (app/Broken.php:7)"),
        (CLASS + "public function register()\n{\nnope();\n}\n}", "undefined function App\\nope() (app/Broken.php:7)"),
        (CLASS + "public function boot()\n{\nexit(3);\n}\n}", "loaded is app/Broken.php (exit code 3)"),
        (CLASS + "public function boot()\n{\nposix_kill(getmypid(), 9);\n}\n}", "it said nothing (killed by signal 9)"),
        (
            CLASS + "public function boot()\n{\nstr_repeat('x', PHP_INT_MAX - 100);\n}\n}",
            "(app/Broken.php:7)",
        ),
    ],
)  # fmt: skip
def test_a_broken_provider_is_told_in_one_line(laravel_app: LaravelApp, code: str, expected: str) -> None:
    with_provider(laravel_app, code)
    message = refused(laravel_app)
    assert message.startswith(f"cannot boot the application in {laravel_app.root}: ")
    assert expected in message
    assert "\n" not in message


def test_a_missing_vendor_and_cache_directory_are_named_with_what_to_type(laravel_app: LaravelApp) -> None:
    shutil.rmtree(laravel_app.root / "bootstrap/cache")
    with pytest.raises(QueuepoolError) as raised:
        asked(laravel_app)
    assert "bootstrap/cache directory must be present and writable. (" in raised.value.message
    assert f"mkdir -p {laravel_app.root}/bootstrap/cache" in raised.value.hint

    (laravel_app.root / "artisan").write_text("<?php\nrequire __DIR__.'/vendor/autoload.php';\n")
    (laravel_app.root / "vendor").unlink(missing_ok=True)
    with pytest.raises(QueuepoolError) as raised:
        asked(laravel_app)
    assert re.search(r"Failed opening required '.*/vendor/autoload.php' \(artisan:2\)$", raised.value.message)
    assert raised.value.hint == f"install what it needs: cd {laravel_app.root} && composer install --no-dev"


def test_an_application_without_env_runs_with_its_defaults_and_that_is_a_fact(laravel_app: LaravelApp) -> None:
    assert asked(laravel_app).environment_file_seen is True
    (laravel_app.root / ".env").unlink()
    config = asked(laravel_app)
    assert (config.environment_file_seen, config.environment, config.errors) == (None, "production", ())
    assert config.environment_file == os.path.realpath(laravel_app.root) + "/.env"


def test_a_php_for_web_servers_is_told_apart(laravel_app: LaravelApp, tmp_path: Path) -> None:
    """As php-cgi and php-fpm behave: they know no -r, and print their usage."""
    cgi = tmp_path / "php-cgi8"
    cgi.write_text(
        '#!/bin/sh\n[ "$1" = -v ] && echo "PHP 8.2.1 (cgi-fcgi) (built: Jan  1 2026 00:00:00)" && exit 0\n'
        "echo 'Error in argument 1, char 2: option not found r' >&2; exit 1\n"
    )
    cgi.chmod(0o755)
    with pytest.raises(QueuepoolError) as raised:
        asyncio.run(probe((str(cgi),), str(laravel_app.root), environment=ENVIRONMENT))
    assert raised.value.message.endswith(f"{cgi} is PHP for a web server (cgi-fcgi), not for the command line")
    assert raised.value.hint.endswith(f"such as {tmp_path}/php")
    cgi.write_text("#!/bin/sh\necho no php here >&2; exit 7\n")
    with pytest.raises(QueuepoolError, match=r": no php here \(exit code 7\)$"):
        asyncio.run(probe((str(cgi),), str(laravel_app.root), environment=ENVIRONMENT))


def test_no_script_of_ours_has_to_be_readable_where_php_runs(laravel_app: LaravelApp, tmp_path: Path) -> None:
    prepended = tmp_path / "app/prepended.php"
    prepended.write_text("<?php putenv('QUEUE_CONNECTION=database'); $_ENV['QUEUE_CONNECTION'] = 'database';")
    php = (*PHP, "-d", f"open_basedir={laravel_app.root}:/usr/share/php:/var/cache", "-d", "memory_limit=77M",
           "-d", f"auto_prepend_file={prepended}", "-d", "disable_functions=proc_open,exec")  # fmt: skip
    config = asyncio.run(probe(php, str(laravel_app.root), environment=ENVIRONMENT))
    assert config.default_connection == "database"
    assert config.runtime is not None
    assert (config.runtime.memory_limit, config.runtime.sapi) == (77 << 20, "cli")
    assert config.runtime.disabled == {"proc_open", "exec"}
    assert config.runtime.version == config.php


def test_what_is_cached_written_and_kept_is_told(laravel_app: LaravelApp) -> None:
    root = os.path.realpath(laravel_app.root)
    config = asked(laravel_app)
    assert config.caches == {}
    assert config.cache is not None
    assert (config.cache.name, config.cache.driver, config.cache.path, config.cache.shared) == (
        "file", "file", f"{root}/storage/framework/cache/data", True,
    )  # fmt: skip
    assert config.failed is not None
    assert (config.failed.driver, config.failed.connection, config.failed.table) == (
        "database-uuids", "sqlite", "failed_jobs",
    )  # fmt: skip
    assert config.connections["database"].table == "jobs"
    assert config.redis_client_ready is True
    assert {name: (path.path.removeprefix(root), path.writable) for name, path in config.writes.items()} == {
        "storage": ("/storage", True), "logs": ("/storage/logs", True), "cache": ("/storage/framework/cache", True),
        "bootstrap/cache": ("/bootstrap/cache", True), "log": ("/storage/logs/laravel.log", True),
    }  # fmt: skip

    laravel_app.artisan("config:cache")
    cached = asked(laravel_app).caches["config"]
    assert not cached.stale
    os.utime(laravel_app.root / ".env", (cached.modified + 10, cached.modified + 10))
    os.utime(laravel_app.root / "config/queue.php", (cached.modified + 10, cached.modified + 10))
    stale = asked(laravel_app).caches["config"]
    assert (stale.stale, stale.newer) == (True, (".env", "config/queue.php"))


def test_the_keys_of_the_cache_are_those_that_laravel_writes(laravel_app: LaravelApp) -> None:
    laravel_app.set_env(CACHE_STORE="redis", CACHE_PREFIX="mine")
    config = asked(laravel_app)
    target = config.cache_redis()
    assert config.cache is not None
    assert target is not None
    laravel_app.artisan("queue:restart")
    server = Redis(port=target.port, db=target.db)
    assert server.exists(target.prefix + config.cache.restart_key)
    server.close()


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


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_what_another_user_cannot_read_or_write_is_told(redis_server: RedisServer) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        app = LaravelApp(Path(directory) / "app", redis_server)
        subprocess.run(["chown", "-R", "nobody", str(app.root)], check=True)
        os.chmod(app.root / ".env", 0o600)
        os.chown(app.root / ".env", 0, 0)
        os.chown(app.root / "storage/logs", 0, 0)
        os.chmod(app.root / "storage/logs", 0o755)
        config = asked(app, user="nobody")
        assert (config.environment_file_seen, config.environment) == (False, "production")
        assert {name for name, path in config.writes.items() if not path.writable} == {"logs", "log"}

        shutil.rmtree(app.root / "bootstrap/cache")
        (app.root / "bootstrap/cache").mkdir(mode=0o755)
        assert "bootstrap/cache directory must be present and writable" in refused(app, user="nobody")


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
