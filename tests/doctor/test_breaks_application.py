"""A real application, broken in each way that its checks look for."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.support.installation import Break, Installation

pytestmark = pytest.mark.php


def write(it: Installation, name: str, text: str) -> Path:
    """A file of the application, owned by the workers' user."""
    file = it.root / "app" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    it.own(name)
    return file


def artisan(it: Installation, *words: str) -> None:
    """Run an artisan command, and give what it wrote to the workers' user."""
    it.app.artisan(*words)
    it.own("bootstrap/cache", "storage")


def newer(file: Path) -> None:
    later = time.time() + 60
    os.utime(file, (later, later))


def sql(it: Installation, statement: str) -> None:
    with sqlite3.connect(it.root / "app/storage/app/database.sqlite") as database:
        database.execute(statement)
    database.close()


def a_bootstrap_with_a_parse_error(it: Installation) -> None:
    write(it, "bootstrap/app.php", "<?php\noops(\n")


def current_points_to_a_removed_release(it: Installation) -> None:
    (it.root / "current").symlink_to(it.root / "releases/7")
    it.top["app"] = str(it.root / "current")
    it.write()


def current_points_to_the_application(it: Installation) -> None:
    (it.root / "current").unlink()
    (it.root / "current").symlink_to(it.root / "app")


def app_is_a_directory_that_does_not_exist(it: Installation) -> None:
    it.top["app"] = str(it.root / "ap")
    it.write()


def app_is_a_file(it: Installation) -> None:
    it.top["app"] = str(it.root / "app/artisan")
    it.write()


def app_is_its_public_directory(it: Installation) -> None:
    (it.root / "app/public").mkdir()
    it.top["app"] = str(it.root / "app/public")
    it.write()


def app_is_the_application(it: Installation) -> None:
    del it.top["app"]
    it.write()


def vendor_was_not_installed(it: Installation) -> None:
    write(it, "artisan", "<?php\nrequire __DIR__.'/vendor/autoload.php';\n")


def composer_install_was_not_run_after_the_pull(it: Installation) -> None:
    for name, version in (("composer.lock", "2.0.0"), ("vendor/composer/installed.json", "1.9.0")):
        file = it.root / "app" / name
        known = json.loads(file.read_text())["packages"] if file.exists() else []
        write(it, name, json.dumps({"packages": [*known, {"name": "acme/thing", "version": version}]}))


def env_is_gone(it: Installation) -> None:
    (it.root / "app/.env").rename(it.root / "app/.env.old")


def env_is_back(it: Installation) -> None:
    (it.root / "app/.env.old").rename(it.root / "app/.env")


def env_is_roots(it: Installation) -> None:
    os.chown(it.root / "app/.env", 0, 0)
    (it.root / "app/.env").chmod(0o600)


def an_option_nobody_knows(it: Installation) -> None:
    it.program(options=["--nonsense=1"])


def a_release_with_its_own_storage(it: Installation) -> None:
    (it.root / "releases").mkdir()
    (it.root / "app").rename(it.root / "releases/1")
    (it.root / "app").symlink_to(it.root / "releases/1")


def storage_is_shared(it: Installation) -> None:
    (it.root / "shared").mkdir()
    (it.root / "app/storage").rename(it.root / "shared/storage")
    (it.root / "app/storage").symlink_to(it.root / "shared/storage")


def env_is_edited_after_config_cache(it: Installation) -> None:
    artisan(it, "config:cache")
    newer(it.root / "app/.env")


def config_was_cached_on_the_build_server(it: Installation) -> None:
    built = it.root / "build"
    shutil.copytree(it.root / "app", built, symlinks=True)
    here, it.app.root = it.app.root, built
    it.app.artisan("config:cache")
    it.app.root = here
    shutil.copy(built / "bootstrap/cache/config.php", it.root / "app/bootstrap/cache/config.php")
    it.own("bootstrap/cache")
    shutil.rmtree(built)


def config_is_cleared(it: Installation) -> None:
    artisan(it, "config:clear")


def routes_are_edited_after_their_cache(it: Installation) -> None:
    write(it, "bootstrap/cache/routes-v7.php", "<?php\n")
    newer(write(it, "routes/web.php", "<?php\n"))


def a_listener_is_added_after_event_cache(it: Installation) -> None:
    write(it, "bootstrap/cache/events.php", "<?php return [];\n")
    newer(write(it, "app/Listeners/SendMail.php", "<?php\n"))


def env_is_called_in_a_job_and_config_is_cached(it: Installation) -> None:
    write(it, "app/Prices.php", "<?php\n// env('OLD')\nfunction prices()\n{\n    return env('PRICE_API', null);\n}\n")
    artisan(it, "config:cache")


def the_url_of_redis_is_no_url(it: Installation) -> None:
    text = (it.root / "app/config/database.php").read_text()
    write(it, "config/database.php", text.replace("'cache' => [", "'spare' => 'redis:///nowhere',\n'cache' => ["))


BREAKS = [
    Break("application.boots", a_bootstrap_with_a_parse_error, r"(Unclosed|syntax error).*bootstrap/app.php:\d"),
    Break("application.directory", current_points_to_a_removed_release, "current: No such file",
          mended=current_points_to_the_application, name="dangling"),
    Break("application.directory", app_is_a_directory_that_does_not_exist, "/ap: No such file",
          mended=app_is_the_application),
    Break("application.directory", app_is_a_file, "app/artisan: it is a file",
          mended=app_is_the_application, name="file"),
    Break("application.artisan", app_is_its_public_directory, "public/artisan: No such file",
          mended=app_is_the_application),
    Break("application.vendor", vendor_was_not_installed, "vendor/autoload.php", name="missing"),
    Break("application.vendor", composer_install_was_not_run_after_the_pull,
          r"acme/thing 1\.9\.0 \(composer.lock: 2\.0\.0\)", severity="warning", name="drift",
          mended=lambda it: shutil.copy(it.root / "app/composer.lock", it.root / "app/vendor/composer/installed.json")),
    Break("application.env", env_is_gone, r"\.env: No such file", mended=env_is_back, name="gone"),
    Break("application.key", lambda it: it.app.set_env(APP_KEY=""), "app.key is empty"),
    Break("application.option", an_option_nobody_knows, "queue:work --help` does not list --nonsense",
          mended=lambda it: it.program(options=None)),
    Break("application.queue_connection", lambda it: it.app.set_env(QUEUE_CONNECTION="sync"), "queue.default is sync",
          mended=lambda it: it.app.set_env(QUEUE_CONNECTION="redis"), name="default"),
    Break("application.queue_connection", lambda it: it.program(connection="sync"), "its connection is sync",
          mended=lambda it: it.program(connection="redis"), name="own"),
    Break("application.connection", lambda it: it.program(connection="redsi"), "has .*redis, database",
          mended=lambda it: it.program(connection="redis")),
    Break("application.cache_store", lambda it: it.app.set_env(CACHE_STORE="array"), "with the driver array",
          severity="warning"),
    Break("application.cache_in_release", a_release_with_its_own_storage, "path is .*releases/1/storage",
          severity="warning", mended=storage_is_shared),
    Break("application.config_stale", env_is_edited_after_config_cache, r"\.env is newer", severity="warning",
          mended="--fix"),
    Break("application.config_elsewhere", config_was_cached_on_the_build_server, "config.php has .*/build/storage",
          mended="--fix"),
    Break("application.routes_stale", routes_are_edited_after_their_cache, "routes/web.php is newer", severity="info",
          mended="--fix"),
    Break("application.events_stale", a_listener_is_added_after_event_cache, "SendMail.php is newer",
          severity="warning", mended="--fix"),
    Break("application.env_calls", env_is_called_in_a_job_and_config_is_cached, r"^app/Prices\.php:5: env\('PRICE",
          severity="warning", mended=config_is_cleared),
    Break("application.errors", the_url_of_redis_is_no_url, "^redis: ", severity="warning"),
    Break("application.maintenance", lambda it: artisan(it, "down"), "it is down", severity="warning",
          mended=lambda it: artisan(it, "up")),
    Break("application.debug", lambda it: it.app.set_env(APP_DEBUG="true"), "app.debug is true", severity="warning",
          mended=lambda it: it.app.set_env(APP_DEBUG="false")),
    Break("application.failed_store", lambda it: it.app.set_env(QUEUE_FAILED_DRIVER="null"), "driver is null",
          severity="warning", name="null"),
    Break("application.failed_store", lambda it: sql(it, "drop table failed_jobs"), "no table failed_jobs",
          name="table"),
    Break("application.failed_store", lambda it: (it.root / "app/storage/app/database.sqlite").unlink(),
          "database connection sqlite: .*exist", name="database"),
    Break("application.jobs_table", lambda it: (sql(it, "drop table jobs"), it.program(connection="database")),
          "no table jobs", mended=lambda it: it.program(connection="redis")),
]  # fmt: skip
AS_ROOT = [
    Break("application.env", env_is_roots, r"-rw------- root:root .*\.env", mended="--fix", name="closed"),
]


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_application_is_found(broken: Break) -> None:
    broken.prove()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("broken", AS_ROOT, ids=str)
def test_an_application_that_root_has_broken_is_found(broken: Break) -> None:
    broken.prove()
