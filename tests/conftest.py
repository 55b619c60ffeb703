"""Fixtures that any test may use. Each test gets a server and an application of its own, so tests run side by side."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer

# A shell starts what it runs in the background with SIGINT ignored, and that is inherited: Ctrl-C is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("queuepool", deadline=None)  # a busy machine is no failure
settings.load_profile("queuepool")


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A redis-server that belongs to this test."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def laravel_app(tmp_path: Path, redis_server: RedisServer) -> LaravelApp:
    """A copy of the example application that uses `redis_server`. A test with it is to be marked `php`."""
    return LaravelApp(tmp_path / "app", redis_server)
