"""What pumping logs costs, beside Supervisor in the same run: `python tests/bench/logs.py [--quick] [--rounds N]`.

Writers are a small static C program that prints numbered 200-byte lines; afterwards every line is looked for. The two
programs take turns, and the medians are shown, since a shared machine changes its pace within seconds. The pump runs in
a bare asyncio program of its own, so its figures are those of the pump alone. `--reading` measures instead what it
costs to read from the lines what workers do with which job (engines/board.py)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

LINE = 200
SUPERVISORD = "/usr/bin/supervisord"
MEMORY = "/dev/shm"
"""Where the logs are written: on a disk its file system and its other users decide. TMPDIR is not asked."""
TICKS = os.sysconf("SC_CLK_TCK")

WRITER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+t.tv_nsec/1e9;}
/* write ID LINES LINES_PER_WRITE PAUSE_US STAMP_FILE [jobs] */
static void job(char*p,long id,long k){
  char h[120],*t=k%2?" 12.34ms 22MB DONE":" RUNNING";
  int l=sprintf(h,"  2026-01-31 10:00:00 App\\Jobs\\SendMail %08ld%024ld redis default ",id,k/2);
  memset(p,'.',199);memcpy(p,h,l);memcpy(p+199-strlen(t),t,strlen(t));p[199]='\n';}
static int put(char**v){
  long id=atol(v[2]),n=atol(v[3]),per=atol(v[4]),us=atol(v[5]);char*b=malloc(per*200);double start=now();
  for(long k=0;k<n;){long m=per<n-k?per:n-k;char*p=b;
    for(long i=0;i<m;i++,p+=200){
      if(v[7]){job(p,id,k+i);continue;}
      char h[40];int l=sprintf(h,"%04ld %012ld ",id,k+i);memset(p,'x',199);memcpy(p,h,l);p[199]='\n';}
    for(char*q=b;q<p;){ssize_t r=write(1,q,p-q);if(r<0)return 1;q+=r;}
    k+=m;if(us)usleep(us);}
  FILE*f=fopen(v[6],"w");if(!f)return 2;fprintf(f,"%.6f %.6f\n",start,now());return fclose(f);}
/* check WRITERS LINES FILE...: lost, torn and double lines */
static int check(int c,char**v){
  long w=atol(v[2]),n=atol(v[3]),lost=0,torn=0,twice=0;char*seen=calloc(w,n),*line=0;size_t room=0;
  for(int i=4;i<c;i++){FILE*f=fopen(v[i],"r");if(!f)return 2;ssize_t l;
    while((l=getline(&line,&room,f))>0){long id,k;
      if(l!=200||line[199]!='\n'||sscanf(line,"%4ld %12ld ",&id,&k)!=2||id>=w||k>=n||strspn(line+18,"x")!=181){
        torn++;continue;}
      if(seen[id*n+k]++)twice++;}
    fclose(f);}
  for(long i=0;i<w*n;i++)lost+=!seen[i];
  printf("%ld %ld %ld\n",lost,torn,twice);return 0;}
int main(int c,char**v){return v[1][0]=='w'?put(v):check(c,v);}
"""


@dataclass(frozen=True)
class Scenario:
    """What the writers do. lines: of each. pause_us: after each write. maxbytes: at which the logs are rotated. jobs:
    every line tells of a job."""

    name: str
    writers: int
    lines: int
    per_write: int = 1
    pause_us: int = 0
    shared: bool = False
    jobs: bool = False
    maxbytes: int = 0
    backups: int = 300

    @property
    def bytes(self) -> int:
        return self.writers * self.lines * LINE


@dataclass(frozen=True)
class Figures:
    """What was measured. cpu_seconds: of the pumping process alone. lost, torn, twice: lines."""

    seconds: float
    cpu_seconds: float
    megabytes_per_second: float
    cpu_per_gigabyte: float
    cpu_us_per_line: float
    lost: int
    torn: int
    twice: int


def scenarios(quick: bool) -> list[Scenario]:
    """Those of the goals. A worker writes each line by itself; with 20 at once a writer is faster than most disks."""
    scale = 1 if quick else 4
    return [
        Scenario("1 writer, a line per write", 1, 750_000 * scale),
        Scenario("1 writer, 20 lines per write", 1, 1_500_000 * scale, per_write=20),
        Scenario("8 writers, a line per write", 8, 150_000 * scale),
        Scenario("8 writers, 20 lines per write", 8, 250_000 * scale, per_write=20),
        Scenario("100 quiet writers, 100 lines/s each", 100, 200 * scale, pause_us=10_000),
        Scenario("16 writers, one file, rotated at 10 MB", 16, 40_000 * scale, shared=True, maxbytes=10_000_000),
    ]


def read_scenarios(quick: bool) -> list[Scenario]:
    """What reading the output of workers costs: ordinary lines, and lines of which each tells of a job."""
    scale = 1 if quick else 4
    return [
        Scenario("1 writer, a line per write", 1, 750_000 * scale),
        Scenario("1 writer, 20 lines per write", 1, 1_500_000 * scale, per_write=20),
        Scenario("8 writers, a line per write", 8, 150_000 * scale),
        Scenario("8 writers, 20 lines per write", 8, 250_000 * scale, per_write=20),
        Scenario("100 quiet writers, 100 lines/s each", 100, 200 * scale, pause_us=10_000),
        Scenario("1 writer, jobs as fast as can be", 1, 100_000 * scale, jobs=True),
        Scenario("8 writers, 2000 job lines/s each", 8, 2_000 * scale, pause_us=500, jobs=True),
        Scenario("100 writers, 20 job lines/s each", 100, 40 * scale, pause_us=50_000, jobs=True),
    ]


def build_writer(directory: str) -> str:
    """Compile the writer and checker; its path."""
    source, program = os.path.join(directory, "writer.c"), os.path.join(directory, "writer")
    Path(source).write_text(WRITER)
    subprocess.run(["cc", "-O2", "-static", "-w", "-o", program, source], check=True)
    return program


def measure_queuepool(
    scenario: Scenario, writer: str, *, splice: bool | None = None, decorate: bool = False, form: str | None = None
) -> Figures:
    """Run the pump in a program of its own. decorate: with time and slot before each line (then no line is checked).
    form: also read what the lines tell, of workers that are known to use this form; "" for none that is known."""
    with _directory() as home:
        order = {"scenario": asdict(scenario), "writer": writer, "home": home, "splice": splice, "decorate": decorate}
        order["form"] = form
        done = subprocess.run(
            [sys.executable, __file__, "--pump", json.dumps(order)], check=True, stdout=subprocess.PIPE, text=True
        )
        cpu = json.loads(done.stdout)["cpu"]
        return _figures(scenario, writer, home, cpu, counted=not decorate and not scenario.jobs)


def measure_supervisor(scenario: Scenario, writer: str, supervisord: str = SUPERVISORD) -> Figures:
    """The same writers under supervisord, which is told to end when they have."""
    with _directory() as home:
        conf = os.path.join(home, "supervisord.conf")
        Path(conf).write_text(_conf(scenario, writer, home))
        process = subprocess.Popen(
            [supervisord, "-n", "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home
        )
        try:
            before = _first_stamp(home, process)
            _await_writers(scenario, home)
            _await_still(home)
            cpu = _cpu_of(process.pid) - before
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
        return _figures(scenario, writer, home, cpu)


def compare(scenario: Scenario, writer: str, rounds: int) -> dict[str, list[Figures]]:
    """Both in turn, `rounds` times."""
    found: dict[str, list[Figures]] = {"queuepool": [], "supervisor": []}
    for _ in range(rounds):
        found["queuepool"].append(measure_queuepool(scenario, writer))
        if os.path.exists(SUPERVISORD):
            found["supervisor"].append(measure_supervisor(scenario, writer))
    return found


def compare_reading(scenario: Scenario, writer: str, rounds: int) -> dict[str, list[Figures]]:
    """Only copying, and reading as well: as a worker whose lines are known by now, and as one that has said nothing."""
    found: dict[str, list[Figures]] = {"copying": [], "reading": [], "reading, form unknown": []}
    for _ in range(rounds):
        found["copying"].append(measure_queuepool(scenario, writer))
        found["reading"].append(measure_queuepool(scenario, writer, form="dots"))
        if not scenario.jobs:
            found["reading, form unknown"].append(measure_queuepool(scenario, writer, form=""))
    return found


def _command(scenario: Scenario, writer: str, home: str, number: int) -> list[str]:
    numbers = (number, scenario.lines, scenario.per_write, scenario.pause_us)
    return [writer, "write", *map(str, numbers), f"{home}/stamp.{number}", *(["jobs"] if scenario.jobs else [])]


def _log(scenario: Scenario, home: str, number: int) -> str:
    return f"{home}/logs/{'all' if scenario.shared else number}.log"


def _conf(scenario: Scenario, writer: str, home: str) -> str:
    text = f"[supervisord]\nlogfile={home}/supervisord.log\npidfile={home}/supervisord.pid\nminfds=2048\n"
    for number in range(scenario.writers):
        text += (
            f"[program:w{number}]\ncommand={' '.join(_command(scenario, writer, home, number))}\n"
            f"autorestart=false\nstartsecs=0\nredirect_stderr=true\nstdout_logfile={_log(scenario, home, number)}\n"
            f"stdout_logfile_maxbytes={scenario.maxbytes}\nstdout_logfile_backups={scenario.backups}\n"
        )
    return text


@contextlib.contextmanager
def _directory() -> Iterator[str]:
    home = tempfile.mkdtemp(prefix="queuepool-bench-", dir=MEMORY if os.path.isdir(MEMORY) else None)
    os.mkdir(f"{home}/logs")
    try:
        yield home
    finally:
        shutil.rmtree(home)


def _first_stamp(home: str, process: subprocess.Popen[bytes]) -> float:
    """The CPU time that supervisord took before its children started: it is not what is measured here."""
    deadline = time.monotonic() + 30
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text().split() and not glob.glob(f"{home}/stamp.*"):
        if time.monotonic() > deadline:
            raise TimeoutError("supervisord started nothing")
        time.sleep(0.005)
    return _cpu_of(process.pid)


def _await_writers(scenario: Scenario, home: str) -> None:
    deadline = time.monotonic() + 600
    while len([p for p in glob.glob(f"{home}/stamp.*") if os.path.getsize(p)]) < scenario.writers:
        if time.monotonic() > deadline:
            raise TimeoutError("the writers did not end")
        time.sleep(0.02)


def _await_still(home: str) -> None:
    sizes, since = -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        now = sum(os.path.getsize(p) for p in glob.glob(f"{home}/logs/*") if os.path.exists(p))
        if now != sizes:
            sizes, since = now, time.monotonic()
        time.sleep(0.05)


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _figures(scenario: Scenario, writer: str, home: str, cpu: float, counted: bool = True) -> Figures:
    stamps = [tuple(map(float, Path(p).read_text().split())) for p in glob.glob(f"{home}/stamp.*")]
    seconds = max(end for _, end in stamps) - min(start for start, _ in stamps)
    lost = torn = twice = 0
    if counted:
        command = [writer, "check", str(scenario.writers), str(scenario.lines), *sorted(glob.glob(f"{home}/logs/*"))]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lost, torn, twice = map(int, answer.split())
    return Figures(
        seconds=seconds,
        cpu_seconds=cpu,
        megabytes_per_second=scenario.bytes / 1e6 / seconds,
        cpu_per_gigabyte=cpu / (scenario.bytes / 1e9),
        cpu_us_per_line=cpu * 1e6 / (scenario.writers * scenario.lines),
        lost=lost,
        torn=torn,
        twice=twice,
    )


@dataclass
class _Pumped:
    """One run of the pump, in the program that `--pump` starts."""

    scenario: Scenario
    writer: str
    home: str
    splice: bool | None
    decorate: bool
    form: str | None = None
    fds: list[int] = field(default_factory=list)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(_command(self.scenario, self.writer, self.home, number), stdout=self.fds[number])

    def _hear(self, number: int) -> Callable[[bytes], None] | None:
        from queuepool.domain.pool import PoolSpec
        from queuepool.domain.work import Work
        from queuepool.engines.board import Board, Desk

        if self.form is None:
            return None
        pool = PoolSpec("w", "worker", 1, lambda slot: NotImplemented, says=True, verbose=True)
        return Desk(Board(f"{self.home}/jobs"), number + 1, number, pool, Work(), self.form).hear

    async def run(self) -> float:
        from queuepool.domain.pool import LogPolicy
        from queuepool.logs.pump import Pump

        scenario, loop = self.scenario, asyncio.get_running_loop()
        pump = Pump(lambda trouble: print(trouble, file=sys.stderr), splice=self.splice, spool_directory=self.home)
        for number in range(scenario.writers):
            fifo = f"{self.home}/fifo.{number}"
            os.mkfifo(fifo)
            self.fds.append(os.open(fifo, os.O_RDWR))
            policy = LogPolicy(
                _log(scenario, self.home, number),
                maxbytes=scenario.maxbytes,
                backups=scenario.backups,
                timestamp=self.decorate,
                slot=self.decorate,
            )
            pump.attach(number, f"w:{number}", self.fds[number], policy, hear=self._hear(number))
        writers = [self._start(number) for number in range(scenario.writers)]
        began = time.process_time()
        for number, writer in enumerate(writers):
            ended, pidfd = loop.create_future(), os.pidfd_open(writer.pid)
            loop.add_reader(pidfd, ended.set_result, None)
            await ended
            loop.remove_reader(pidfd)
            os.close(pidfd)
            writer.wait()
            pump.detach(number)
        spent = time.process_time() - began
        pump.close()
        return spent


def _table(found: dict[str, dict[str, list[Figures]]]) -> Iterator[str]:
    yield f"{'':46}{'MB/s':>8}{'CPU s/GB':>10}{'us/line':>9}{'lost':>9}{'torn':>7}{'twice':>7}"
    for name, by_program in found.items():
        yield name
        medians = {}
        for program, runs in by_program.items():
            if not runs:
                continue
            m = medians[program] = {
                key: statistics.median(getattr(run, key) for run in runs) for key in Figures.__dataclass_fields__
            }
            worst = {key: max(getattr(run, key) for run in runs) for key in ("lost", "torn", "twice")}
            yield (
                f"    {program:42}{m['megabytes_per_second']:8.0f}{m['cpu_per_gigabyte']:10.2f}"
                f"{m['cpu_us_per_line']:9.2f}{worst['lost']:9d}{worst['torn']:7d}{worst['twice']:7d}"
            )
        if "supervisor" in medians:
            ours, theirs = medians["queuepool"], medians["supervisor"]
            ratios = [ours[key] / (theirs[key] or 1e-9) for key in ("megabytes_per_second", "cpu_per_gigabyte")]
            yield f"    {'ratio':42}{ratios[0]:8.2f}{ratios[1]:10.2f}{ratios[1]:9.3f}"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the lines")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reading", action="store_true", help="instead: what reading jobs from the lines costs")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--pump", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.pump:
        order = json.loads(asked.pump)
        order["scenario"] = Scenario(**order["scenario"])
        print(json.dumps({"cpu": asyncio.run(_Pumped(**order).run())}))
        return
    with tempfile.TemporaryDirectory() as directory:
        writer = build_writer(directory)
        if asked.reading:
            found = {e.name: compare_reading(e, writer, asked.rounds) for e in read_scenarios(asked.quick)}
        else:
            found = {each.name: compare(each, writer, asked.rounds) for each in scenarios(asked.quick)}
    if asked.json:
        print(
            json.dumps({name: {p: [asdict(r) for r in runs] for p, runs in by.items()} for name, by in found.items()})
        )
    else:
        print("\n".join(_table(found)))


if __name__ == "__main__":
    main()
