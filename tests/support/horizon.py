"""The example application with a real Laravel Horizon, from the directory that QUEUEPOOL_TEST_HORIZON names: a checkout
of github.com/laravel/horizon that fits the installed framework (5.22 is the newest for Laravel 8.83). Horizon is in no
Debian package, so tests that need it are skipped elsewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.laravel import LaravelApp

DIRECTORY = os.environ.get("QUEUEPOOL_TEST_HORIZON", "")
needs_horizon = pytest.mark.skipif(
    not (Path(DIRECTORY or "/nowhere") / "src/Horizon.php").is_file(),
    reason="QUEUEPOOL_TEST_HORIZON names no checkout of laravel/horizon, and Debian has no package of it",
)

_CONFIG = """<?php

return [
    'use' => 'default',
    'path' => 'horizon',
    'prefix' => env('HORIZON_PREFIX', 'demo_horizon:'),
    'middleware' => ['web'],
    'waits' => ['redis:default' => 60],
    'trim' => ['recent' => 60, 'pending' => 60, 'completed' => 60, 'recent_failed' => 60, 'failed' => 60,
        'monitored' => 60],
    'fast_termination' => (bool) env('HORIZON_FAST', false),
    'memory_limit' => 128,
    'defaults' => [
        'supervisor-1' => ['connection' => 'redis', 'queue' => ['high', 'default'], 'balance' => 'auto',
            'minProcesses' => 1, 'maxProcesses' => 4, 'tries' => 1, 'timeout' => 20, 'sleep' => 1],
        'fixed' => ['connection' => 'redis', 'queue' => ['mail', 'slow'], 'balance' => false,
            'maxProcesses' => 2, 'tries' => 1, 'timeout' => 30, 'sleep' => 1],
    ],
    'environments' => ['loc*' => ['supervisor-1' => [], 'fixed' => []]],
];
"""
_AUTOLOAD = """
spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'Laravel\\\\Horizon\\\\', 16) === 0) {
        $file = '%s/src/'.strtr(substr($class, 16), '\\\\', '/').'.php';

        if (is_file($file)) {
            require $file;
        }
    }
});
"""


def add_horizon(app: LaravelApp) -> None:
    """Install Horizon in an application: its classes, its provider, its configuration. Two supervisors: `supervisor-1`
    balances `high` and `default`, `fixed` has two workers for `mail,slow`."""
    autoload = app.root / "bootstrap/autoload.php"
    autoload.write_text(autoload.read_text() + _AUTOLOAD % DIRECTORY)
    (app.root / "config/horizon.php").write_text(_CONFIG)
    file = app.root / "config/app.php"
    last = "Illuminate\\Redis\\RedisServiceProvider::class,"
    more = [
        "Illuminate\\View\\ViewServiceProvider::class",
        "Illuminate\\Notifications\\NotificationServiceProvider::class",
    ]
    more.append("Laravel\\Horizon\\HorizonServiceProvider::class")
    file.write_text(file.read_text().replace(last, "\n        ".join([last, *(f"{name}," for name in more)])))
    app.set_env(HORIZON_PREFIX=f"{app.prefix}horizon:")


def table(text: str) -> list[list[str]]:
    """The rows below the head of a table that artisan printed."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]
    return rows[1:]


def without_time(text: str) -> str:
    """Without the times that artisan prints."""
    return re.sub(r"\d+(\.\d+)?ms", "", text)
