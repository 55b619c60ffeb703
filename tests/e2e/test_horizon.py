"""The real Horizon under queuepool. See tests/support/horizon.py for where it comes from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import pytest

from queuepool.domain.horizon import MARGIN, Beside, HorizonView, graceful_seconds, judge, paused_pids
from queuepool.domain.queues import QueueName
from queuepool.errors import QueuepoolError
from queuepool.laravel import horizon
from queuepool.laravel.away import Away
from queuepool.laravel.probe import probe
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.horizon import add_horizon, needs_horizon, table
from tests.support.laravel import PHP, LaravelApp
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
        self.leaders: set[int] = set()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Queuepool.close ends the masters; supervisors whose master and Redis are both gone would live for ever."""
        with contextlib.suppress(QueuepoolError, OSError):
            self.leaders |= {view["pid"] for view in self.qp.processes() if view["pid"]}
        self.qp.__exit__(kind, error, tb)
        for leader in self.leaders:
            for pid in procstat.session_members(leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def view(self) -> HorizonView:
        """What Redis shows."""

        async def ask() -> HorizonView | Away:
            servers = Servers(timeout=20)
            try:
                target = RedisTarget(port=self.server.port, prefix=f"{self.app.prefix}horizon:")
                return await horizon.read(servers, target)
            finally:
                await servers.close()

        view = asyncio.run(ask())
        assert isinstance(view, HorizonView), view
        return view

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
        if self.qp.process is None:
            self.qp.up()
        pid = self.qp.running("horizon", 1)["horizon:0"]
        self.leaders.add(pid)

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
        # Horizon itself runs `sh -c "exec ps aux | grep horizon:work"` now and then: an argument of its own tells.
        return [pid for pid in procstat.session_members(leader) if b"horizon:work" in _cmdline(pid).split(b"\0")]

    def said(self, *more: Beside) -> tuple[str, ...]:
        """The judgement on what is there."""
        view, host = self.view(), os.uname().nodename
        views = [view for view in self.qp.processes("horizon") if view["state"] == "RUNNING"]
        ours = Beside("horizon", "horizon")
        if views:
            tree = procstat.session_members(leader := views[0]["pid"])
            ours = replace(
                ours, pids=frozenset(tree), orphans=frozenset(procstat.orphans(tree, leader, "horizon:work"))
            )
            ours = replace(ours, running=views[0]["uptime"], paused=views[0]["paused"])
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
    with site:
        view = site.works()
        (master,) = view.live
        assert master.pid == site.pid
        assert site.said() == ()
        listed = table(site.app.artisan("horizon:list"))
        assert listed == [[master.name, str(master.pid), "supervisor-1, fixed", master.status]]

        def ours() -> list[list[str]]:
            return sorted(
                [one.name, str(one.pid), one.status, ", ".join(f"redis:{q} ({n})" for q, n in one.processes)]
                for one in site.view().supervisors
            )

        def theirs() -> list[list[str]]:
            return sorted(row[:4] for row in table(site.app.artisan("horizon:supervisors")))

        def settled() -> bool:
            return len(site.workers(site.pid)) == site.view().processes == 4 and theirs() == ours()

        # With nothing to do, the balancing supervisor goes down to one worker a queue.
        eventually(settled, LIMIT, "both say the same", show=lambda: (ours(), theirs(), site.workers(site.pid)))


def test_the_configuration_of_the_application_leads_to_horizons_keys(site: Site) -> None:
    config = asyncio.run(probe(PHP, str(site.app.root), environment=dict(os.environ))).horizon_config
    assert config is not None
    assert config.redis is not None
    assert (config.redis.port, config.redis.prefix) == (site.server.port, f"{site.app.prefix}horizon:")
    assert {one.name for one in config.supervisors} == {"supervisor-1", "fixed"}
    assert graceful_seconds(one.timeout for one in config.supervisors) == 30 + MARGIN


def test_pause_and_continue_work_from_both_sides(site: Site) -> None:
    def status(word: str) -> Callable[[HorizonView], bool]:
        return lambda view: view.status == word and {one.status for one in view.working} == {word}

    with site:
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
    with site:
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


def test_horizon_terminate_is_followed_by_a_new_horizon_and_usr1_only_by_new_workers(site: Site) -> None:
    with site:
        site.works()
        master = site.pid
        old = set(eventually(lambda: found if len(found := site.workers(master)) == 4 else [], LIMIT, "they run"))
        site.qp("signal", "USR1", "horizon")
        eventually(
            lambda: len(found := site.workers(master)) == 4 and not old & set(found),
            LIMIT,
            "all are new",
            show=site.view,
        )
        assert site.pid == master

        site.app.artisan("horizon:terminate")
        eventually(lambda: site.qp.pids("horizon").get("horizon:0") not in (None, master), LIMIT, "it is started again")
        assert procstat.session_members(master) == []
        site.works()
        assert site.said() == ()
        assert site.qp.processes("horizon")[0]["restarts"] == 1


def test_with_fast_termination_a_stop_waits_for_the_workers_too(site: Site) -> None:
    site.app.set_env(HORIZON_FAST="1")
    with site:
        site.works()
        pid = site.pid
        site.app.dispatch("Ledger", 1, ms=4000)
        eventually(lambda: site.app.ledger().unfinished, LIMIT, "the job runs")
        site.qp("stop", "horizon", timeout=90)
        assert site.app.ledger().exactly_once, "the master was gone at once, the worker was waited for"
        assert procstat.session_members(pid) == []


def test_a_killed_master_is_said_and_replaced_without_doubled_workers(site: Site) -> None:
    with site:
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
        site.until("the old one is forgotten", lambda view: [master.pid for master in view.live] == [new])
        eventually(lambda: site.said() == (), LIMIT, "all is well", show=site.said)
        eventually(lambda: len(site.workers(new)) == site.view().processes == 4, LIMIT, "none is doubled")


def test_workers_whose_supervisor_was_killed_are_said(site: Site) -> None:
    """Horizon replaces the supervisor and forgets its workers: twice the workers, and nothing in Redis shows it."""
    with site:
        site.works()
        eventually(lambda: len(site.workers(site.pid)) == 4 == site.view().processes, LIMIT, "the workers run")
        fixed = next(one for one in site.view().supervisors if one.short == "fixed")
        assert fixed.pid is not None
        os.kill(fixed.pid, signal.SIGKILL)
        eventually(lambda: len(site.workers(site.pid)) == 6, LIMIT, "two are doubled", show=site.view)
        (said,) = site.said()
        assert said.startswith("2 processes of horizon have lost their supervisor ")
        for pid in said.partition("-TERM ")[2].partition("`")[0].split():
            os.kill(int(pid), signal.SIGTERM)
        eventually(lambda: len(site.workers(site.pid)) == 4, LIMIT, "none is doubled", show=site.said)
        assert site.said() == ()


def test_workers_of_the_same_queue_beside_it_are_said(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    more = "  beside: {connection: redis, queue: [urgent, default]}\n"
    site = Site(tmp_path, laravel_app, redis_server, more)
    with site:
        site.works()
        site.qp.running("beside", 1)
        serves = frozenset({QueueName("redis", "urgent"), QueueName("redis", "default")})
        (said,) = site.said(Beside("beside", "worker", serves, running=1.0))
        assert said.startswith("beside works on redis:default, and so does Horizon's supervisor ")


def test_a_master_that_somebody_else_started_is_said(site: Site) -> None:
    text = f"app: {site.app.root}\nprograms:\n  second: {{type: horizon}}\n"
    with site, Queuepool(site.qp.directory.parent / "other", text) as other:
        site.works()
        other.up()
        pid = other.running("second", 1)["second:0"]
        site.leaders.add(pid)
        site.until("both are announced", lambda view: any(master.pid == pid for master in view.live))
        doubled, foreign = site.said()
        assert doubled.startswith("2 masters of Horizon run on ")
        assert f"(pid {pid}) was not started by queuepool" in foreign
