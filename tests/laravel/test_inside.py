"""Asking real applications what only they know."""

from __future__ import annotations

import asyncio
import os

import pytest

from queuepool.laravel.inside import Inside, Table, inside
from tests.support.laravel import PHP, LaravelApp

pytestmark = pytest.mark.php


def asked(app: LaravelApp, *connections: str) -> Inside:
    environment = {"PATH": os.environ["PATH"]}
    return asyncio.run(inside(PHP, str(app.root), connections, user=None, group=None, environment=environment))


def test_the_tables_of_queues_and_failed_jobs_and_the_options_of_commands_are_told(laravel_app: LaravelApp) -> None:
    found = asked(laravel_app, "", "database")
    path = str(laravel_app.root / "storage/app/database.sqlite")
    assert found.key
    assert {"queue", "tries", "timeout", "env", "verbose"} <= found.options["queue:work"]
    assert "horizon" not in found.options
    assert found.tables == (
        Table("queue", "database", "sqlite", "jobs", "sqlite", path),
        Table("failed", "database-uuids", "sqlite", "failed_jobs", "sqlite", path),
    )


def test_a_database_that_does_not_answer_is_told_in_its_words_and_without_a_password(laravel_app: LaravelApp) -> None:
    laravel_app.set_env(DB_DATABASE="/nowhere/db.sqlite", APP_KEY="")
    found = asked(laravel_app)
    (table,) = found.tables
    assert not found.key
    assert not table.there
    assert "exist" in table.why
    assert "\n" not in table.why
    assert "select" not in table.why
