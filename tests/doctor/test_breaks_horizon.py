"""A real application with Horizon's configuration, and what Horizon would keep in Redis, broken in each way.

Horizon itself is in no Debian package: a class of its name stands in for it, and its keys are written here as the
recorded ones in tests/laravel/horizon are. A healthy real one is in the last test."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from queuepool.domain.horizon import host_slug
from tests.support.horizon import add_horizon, needs_horizon
from tests.support.installation import Break, Installation
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor

HERE = host_slug(os.uname().nodename)
CONFIG = """<?php return ['use' => 'default', 'prefix' => env('HORIZON_PREFIX'),
    'defaults' => ['one' => ['connection' => 'redis', 'queue' => ['mail'], 'maxProcesses' => 2, 'timeout' => %d]],
    'environments' => ['%s' => ['one' => []]]];
"""
CHILDREN: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _end_children() -> Iterator[None]:
    yield
    while CHILDREN:
        child = CHILDREN.pop()
        child.kill()
        child.wait()


def horizon(it: Installation, *, environment: str = "prod*", timeout: int = 60, **keys: object) -> None:
    """Horizon, and a program that would run it."""
    stand_in = it.app.root / "app/StandIn.php"
    stand_in.write_text("<?php\n\nnamespace Laravel\\Horizon;\n\nclass Horizon\n{\n}\n")
    autoload = it.app.root / "bootstrap/autoload.php"
    autoload.write_text(autoload.read_text() + "\nrequire dirname(__DIR__).'/app/StandIn.php';\n")
    (it.app.root / "config/horizon.php").write_text(CONFIG % (timeout, environment))
    it.app.set_env(HORIZON_PREFIX=f"{it.app.prefix}horizon:")
    it.programs["horizon"] = {"type": "horizon", **keys}
    it.write()


def master(it: Installation, host: str = "web2", pid: int = 7, age: float = 1.0, **more: str) -> str:
    """A master as Redis shows it; its name."""
    name, prefix = f"{host}-Ab{pid % 97:02d}", f"{it.app.prefix}horizon:"
    values = {"name": name, "pid": str(pid), "status": "running", "environment": "production", "supervisors": "[]"}
    with it.redis.client.pipeline() as pipeline:
        pipeline.hset(f"{prefix}master:{name}", mapping={**values, **more})
        pipeline.pexpire(f"{prefix}master:{name}", int(1000 * (15 - age)) if more.get("alive") != "long" else 600_000)
        pipeline.zadd(f"{prefix}masters", {name: time.time() - age})
        pipeline.execute()
    return name


def living(it: Installation, host: str = "web2", pid: int = 7, **more: str) -> str:
    """One that goes on beating, however slow the machine is that this runs on."""
    return master(it, host, pid, alive="long", **more)


def supervisor(it: Installation, of: str, queue: str, left: int = 600) -> None:
    name, prefix = f"{of}:one", f"{it.app.prefix}horizon:"
    options = {"connection": "redis", "queue": queue, "maxProcesses": "2", "timeout": "60"}
    values = {"name": name, "master": of, "pid": "8", "status": "running", "processes": f'{{"redis:{queue}":2}}'}
    with it.redis.client.pipeline() as pipeline:
        pipeline.hset(f"{prefix}supervisor:{name}", mapping={**values, "options": json.dumps(options)})
        pipeline.expire(f"{prefix}supervisor:{name}", left)
        pipeline.zadd(f"{prefix}supervisors", {name: time.time() - 25})
        pipeline.execute()


def a_process() -> int:
    child = subprocess.Popen(["sleep", "600"])
    CHILDREN.append(child)
    return child.pid


def paused(it: Installation) -> None:
    horizon(it)
    living(it, status="paused")


def two(it: Installation) -> None:
    horizon(it)
    living(it, HERE, a_process())
    living(it, HERE, a_process())


def one_of_somebody_else(it: Installation) -> None:
    horizon(it)
    living(it, HERE, a_process())


def forget(it: Installation) -> None:
    prefix = f"{it.app.prefix}horizon:"
    it.redis.client.delete(*it.redis.client.keys(f"{prefix}*"))


def dead(it: Installation) -> None:
    horizon(it)
    master(it, HERE, 4_000_000, age=7.0)  # there is no such pid; when it is forgotten meanwhile, that is said as well


def beside(it: Installation) -> None:
    horizon(it)
    supervisor(it, living(it), "default")


def silent(it: Installation) -> None:
    horizon(it)
    supervisor(it, living(it), "mail", left=10)


def no_metrics(it: Installation) -> None:
    horizon(it)
    living(it)
    it.redis.client.set(f"{it.app.prefix}horizon:last_snapshot_at", int(time.time()) - 3600)


def metrics(it: Installation) -> None:
    it.redis.client.set(f"{it.app.prefix}horizon:last_snapshot_at", int(time.time()) - 60)


def another_environment(it: Installation) -> None:
    horizon(it)
    living(it, environment="staging")


def killed_at_stop(it: Installation) -> None:
    horizon(it, stopwaitsecs=10)


def stop_later(it: Installation) -> None:
    it.programs["horizon"] = {"type": "horizon"}
    it.write()


def forgotten_by_horizon(it: Installation) -> None:
    horizon(it)
    it.app.dispatch("quick", queue="slow")


BREAKS = [
    Break(
        "horizon.environment", lambda it: horizon(it, environment="local"), "environments: local\nAPP_ENV is prod",
        mended=lambda it: it.app.set_env(APP_ENV="local"),
    ),
    Break("horizon.paused", paused, "web2-.*: pid 7, paused", "warning", mended=living),
    Break("horizon.two_masters", two, f"master {HERE}-.*\nmaster {HERE}-", mended=forget),
    Break("horizon.two_masters", one_of_somebody_else, f"master {HERE}-", "warning", mended=forget, name="foreign"),
    Break("horizon.inactive", dead, r"master .*last beat [\d.]+ s ago", mended=forget),
    Break(
        "horizon.beside", beside, "redis:default, 2 workers", "warning", mended=lambda it: it.program(queue="other"),
    ),
    Break("horizon.silent", silent, "", "warning", mended=lambda it: supervisor(it, living(it), "mail")),
    Break("horizon.snapshot", no_metrics, "last_snapshot_at: 1", "info", mended=metrics),
    Break(
        "horizon.stop", killed_at_stop, "stopwaitsecs is 10 .*\n.*longest timeout is 60", "warning", mended=stop_later,
    ),
    Break(
        "timing.horizon_timeout", lambda it: horizon(it, timeout=120), "has timeout 120\n.*redis.retry_after is 90",
        mended=lambda it: it.app.set_env(REDIS_QUEUE_RETRY_AFTER="150"),
    ),
    Break("redis.shared_prefix", another_environment, "says environment staging; here it is production", mended=forget),
    Break("queues.unserved", forgotten_by_horizon, "queues:slow: 1 ready", "warning"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_horizon_is_found(broken: Break) -> None:
    broken.prove()


def test_of_a_horizon_that_is_not_running_yet_nothing_is_said() -> None:
    with Installation() as it:
        horizon(it)
        assert it.look()["findings"] == []


def test_of_a_horizon_on_another_host_nothing_is_said() -> None:
    with Installation() as it:
        horizon(it)
        supervisor(it, living(it), "mail")
        metrics(it)
        assert it.look()["findings"] == []


@needs_horizon
def test_of_a_real_horizon_in_good_health_nothing_is_said() -> None:
    with Installation() as it:
        add_horizon(it.app)
        it.app.set_env(APP_ENV="local")
        it.own()
        it.program(queue="other")
        it.programs["horizon"] = {"type": "horizon"}
        it.write()
        it.qp.up()
        it.qp.running("horizon", 1, 60)

        def works() -> bool:
            shown = next(each for each in it.qp.status()["programs"] if each["name"] == "horizon")["horizon"]
            return bool(shown and shown["processes"] >= 3)

        eventually(works, 60, "its workers run", show=it.qp.story)
        it.app.artisan("horizon:snapshot")
        it.own()
        assert it.doctor()["findings"] == []
