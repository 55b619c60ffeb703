"""How much work is done while a release is rolled out: `python -m tests.bench.deploy`. Eight real workers of
examples/laravel take jobs of 50 ms; queuepool deploys by surge, Supervisor restarts the group as its manual says. Jobs
are counted by the ledger that they write, over the same window from the beginning of the command."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.support.daemon import Queuepool
from tests.support.redis import RedisServer
from tests.support.releases import LaravelSite
from tests.support.wait import eventually

WORKERS = 8
JOB_MS = 50
STEADY_SECONDS = 5.0
GOAL = 0.95


class Site(LaravelSite):
    """Two releases, and what was done there."""

    def ended(self, since: float, until: float) -> int:
        """Jobs that ended between two unix times."""
        lines = (self.root / "shared/storage/app/ledger.log").read_text().splitlines()
        return sum(line.startswith("end ") and since <= float(line.rsplit(" ", 1)[1]) < until for line in lines)

    def measure(self, change: Callable[[], object], window: float) -> tuple[float, float]:
        """(jobs per second before, during the window), while `change` goes on."""
        begun = time.time()
        time.sleep(STEADY_SECONDS)
        since = time.time()
        self.switch("2")
        change()
        took = time.time() - since
        time.sleep(max(0.0, window - took))
        steady = self.ended(begun, since) / (since - begun)
        return steady, self.ended(since, since + window) / window


@contextmanager
def site() -> Iterator[Site]:
    """A site with enough jobs for the whole measurement."""
    with tempfile.TemporaryDirectory(prefix="qp-bench-") as directory, RedisServer() as server:
        os.chmod(directory, 0o755)
        made = Site(Path(directory) / "site", server)
        made.make("2")
        made.app.dispatch("Ledger", 10_000, ms=JOB_MS)
        yield made


def queuepool(window: float) -> tuple[float, float]:
    """`queuepool deploy`, surge as it comes."""
    with site() as place, Queuepool(place.root, f"""
app: current
programs:
  w: {{connection: redis, numprocs: {WORKERS}, sleep: 0.1}}
deploy: {{observe: 1s}}
""") as qp:  # fmt: skip
        qp.up()
        qp.running("w", WORKERS, timeout=60)
        return place.measure(lambda: qp("deploy", timeout=120), window)


def supervisor(window: float) -> tuple[float, float]:
    """`supervisorctl restart w:*`."""
    with site() as place:
        conf, sock = place.root / "supervisord.conf", place.root / "s.sock"
        conf.write_text(f"""
[unix_http_server]
file={sock}
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={place.root}/pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{sock}
[program:w]
command=php artisan queue:work redis --sleep=0.1
directory={place.root}/current
process_name=%(program_name)s_%(process_num)02d
numprocs={WORKERS}
stopwaitsecs=3600
redirect_stderr=true
stdout_logfile=/dev/null
""")
        daemon = subprocess.Popen(
            ["supervisord", "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def control(*args: str) -> str:
            return subprocess.run(
                ["supervisorctl", "-c", str(conf), *args], capture_output=True, text=True, timeout=120
            ).stdout

        try:
            eventually(lambda: control("status").count("RUNNING") == WORKERS, 60, "supervisor's workers run")
            return place.measure(lambda: control("restart", "w:*"), window)
        finally:
            control("shutdown")
            daemon.wait(60)


def main() -> int:
    """Print the table; 1 with --check when the goal is not met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.deploy", description="Throughput during a deploy.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--window", type=float, default=10.0, help="seconds from the beginning of the command")
    parser.add_argument("--check", action="store_true", help=f"exit with 1 below {GOAL:.0%} of the steady state")
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    print("| | steady, jobs/s | during, jobs/s | share |\n|---|---|---|---|")
    shares: dict[str, list[float]] = {}
    for _ in range(options.runs):
        for name, run in (("queuepool deploy", queuepool), ("supervisorctl restart", supervisor)):
            if name.startswith("supervisor") and not shutil.which("supervisord"):
                continue
            steady, during = run(options.window)
            shares.setdefault(name, []).append(during / steady)
            print(f"| {name} | {steady:.1f} | {during:.1f} | {during / steady:.1%} |", flush=True)
    for name, found in shares.items():
        print(f"{name}: median {median(found):.1%}")
    return 1 if options.check and median(shares["queuepool deploy"]) < GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
