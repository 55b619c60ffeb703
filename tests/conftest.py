"""Fixtures that any test may use. Each test gets a server and an application of its own, so tests run side by side."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer

# A shell starts what it runs in the background with SIGINT ignored, and that is inherited: Ctrl-C is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "queuepool",
    deadline=None,  # a busy machine is no failure
    # Nor is it one for hypothesis to be slow; and what tests of arbitrary input are given they leave as it was.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    # The same examples each time: a change is refused for what it breaks. QUEUEPOOL_TEST_RANDOM=1 looks further.
    derandomize="QUEUEPOOL_TEST_RANDOM" not in os.environ,
)
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
