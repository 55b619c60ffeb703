"""Checks of what runs and of the machine over facts: the variants that no real installation is broken for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.host import ClockFacts, DiskFacts, HostFacts, KillFacts, NeedFacts
from queuepool.doctor.facts.managers import SCHEDULE, OtherEntry, OtherProcess, OthersFacts
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.facts.running import BootFacts, Crashes, PlaceFacts, RunningFacts, Stuck, Survivor, UnitFacts
from queuepool.doctor.finding import Finding, Severity
from queuepool.doctor.report import report
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView
from tests.control.fake import process
from tests.domain.test_deaths import CASES

NOW = 1_000_000.0
DAEMON = DaemonView(41, "1.0", "/srv/queuepool.yml", "/run/s", "RUNNING", started_at=NOW - 500.0)
PROGRAM = ProgramFacts("w", "worker", 2, ("php", "artisan", "queue:work"), "/srv/app", logs=("/srv/w.log",))
MB, GB = 1 << 20, 1 << 30


def view(slot: int = 0, state: str = "RUNNING", **more: Any) -> ProcessView:
    return process(slot, state, "w", **more)


def running(*views: ProcessView, wanted: int = 2, **more: Any) -> RunningFacts:
    up = sum(one.state == "RUNNING" for one in views)
    program = ProgramView("w", "worker", 2, wanted, up, "numprocs")
    values: dict[str, Any] = {"daemon": DAEMON, "version": "1.0", "programs": (program,), "processes": views}
    return RunningFacts(**(values | more))


def found(running: RunningFacts | None = None, host: HostFacts | None = None, uid: int = 0) -> list[Finding]:
    facts = Facts(NOW, uid, FileFacts("/srv/queuepool.yml"), (PROGRAM,), running=running, host=host)
    return list(report(facts, CHECKS).findings)


def ids(findings: list[Finding]) -> list[str]:
    return [finding.id for finding in findings]


def of_disk(size: int, free: int) -> list[Finding]:
    return found(host=HostFacts(8 * GB, 4 * GB, disks=(DiskFacts("/srv", ("logs",), size, free),)))


def test_nothing_is_said_of_what_is_well_or_not_known() -> None:
    assert found() == []
    assert found(running(view(), view(1)), HostFacts(8 * GB, 4 * GB)) == []
    assert found(RunningFacts(unreachable="cannot reach the daemon at /run/s")) == []


@pytest.mark.parametrize(
    ("size", "free", "severity"),
    [
        (500 * GB, 11 * GB, None), (500 * GB, 9 * GB, "warning"), (20 * GB, 1100 * MB, None),
        (20 * GB, 900 * MB, "warning"),
        (8 * GB, 600 * MB, None), (8 * GB, 450 * MB, "warning"), (200 * MB, 99 * MB, None),
        (200 * MB, 12 * MB, "warning"),
        (20 * GB, 0, "error"), (0, 0, None),
    ],
)  # fmt: skip
def test_a_disk_is_judged_by_its_size(size: int, free: int, severity: str | None) -> None:
    assert [finding.severity.value for finding in of_disk(size, free)] == ([severity] if severity else [])


def test_memory_is_not_told_of_twice() -> None:
    needs = (NeedFacts("w", 100, 128 * MB, False),)
    assert ids(found(host=HostFacts(8 * GB, 4 * GB, needs=needs))) == ["host.memory"]
    assert ids(found(host=HostFacts(8 * GB, 100 * MB, needs=needs))) == ["host.memory_now"]
    assert found(host=HostFacts(32 * GB, 4 * GB, needs=needs)) == []


def test_as_many_processes_are_advised_as_there_is_memory_for() -> None:
    needs = (NeedFacts("w", 100, 100 * MB, True), NeedFacts("small", 2, 10 * MB, True))
    [finding] = found(host=HostFacts(5000 * MB, 4 * GB, needs=needs))
    assert "`numprocs:` of w to 39" in finding.remedy


def test_swapping_is_worth_knowing_and_swap_in_use_is_not() -> None:
    host = HostFacts(8 * GB, 4 * GB, swap=GB, swap_free=MB)
    assert found(host=host) == []
    [finding] = found(host=replace(host, swapping=20.0 * MB))
    assert (finding.id, finding.severity) == ("host.swap", Severity.INFO)


def test_a_kill_of_the_kernel_is_an_error_for_an_hour_and_told_for_a_day() -> None:
    def killed(ago: float) -> list[Finding]:
        kill = KillFacts("w:0", "w", 7, NOW - ago, "Killed process 7 (php)")
        return found(running(view(0, "FATAL", exit_code=-9, reason="killed (SIGKILL)"), view(1)), HostFacts(
            8 * GB, 4 * GB, kills=(kill,)))  # fmt: skip

    assert [(one.id, one.severity.value) for one in killed(60)] == [("host.oom", "error")], "it explains the death"
    assert "host.oom" in ids(killed(7200))
    assert ids(killed(90_000)) == ["processes.killed"]


def test_a_clock_that_was_set_is_told_with_its_way() -> None:
    [finding] = found(host=HostFacts(8 * GB, GB, clock=ClockFacts(-3600.0, ("w:0",), synced=False)))
    assert finding.id == "host.clock"
    assert "backwards by 3600 s" in finding.what
    assert any("not synchronized" in line for line in finding.evidence)
    assert found(host=HostFacts(8 * GB, GB, clock=ClockFacts(2.0, ("w:0",), synced=False))) == []


def test_processes_that_wait_for_another_program_are_missing_after_a_minute() -> None:
    def waiting(ago: float) -> list[Finding]:
        reason = "waiting for db"
        return found(running(view(0, "STOPPED", reason=reason, changed_at=NOW - ago), view(1)))

    assert waiting(10) == []
    [finding] = waiting(100)
    assert (finding.id, finding.what) == ("processes.missing", "only 1 of 2 run")


def test_a_dead_process_is_not_missing_as_well() -> None:
    dead = view(0, "FATAL", exit_code=7, reason="exit 7")
    late = view(1, "STARTING", changed_at=NOW - 100, uptime=100.0)
    assert ids(found(running(dead, late))) == ["processes.failing"]


def test_a_process_that_the_kernel_holds_is_told_of_after_its_kill() -> None:
    stuck = Stuck("w:0", "w", 7, "D", 30.0, 60.0)
    assert found(running(view(1), stuck=(stuck,), wanted=1)) == []
    [finding] = found(running(view(1), stuck=(replace(stuck, seconds=80.0),), wanted=1))
    assert (finding.id, finding.severity) == ("processes.drain", Severity.ERROR)
    assert "state D" in finding.evidence[0]


def test_a_log_that_cannot_be_written_is_told_once_and_with_its_programs() -> None:
    daemon = replace(DAEMON, problems=("cannot write /srv/w.log: No space left on device",))
    [finding] = found(running(view(), view(1), daemon=daemon))
    assert (finding.id, finding.programs) == ("processes.log", ("w",))


def test_a_worker_that_waits_for_redis_names_it() -> None:
    down = view(0, "BACKOFF", reason="waiting for redis at 127.0.0.1:6379 (exit 1)", exit_code=1)
    [finding] = found(running(down, view(1)))
    assert (finding.id, finding.remedy) == ("processes.redis", "queuepool redis")
    assert "127.0.0.1:6379" in finding.what


def test_a_worker_at_its_memory_limit_after_each_job_is_told_of_also_while_it_runs() -> None:
    crashes = Crashes("w:0", "w", 30, 500.0, 12, recycled=True, reason="worker above its --memory limit")
    [finding] = found(running(view(), view(1), crashes=(crashes,)))
    assert (finding.id, "`memory:` of w" in finding.remedy) == ("processes.crashing", True)
    assert found(running(view(), view(1), crashes=(replace(crashes, count=5),))) == []


def test_a_release_that_is_being_rolled_out_is_not_stale() -> None:
    old = view(0, stale=True, release="/srv/releases/1")
    assert ids(found(running(old, view(1)))) == ["processes.stale"]
    assert found(running(old, view(1), deploying=True)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[4][:20]}")
@pytest.mark.parametrize("state", ["BACKOFF", "FATAL", "EXITED"])
def test_each_cause_of_a_death_has_one_check(state: str, case: tuple[str, int | None, str, str, str, str]) -> None:
    _, code, text, what, remedy, _ = case
    reason, lines = (text[1:], ()) if text.startswith("=") else (f"exit {code}", tuple(text.split("\n")))
    dead = view(0, state, exit_code=code, reason=reason, last_lines=lines, log="/srv/w.log")
    findings = found(running(dead, view(1)))
    if state == "EXITED" and code == 0:
        assert findings == []
        return
    [finding] = findings
    assert finding.id.startswith("processes.")
    assert what.replace("mail", "w") in finding.what
    assert remedy.replace("mail", "w") in finding.remedy
    assert finding.evidence[-1] == "its log: /srv/w.log"
    assert found(running(replace(dead, wanted=False), view(1), wanted=1)) == [], "it is not to run"


PLACE = PlaceFacts("/run/q", "/run/q/control.sock", 0o700, 0, 0o600, 0)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (RunningFacts(place=PLACE, unreachable="cannot reach"), ["daemon.stale_socket"]),
        (RunningFacts(place=PLACE, survivors=(Survivor("w:0", 7),)), ["daemon.killed"]),
        (RunningFacts(place=replace(PLACE, socket_mode=None), pid=7, unreachable="no answer"), ["daemon.hangs"]),
        (RunningFacts(place=replace(PLACE, denied=True), pid=7), ["daemon.socket"]),
        (RunningFacts(place=replace(PLACE, socket_mode=None, lost=9)), ["daemon.lost"]),
        (RunningFacts(place=replace(PLACE, socket_mode=None, foreign="joe")), ["daemon.socket"]),
        (running(view(), view(1), place=replace(PLACE, directory_uid=1000)), ["daemon.socket"]),
        (running(view(), view(1), version="1.1"), ["daemon.version"]),
    ],
)
def test_each_trouble_of_the_daemon_is_one_finding(facts: RunningFacts, expected: list[str]) -> None:
    assert ids(found(facts)) == expected


UNIT = UnitFacts("queuepool-app.service", "/etc/systemd/system/queuepool-app.service", "system", True, "active")


@pytest.mark.parametrize(
    ("boot", "expected"),
    [
        (BootFacts(systemd=False, detached=True), []),
        (BootFacts(systemd=True, detached=True), ["daemon.unit"]),
        (BootFacts(systemd=True, detached=False), []),
        (BootFacts(systemd=True, detached=True, container=True), []),
        (BootFacts(systemd=True, detached=True, unit="our-own.service"), []),
        (BootFacts(systemd=True, units=(UNIT,), detached=True), []),
        (BootFacts(systemd=True, units=(replace(UNIT, enabled=False),)), ["daemon.unit"]),
        (BootFacts(systemd=True, units=(replace(UNIT, state="failed", result="signal"),)), ["daemon.unit"]),
    ],
)
def test_a_start_at_boot_is_asked_for_where_systemd_is_and_a_daemon_was_left_running(
    boot: BootFacts, expected: list[str]
) -> None:
    assert ids(found(running(view(), view(1), boot=boot))) == expected


def test_a_daemon_with_a_unit_is_started_by_it() -> None:
    facts = RunningFacts(survivors=(Survivor("w:0", 7),), boot=BootFacts(systemd=True, units=(UNIT,)))
    [finding] = found(facts)
    assert finding.remedy == "systemctl restart queuepool-app.service"


OTHERS = OthersFacts("/srv/app", ("w",))


def entry(manager: str, **more: Any) -> OtherEntry:
    values: dict[str, Any] = {"what": "work", "where": "/etc/x:3", "name": "x", "command": "php artisan horizon"}
    return OtherEntry(manager, **(values | more))


def other(manager: str, **more: Any) -> OtherProcess:
    return OtherProcess(7, "work", "php artisan queue:work", manager, **more)


@pytest.mark.parametrize(
    ("others", "expected", "remedy"),
    [
        (replace(OTHERS, processes=(other("hand", user="joe"),)), ["managers.by_hand"], "kill -TERM 7"),
        (replace(OTHERS, processes=(other("init"),)), ["managers.orphans"], "kill -TERM 7"),
        (replace(OTHERS, processes=(other("queuepool", config="/a b.yml"),)), ["managers.second_daemon"],
         "queuepool -c '/a b.yml' down"),
        (replace(OTHERS, processes=(other("queuepool", by_pid=9),)), ["managers.second_daemon"], "kill -TERM 9"),
        (replace(OTHERS, entries=(entry("supervisord", active=True),)), ["managers.supervisord"],
         "supervisorctl stop 'x:*'; remove [program:x] from /etc/x"),
        (replace(OTHERS, processes=(other("supervisord", by="supervisord (pid 5)"),)), ["managers.supervisord"],
         "supervisord (pid 5)"),
        (replace(OTHERS, entries=(entry("systemd", name="x.service", active=True),)), ["managers.systemd"],
         "systemctl disable --now x.service"),
        (replace(OTHERS, entries=(entry("systemd", name="x.service", active=False),)), [], ""),
        (replace(OTHERS, entries=(entry("cron"),)), ["managers.cron"], "remove the line /etc/x:3"),
        (replace(OTHERS, entries=(entry("cron", what=SCHEDULE),)), [], ""),
        (replace(OTHERS, schedules=("s",), entries=(entry("cron", what=SCHEDULE),)), ["managers.cron"], "/etc/x:3"),
    ],
)  # fmt: skip
def test_each_other_manager_is_one_finding_with_its_remedy(
    others: OthersFacts, expected: list[str], remedy: str
) -> None:
    findings = found(running(view(), view(1), others=(others,)))
    assert ids(findings) == expected
    assert all(remedy in finding.remedy for finding in findings)


def test_a_mild_finding_hides_no_bad_one() -> None:
    dead = view(0, "FATAL", exit_code=-9, reason="killed")
    kill = KillFacts("w:0", "w", 7, NOW - 7200, "Killed process 7 (php)")
    assert ids(found(running(dead, view(1)), HostFacts(8 * GB, GB, kills=(kill,)))) == ["processes.killed", "host.oom"]
