"""What the tables look like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.cli import render
from queuepool.cli.status import as_it_should_be
from queuepool.domain.observed import ProgramView, Snapshot
from queuepool.domain.states import State
from tests.control.fake import process, snapshot


def shown(what: Snapshot, **options: Any) -> list[str]:
    return [click.unstyle(line) for line in render.status(what.to_json(), **options)]


def test_a_running_pool_reads_as_supervisors_status_does_under_a_line_for_the_program() -> None:
    assert shown(snapshot(process(0, uptime=12.7), process(1, uptime=90_061.0))) == [
        "laravel-worker  2 of 2 running",
        "  laravel-worker:laravel-worker_00   RUNNING   pid 100, uptime 0:00:12",
        "  laravel-worker:laravel-worker_01   RUNNING   pid 101, uptime 1 day, 1:01:01",
    ]


def test_every_process_that_is_not_fine_says_why() -> None:
    views = (
        process(0),
        process(1, "BACKOFF", reason="exit code 1; next try in 3 s"),
        process(2, "FATAL", reason="127: cannot execute php"),
        process(3, "STOPPING", reason="finishing its job", job={"class": "App\\Jobs\\SendMail"}),
        process(4, "STOPPED", reason="stopped by an operator", wanted=False),
    )
    lines = [line for line in shown(snapshot(*views)) if not line.startswith("      ")]
    assert lines[0] == "laravel-worker  1 of 4 running  (the file says 5)"
    assert lines[2].endswith("BACKOFF   exit code 1; next try in 3 s")
    assert lines[3].endswith("FATAL     127: cannot execute php")
    assert lines[4].endswith(r"STOPPING  pid 103, uptime 0:00:12, running App\Jobs\SendMail, finishing its job")
    assert lines[5].endswith("STOPPED   stopped by an operator")


def test_those_that_wait_for_one_that_failed_alike_are_told_nothing_else() -> None:
    why = "cannot find the command /usr/bin/php9: there is no such file (check `php:` in the file)"
    views = (process(0, "BACKOFF", reason=why), process(1, "BACKOFF", reason=f"{why}; waits for w:0 to succeed"))
    assert [line for line in shown(snapshot(*views)) if line.startswith("      ")] == []


def test_a_program_that_is_to_stop_is_not_stopped_while_a_job_goes_on() -> None:
    views = (process(0, "STOPPING", wanted=False), process(1, "STOPPING", wanted=False), process(2, "STOPPED"))
    what = snapshot(*views)
    what = replace(what, programs=(replace(what.programs[0], running=0, wanted=0),))
    assert shown(what)[0].startswith("laravel-worker  2 still stopping  (the file says")
    what = replace(what, processes=what.processes[2:])
    assert shown(what)[0].startswith("laravel-worker  stopped  (the file says")


def test_a_process_that_cannot_run_says_why_and_what_to_type_once_for_all_that_fail_alike() -> None:
    said = {"reason": "exit 1: Could not open input file: artisan", "exit_code": 1}
    views = (
        process(0, "BACKOFF", **said),
        process(1, "FATAL", **said),
        process(2, "FATAL", exit_code=7, reason="exit 7"),
        process(3, "FATAL", reason="cannot enter the directory /x: it does not exist (check `directory:`)"),
        process(4, "FATAL", **said, wanted=False),
    )
    assert [line for line in shown(snapshot(*views)) if line.startswith("      ")] == [
        "      why: there is no artisan in the directory where it starts",
        "      try: set `app:` or `directory:` to where artisan is",
        "      try: queuepool logs laravel-worker",
    ]


def test_a_scaled_pool_says_what_the_file_says() -> None:
    program = ProgramView("mail", "worker", numprocs=4, wanted=6, running=6, reason="scaled by an operator")
    (line, *_) = shown(snapshot(process(0, program="mail"), programs=(program,)))
    assert line == "mail  6 of 6 running  (the file says 4; scaled by an operator)"


@pytest.mark.parametrize("mark", ["stale", "adopted", "paused", "retiring"])
def test_what_is_special_about_a_process_is_marked(mark: str) -> None:
    assert shown(snapshot(process(0, **{mark: True})))[1].endswith(f"  [{mark}]")


def test_problems_of_programs_and_of_the_file_are_shown() -> None:
    program = ProgramView("mail", "worker", 1, 1, 1, "numprocs", problems=("its log cannot be written",))
    lines = shown(snapshot(process(0, program="mail"), programs=(program,), problems=("a.yml:3: x: unknown key",)))
    assert "  ! its log cannot be written" in lines
    assert lines[-1] == "! a.yml:3: x: unknown key"


def test_a_daemon_that_stops_says_so() -> None:
    what = snapshot(process(0))
    assert shown(replace(what, daemon=replace(what.daemon, state="STOPPING")))[-1] == "the daemon (pid 41) is stopping"


def test_details_are_the_exit_code_the_log_and_the_last_lines_of_what_failed() -> None:
    failed = process(1, "FATAL", exit_code=255, log="/srv/app/w.log", last_lines=("PHP Fatal error", "\x1b[2Jx"))
    lines = shown(snapshot(process(0, last_lines=("fine",)), failed), details=True)
    assert lines[3:] == [
        "      why: PHP ends with a fatal error",
        "      try: queuepool logs laravel-worker",
        "      exit code 255",
        "      log /srv/app/w.log",
        "      | PHP Fatal error",
        "      | \\x1b[2Jx",
    ]
    assert not any("fine" in line for line in lines)


def test_verbose_adds_memory_cpu_restarts_and_release() -> None:
    view = process(0, rss=41_000_000, cpu=0.305, restarts=2, release="/srv/app/releases/7")
    assert shown(snapshot(view), verbose=True)[1].endswith(
        "pid 100, uptime 0:00:12, 2 restarts, 41 MB, 30% cpu, release /srv/app/releases/7"
    )


@pytest.mark.parametrize(
    ("state", "wanted", "fine"),
    [
        ("RUNNING", True, True), ("STARTING", True, True), ("STOPPING", True, True), ("BACKOFF", True, False),
        ("FATAL", True, False), ("EXITED", True, False), ("STOPPED", True, False), ("STOPPED", False, True),
        ("FATAL", False, True), ("EXITED", False, True),
    ],
)  # fmt: skip
def test_status_is_well_when_what_should_run_does(state: str, wanted: bool, fine: bool) -> None:
    view = process(0, state, wanted=wanted)
    assert as_it_should_be(snapshot(view).to_json()) is fine
    assert as_it_should_be(snapshot(replace(view, retiring=True)).to_json()) is True


def test_status_is_not_well_with_a_problem_of_the_file_unless_it_was_asked_about_others() -> None:
    what = snapshot(process(0), problems=("a bad include",)).to_json()
    assert not as_it_should_be(what)
    assert as_it_should_be(what, named=True)


def test_every_state_there_is_has_a_colour() -> None:
    assert set(render.COLORS) == {state.name for state in State}
    assert {state.name for state in State if not state.has_process} == render.DOWN


@given(st.text())
def test_clean_text_has_nothing_that_acts_on_a_terminal_and_can_be_encoded(text: str) -> None:
    cleaned = render.clean(text)
    cleaned.encode("utf-8")
    assert cleaned.replace("\t", "").replace("\u00a0", "").isprintable()
    assert text not in (cleaned,) or text.replace("\t", "").replace("\u00a0", "").isprintable()


@given(st.binary())
def test_a_workers_line_keeps_its_colours_and_cannot_do_anything_else(line: bytes) -> None:
    shown = click.unstyle(render.worker_line("w:1", "w", b"\x1b[31m" + line.replace(b"\n", b""), 5))
    assert shown.startswith("w:1   | ")
    assert "\x1b[2J" not in shown
    assert not set(shown[8:]) & {chr(code) for code in range(32)} - {"\t", "\n", "\x1b"}


def test_a_workers_line_has_the_name_before_it() -> None:
    line = render.worker_line("laravel-worker:3", "laravel-worker", b"Processing\r\n", 18)
    assert click.unstyle(line) == "laravel-worker:3   | Processing"
    assert line != click.unstyle(line)


def test_the_line_about_waiting_names_the_job() -> None:
    views = [
        process(3, "STOPPING", job={"class": "App\\Jobs\\Long"}),
        process(4, "STOPPING"),
    ]
    items = snapshot(*views).to_json()["processes"]
    assert render.waiting_for(items) == (
        r"waiting for laravel-worker:laravel-worker_03 (STOPPING: running App\Jobs\Long) and 1 more"
    )


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (41e6, "41 MB"), (1.25e9, "1.2 GB")])
def test_sizes_are_for_people(count: float, text: str) -> None:
    assert render.size(count) == text
