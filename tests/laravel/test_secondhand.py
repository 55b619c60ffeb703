"""What is guessed from .env, held against what the application itself says."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from queuepool.laravel.config import APPLICATION, DOTENV, CacheStore
from queuepool.laravel.probe import probe
from queuepool.laravel.secondhand import second_hand
from tests.support.laravel import PHP, LaravelApp

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.mark.php
def test_a_guess_for_an_application_with_laravels_own_config_is_what_it_says_itself(laravel_app: LaravelApp) -> None:
    laravel_app.set_env(
        REDIS_PASSWORD="p#s3cret", REDIS_USERNAME="worker", REDIS_QUEUE="work", REDIS_QUEUE_RETRY_AFTER="120",
        CACHE_STORE="redis", REDIS_CACHE_DB="4", CACHE_PREFIX="mine_", APP_ENV="staging", APP_DEBUG="false",
    )  # fmt: skip
    told = asyncio.run(probe(PHP, str(laravel_app.root), environment=ENVIRONMENT))
    if not (laravel_app.root / "vendor").exists():  # or the version of this machine's own package would be taken
        lock = {"packages": [{"name": "laravel/framework", "version": f"v{told.laravel}"}]}
        (laravel_app.root / "composer.lock").write_text(json.dumps(lock))
    guess = second_hand(str(laravel_app.root), ENVIRONMENT)
    assert (told.source, guess.source) == (APPLICATION, DOTENV)
    for name in ("default", "cache"):
        assert guess.redis[name] == told.redis[name]
    assert guess.connections["redis"] == told.connections["redis"]
    assert guess.connections["database"] == told.connections["database"]
    assert guess.redis_of() == told.redis_of()
    assert guess.cache_redis() == told.cache_redis()
    assert guess.cache == told.cache
    assert (guess.default_connection, guess.environment, guess.debug, guess.down) == (
        told.default_connection, told.environment, told.debug, told.down,
    )  # fmt: skip
    assert (guess.laravel, guess.base_path, guess.storage_path) == (told.laravel, told.base_path, told.storage_path)
    assert (guess.environment_file_seen, guess.errors) == (True, ())
    assert "s3cret" not in repr(guess)

    laravel_app.artisan("config:cache")
    laravel_app.artisan("down")
    cached = second_hand(str(laravel_app.root), ENVIRONMENT)
    assert cached.config_cached
    assert cached.down
    assert "cached" in cached.errors[0]


@pytest.mark.parametrize(
    ("laravel", "connection", "cache"),
    [
        ("v6.20.0", "sync", CacheStore("file", "file", "my_app_cache")),
        ("v8.83.0", "sync", CacheStore("file", "file", "my_app_cache")),
        ("v10.48.0", "sync", CacheStore("file", "file", "my_app_cache_")),
        ("v11.0.0", "database", CacheStore("database", "database", "my_app_cache_")),
        ("v13.0.0", "database", CacheStore("database", "database", "my-app-cache-")),
    ],
)
def test_defaults_are_those_of_the_version(tmp_path: Path, laravel: str, connection: str, cache: CacheStore) -> None:
    (tmp_path / "vendor/composer").mkdir(parents=True)
    (tmp_path / "vendor/composer/installed.json").write_text(
        f'[{{"name": "laravel/framework", "version": "{laravel}"}}]'
    )
    (tmp_path / ".env").write_text('APP_NAME="My App"\n')
    guess = second_hand(str(tmp_path), {})
    assert guess.default_connection == connection
    assert guess.cache is not None
    assert (guess.cache.name, guess.cache.driver, guess.cache.prefix) == (cache.name, cache.driver, cache.prefix)
    assert guess.environment == "production"


def test_an_env_file_that_is_missing_or_cannot_be_understood_is_said_and_not_quoted(tmp_path: Path) -> None:
    guess = second_hand(str(tmp_path), {"QUEUE_CONNECTION": "redis"})
    assert (guess.environment_file_seen, guess.default_connection) == (None, "redis")
    (tmp_path / ".env").write_text("REDIS_PASSWORD=two s3crets\n")
    guess = second_hand(str(tmp_path), {})
    assert len(guess.errors) == 1
    assert "s3crets" not in repr(guess)


def test_the_env_file_of_the_environment_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("QUEUE_CONNECTION=redis\n")
    (tmp_path / ".env.staging").write_text("QUEUE_CONNECTION=sqs\n")
    assert second_hand(str(tmp_path), {"APP_ENV": "staging"}).default_connection == "sqs"
    assert second_hand(str(tmp_path), {"APP_ENV": "other"}).default_connection == "redis"


def test_horizon_is_known_with_its_own_prefix(tmp_path: Path) -> None:
    (tmp_path / "composer.json").write_text('{"require": {"laravel/horizon": "^5.0"}}')
    (tmp_path / ".env").write_text('APP_NAME="My App"\nREDIS_HOST=there\n')
    horizon = second_hand(str(tmp_path), {}).horizon_config
    assert horizon is not None
    assert horizon.redis is not None
    assert (horizon.prefix, horizon.redis.prefix, horizon.redis.host) == ("my_app_horizon:", "my_app_horizon:", "there")
