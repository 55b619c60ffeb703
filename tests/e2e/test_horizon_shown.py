"""What the daemon shows of Horizon, with a stand-in for it: a shell script in the place of artisan that beats in a real
Redis as Horizon does, with its pid. The real one is in test_horizon.py, which needs its code."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.client import Client
from queuepool.control.messages import Pause
from tests.support.daemon import Queuepool
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.redis

ARTISAN = """
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


@pytest.fixture
def application(tmp_path: Path, redis_server: RedisServer) -> Path:
    """PHP cannot run it, so its .env is believed."""
    root = tmp_path / "app"
    root.mkdir()
    host = re.sub(r"[^a-z0-9-]", "", os.uname().nodename.lower()) or "host"
    (root / "artisan").write_text(ARTISAN.format(port=redis_server.port, host=host))
    (root / "composer.json").write_text('{"require": {"laravel/horizon": "^5.0"}}')
    (root / ".env").write_text(f"APP_NAME=Demo\nQUEUE_CONNECTION=redis\nREDIS_PORT={redis_server.port}\n")
    return root


def program(qp: Queuepool) -> dict[str, Any]:
    found: dict[str, Any] = qp.status()["programs"][0]
    return found


def test_status_shows_masters_supervisors_and_workers_and_what_is_wrong(application: Path, tmp_path: Path) -> None:
    text = f"app: {application}\nphp: [sh]\nprograms:\n  horizon: {{type: horizon}}\n"
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        [pid] = qp.running("horizon", 1).values()

        def seen() -> dict[str, Any] | None:
            found = program(qp)["horizon"]
            return found if found and found["processes"] else None

        shown = eventually(seen, 60, "it is shown", show=lambda: (program(qp), qp.story()))
        assert shown is not None
        assert [(one["pid"], one["status"]) for one in shown["masters"]] == [(pid, "running")]
        assert shown["supervisors"][0]["processes"] == {"default": 3} or shown["processes"] == 3
        assert shown["problems"] == []
        assert "one  running  default 3" in qp("status")

        (application / "paused").touch()  # as `php artisan horizon:pause` by hand
        eventually(lambda: qp.processes("horizon")[0]["paused"], 60, "it is marked", show=lambda: program(qp))
        status = qp("status")
        assert "[paused]" in status
        assert "paused" in " ".join(program(qp)["horizon"]["problems"])
        (application / "paused").unlink()
        eventually(lambda: not qp.processes("horizon")[0]["paused"], 60, "it goes on", show=lambda: program(qp))

        Client(qp.run.socket).ask(Pause(("horizon",)))
        assert qp.processes("horizon")[0]["paused"], "it lasts some seconds, and a command takes one to end"
        eventually(lambda: not qp.processes("horizon")[0]["paused"], 60, "Redis says otherwise, twice")


def test_a_master_that_somebody_else_started_is_said(
    application: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    text = f"app: {application}\nphp: [sh]\nprograms:\n  horizon: {{type: horizon}}\n"
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        qp.running("horizon", 1)
        with subprocess.Popen(["sh", "artisan", "horizon"], cwd=application, start_new_session=True) as other:
            # Both beat under one name here, so the last one to speak is seen: now ours, now the other.
            def foreign() -> list[str]:
                found = program(qp)["horizon"]
                return [text for text in (found or {}).get("problems", []) if "not started by queuepool" in text]

            try:
                eventually(foreign, 60, "it is said", show=lambda: program(qp))
            finally:
                other.terminate()


def test_horizons_of_a_redis_that_is_away_say_so(application: Path, tmp_path: Path, redis_server: RedisServer) -> None:
    text = f"app: {application}\nphp: [sh]\nprograms:\n  horizon: {{type: horizon}}\n"
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        qp.running("horizon", 1)
        eventually(lambda: program(qp)["horizon"], 60, "it is shown", show=lambda: program(qp))
        redis_server.stop()

        def said() -> bool:
            return "refuses connections" in json.dumps(program(qp)["horizon"]["problems"])

        eventually(said, 60, "it is said", show=lambda: program(qp))
