"""The real Horizon under queuepool. See tests/support/horizon.py for where it comes from."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis.asyncio

from queuepool.domain.horizon import Beside, HorizonView, judge, paused_pids
from queuepool.domain.queues import QueueName
from queuepool.laravel import horizon
from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.horizon import add_horizon, needs_horizon, table
from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = [pytest.mark.php, needs_horizon]
LIMIT = 60.0


class Site:
    """An application with Horizon, run by queuepool."""

    def __init__(self, root: Path, app: LaravelApp, server: RedisServer, more: str = "") -> None:
        add_horizon(app)
        self.app, self.server = app, server
        text = f"app: {app.root}\nprograms:\n  horizon: {{type: horizon, stopwaitsecs: 60}}\n{more}"
        self.qp = Queuepool(root / "qp", text)

    def view(self) -> HorizonView:
        """What Redis shows."""

        async def ask() -> HorizonView:
            client = redis.asyncio.Redis(port=self.server.port, socket_timeout=10)
            try:
                return await horizon.read(client, f"{self.app.prefix}horizon:")
            finally:
                await client.aclose()

        return asyncio.run(ask())

    def until(self, what: str, true: Callable[[HorizonView], object]) -> HorizonView:
        """Wait for Redis to show something."""
        found: list[HorizonView] = []

        def look() -> bool:
            found[:] = [self.view()]
            return bool(true(found[0]))

        eventually(look, LIMIT, what, show=lambda: (found, self.qp.story(), self.app.log()[-2000:]))
        return found[0]

    def works(self) -> HorizonView:
        """Wait until the master of the program runs with all its workers."""
        self.qp.up() if self.qp.process is None else None
        pid = self.qp.running("horizon", 1)["horizon:0"]

        def full(view: HorizonView) -> bool:
            ours = [master for master in view.live if master.pid == pid]
            return len(view.working) == 2 and view.processes >= 4 and bool(ours and len(ours[0].supervisors) == 2)

        return self.until("Horizon works", full)

    @property
    def pid(self) -> int:
        """The master."""
        return self.qp.pids("horizon")["horizon:0"]

    def workers(self, leader: int) -> list[int]:
        """The pids of the workers in the tree of a master."""
        return [pid for pid in procstat.session_members(leader) if b"horizon:work" in _cmdline(pid)]

    def said(self, *more: Beside) -> tuple[str, ...]:
        """The judgement on what is there."""
        view, host = self.view(), os.uname().nodename
        views = [view for view in self.qp.processes("horizon") if view["state"] == "RUNNING"]
        tree = frozenset(pid for one in views for pid in procstat.session_members(one["pid"]))
        since = views[0]["uptime"] if views else None
        ours = Beside("horizon", "horizon", pids=tree, running=since, paused=bool(views and views[0]["paused"]))
        living = {pid for pid in view.pids_on(host) if procstat.birth(pid) is not None}
        return judge(view, [ours, *more], host=host, living=living)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def site(tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer) -> Site:
    return Site(tmp_path, laravel_app, redis_server)


def test_what_redis_shows_is_what_artisan_lists(site: Site) -> None:
    with site.qp:
        view = site.works()
        (master,) = view.live
        assert master.pid == site.pid
        assert site.said() == ()
        listed = table(site.app.artisan("horizon:list"))
        assert listed == [[master.name, str(master.pid), "supervisor-1, fixed", master.status]]
        ours = [
            [one.name, str(one.pid), one.status, ", ".join(f"redis:{q} ({n})" for q, n in one.processes)]
            for one in view.supervisors
        ]
        listed = table(site.app.artisan("horizon:supervisors"))
        assert sorted(ours) == sorted(row[:4] for row in listed)
        assert len(eventually(lambda: w if len(w := site.workers(site.pid)) == 4 else [], LIMIT)) == view.processes


def test_pause_and_continue_work_from_both_sides(site: Site) -> None:
    def status(word: str) -> Callable[[HorizonView], bool]:
        return lambda view: view.status == word and {one.status for one in view.working} == {word}

    with site.qp:
        site.works()
        site.qp("pause", "horizon")
        assert paused_pids(site.until("paused by queuepool", status("paused"))) == {site.pid}
        assert table(site.app.artisan("horizon:list"))[0][3] == "paused"
        assert site.said() == (), "that is as it should be"
        site.app.artisan("horizon:continue")
        site.until("continued by artisan", status("running"))
        site.qp("continue", "horizon")

        site.app.artisan("horizon:pause")
        assert paused_pids(site.until("paused by artisan", status("paused"))) == {site.pid}
        (said,) = site.said()
        assert said.startswith("Horizon is paused on ")
        assert said.endswith("`queuepool continue horizon` lets it work")
        site.app.dispatch("Ledger", 3)
        site.qp("continue", "horizon")
        site.until("continued by queuepool", status("running"))
        assert site.said() == ()
        eventually(lambda: site.app.ledger().done == 3, LIMIT, "the jobs are done")


def test_a_stop_lets_the_jobs_finish_and_leaves_nothing(site: Site) -> None:
    with site.qp:
        site.works()
        pid = site.pid
        site.app.dispatch("Ledger", 2, ms=4000)
        eventually(lambda: len(site.app.ledger().unfinished) >= 1, LIMIT, "a job runs")
        site.qp("stop", "horizon", timeout=90)
        ledger = site.app.ledger()
        assert not ledger.unfinished, ledger
        assert procstat.session_members(pid) == []
        assert site.view().live == ()
        assert site.said() == ()
        site.qp("start", "horizon")
        site.works()
        eventually(lambda: site.app.ledger().done == 2, LIMIT, "the rest is done")
        assert site.app.ledger().exactly_once


def test_with_fast_termination_a_stop_waits_for_the_workers_too(site: Site) -> None:
    site.app.set_env(HORIZON_FAST="1")
    with site.qp:
        site.works()
        pid = site.pid
        site.app.dispatch("Ledger", 1, ms=4000)
        eventually(lambda: site.app.ledger().unfinished, LIMIT, "the job runs")
        site.qp("stop", "horizon", timeout=90)
        assert site.app.ledger().exactly_once, "the master was gone at once, the worker was waited for"
        assert procstat.session_members(pid) == []


def test_a_killed_master_is_said_and_replaced_without_doubled_workers(site: Site) -> None:
    with site.qp:
        site.works()
        old = site.pid
        os.kill(old, signal.SIGKILL)
        eventually(lambda: site.qp.pids("horizon").get("horizon:0") not in (None, old), LIMIT, "it is started again")
        assert procstat.session_members(old) == [], "nothing of the old tree lives beside the new one"
        dead = f"there is no process {old}; Redis still announces it"
        new = site.pid
        site.until("the new master works", lambda view: any(m.pid == new and m.supervisors for m in view.live))
        said = site.said()
        assert said == () or (len(said) == 1 and dead in said[0]), said  # () where 15 s have passed already
        eventually(lambda: len(site.workers(new)) == 4, LIMIT, "it has its workers", show=site.view)
        site.until("the old one is forgotten", lambda view: [master.pid for master in view.live] == [new])
        eventually(lambda: site.said() == (), LIMIT, "all is well", show=site.said)
        assert len(site.workers(new)) == site.view().processes == 4


def test_workers_of_the_same_queue_beside_it_are_said(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    more = "  beside: {connection: redis, queue: [urgent, default]}\n"
    site = Site(tmp_path, laravel_app, redis_server, more)
    with site.qp:
        site.works()
        site.qp.running("beside", 1)
        serves = frozenset({QueueName("redis", "urgent"), QueueName("redis", "default")})
        (said,) = site.said(Beside("beside", "worker", serves, running=1.0))
        assert said.startswith("beside works on redis:default, and so does Horizon's supervisor ")


def test_a_master_that_somebody_else_started_is_said(site: Site) -> None:
    other = Queuepool(
        site.qp.directory.parent / "other", f"app: {site.app.root}\nprograms:\n  second: {{type: horizon}}\n"
    )
    with site.qp, other:
        site.works()
        other.up()
        pid = other.running("second", 1)["second:0"]
        site.until("both are announced", lambda view: any(master.pid == pid for master in view.live))
        doubled, foreign = site.said()
        assert doubled.startswith("2 masters of Horizon run on ")
        assert f"(pid {pid}) was not started by queuepool" in foreign
