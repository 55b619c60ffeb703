"""What a real application says of its failed jobs, its databases and its time limits."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from queuepool.errors import QueuepoolError
from queuepool.laravel.stores import stores
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer

pytestmark = pytest.mark.php


def said(app: LaravelApp, *connections: str) -> dict[str, Any]:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return asyncio.run(stores(PHP, str(app.root), connections or ("",), environment=environment))


def test_failed_jobs_databases_and_limits_are_told(tmp_path: Path, redis_server: RedisServer) -> None:
    app = LaravelApp(tmp_path / "app", redis_server)
    empty = said(app, "", "database", "none")
    assert empty["failed"] == {"driver": "database-uuids", "day": 0, "hour": 0}
    assert empty["databases"]["database"][0] == "sqlite"
    assert empty["read_timeouts"] == {"default": 60, "cache": 60}
    assert (empty["elastic"], empty["horizon_lacks"]) == ([], [])

    app.dispatch("failing", 3)
    app.artisan("queue:work", "--stop-when-empty", "--sleep=0")
    file = tmp_path / "app/storage/app/database.sqlite"
    database = sqlite3.connect(file)
    with database:
        database.execute("update failed_jobs set failed_at = '2020-01-01 00:00:00' where id = 1")
    database.close()
    failed = said(app)["failed"]
    assert (failed["day"], failed["hour"], failed["newest"]) == (2, 2, "App\\Jobs\\Failing")
    assert failed["queue"] == "redis:default"
    assert abs(failed["at"] - time.time()) < 100
    assert "\n" not in failed["exception"]

    file.unlink()
    assert "day" not in said(app)["failed"]
    assert "database" in said(app)["failed"]["why"].lower()


def test_an_application_that_does_not_boot_raises(tmp_path: Path, redis_server: RedisServer) -> None:
    app = LaravelApp(tmp_path / "app", redis_server)
    (app.root / "bootstrap/app.php").write_text("<?php\noops(\n")
    with pytest.raises(QueuepoolError, match="cannot boot"):
        said(app)
