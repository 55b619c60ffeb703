"""The table of options against the real artisan of the installed Laravel."""

from __future__ import annotations

import re

import pytest

from queuepool.domain import command
from queuepool.laravel.app import inspect
from tests.support.laravel import LaravelApp

_SYMFONY = {"help", "quiet", "silent", "verbose", "version", "ansi", "no-ansi", "no-interaction", "env"}
_ON_PURPOSE = {"daemon"}  # has no effect since Laravel 5.3


@pytest.mark.php
@pytest.mark.parametrize("kind", ["worker", "listen"])
def test_the_table_knows_exactly_the_options_of_the_installed_laravel(laravel_app: LaravelApp, kind: str) -> None:
    said = laravel_app.artisan(command.ARTISAN[kind], "--help")
    theirs = (
        set(re.findall(r"--([a-z-]+)", said.partition("Options:")[2].partition("Help:")[0])) - _SYMFONY - _ON_PURPOSE
    )
    version = inspect(str(laravel_app.root)).laravel or ""
    ours = {
        option.flag.removeprefix("--")
        for key, option in command.OPTIONS.items()
        if kind in option.kinds and key != "env" and not command.unsupported({key: 1}, version, kind)
    }
    assert ours == theirs


@pytest.mark.php
def test_artisan_takes_a_command_line_with_every_option_it_has(laravel_app: LaravelApp) -> None:
    version = inspect(str(laravel_app.root)).laravel or ""
    options = {
        "connection": "redis", "queue": ("high", "default"), "tries": 3, "timeout": 60, "memory": 256, "sleep": 0.25,
        "backoff": (1, 5), "delay": 1, "max_jobs": 5, "max_time": 3600, "rest": 0.5, "stop_when_empty": True,
        "stop_when_empty_for": 5, "once": True, "force": True, "name": "x", "json": True, "env": "testing",
        "quiet": True, "verbose": 2, "ansi": False,
    }  # fmt: skip
    known = {key: value for key, value in options.items() if not command.unsupported({key: value}, version)}
    argv = command.render(command.ArtisanCommand("worker", known))
    said = laravel_app.try_artisan(*argv[2:])
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
