"""The example application with a real Laravel Horizon, from the directory that QUEUEPOOL_TEST_HORIZON names: a checkout
of github.com/laravel/horizon that fits the installed framework (5.22 is the newest for Laravel 8.83). Horizon is in no
Debian package, so tests that need it are skipped elsewhere. And a stand-in for it, which needs nothing."""

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


_ARTISAN = """
[ "$1" = horizon ] || exit 1
trap 'exit 0' TERM
trap '' USR2
redis() {{ : "$(redis-cli -p {port} "$@")"; }} # its own stdout stays what it is: by that it is found and ended
while :; do
    status=running
    [ ! -f paused ] || status=paused
    now=$(date +%s)
    redis HSET "demo_horizon:master:{host}-abcd" name {host}-abcd pid $$ status $status environment local \\
        supervisors '["{host}-abcd:one"]'
    redis EXPIRE "demo_horizon:master:{host}-abcd" 15
    redis ZADD demo_horizon:masters "$now" {host}-abcd
    redis HSET "demo_horizon:supervisor:{host}-abcd:one" name {host}-abcd:one master {host}-abcd pid $$ \\
        status $status processes '{{"redis:default":3}}' \\
        options '{{"connection":"redis","queue":"default","maxProcesses":4}}'
    redis EXPIRE "demo_horizon:supervisor:{host}-abcd:one" 30
    redis ZADD demo_horizon:supervisors "$now" {host}-abcd:one
    sleep 0.3 &
    wait $!
done
"""


def stand_in(root: Path, port: int) -> Path:
    """An application whose artisan is a shell script that beats in the Redis at `port` as Horizon does, with its own
    pid: run it with `php: [sh]`. PHP cannot run it, so its .env is believed. While there is a file `paused`, it is."""
    root.mkdir()
    host = re.sub(r"[^a-z0-9-]", "", os.uname().nodename.lower()) or "host"
    (root / "artisan").write_text(_ARTISAN.format(port=port, host=host))
    (root / "composer.json").write_text('{"require": {"laravel/horizon": "^5.0"}}')
    (root / ".env").write_text(f"APP_NAME=Demo\nQUEUE_CONNECTION=redis\nREDIS_PORT={port}\n")
    return root
