"""The text of /metrics, made of facts that a test decides: whatever names there are, it is read back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from queuepool.control import metrics_reference
from queuepool.control.metrics_facts import Facts, ProgramFacts
from queuepool.control.metrics_table import METRICS
from queuepool.control.metrics_text import LONGEST_LABEL, exposed
from queuepool.controller.usage import ProgramUsage
from queuepool.domain.queues import QueueView
from queuepool.domain.states import State
from queuepool.domain.tally import Cause, ProgramTally, Tally
from queuepool.domain.work import LARGEST_COUNT, What, Work
from queuepool.logs.rotating import FileStats
from tests.support.scraping import OPENMETRICS, Scrape, promtool


def program(name: str = "w", *, work: Work | None = None, **more: Any) -> ProgramFacts:
    values: dict[str, Any] = {
        "kind": "worker",
        "numprocs": 2,
        "wanted": 3,
        "states": {State.RUNNING: 2, State.BACKOFF: 1},
        "says": True,
        "busy": 1,
        "done": work.all.done if work else 0,
        "failed": work.all.failed if work else 0,
        "released": work.all.released if work else 0,
        "jobs": tuple(work.classes()) if work else (),
        "lengths": work.lengths if work else None,
        "tally": ProgramTally(ends={Cause.CRASHED: 4}),
        "usage": ProgramUsage(1.5, 1 << 20),
    }
    return ProgramFacts(name, **(values | more))


def facts(*programs: ProgramFacts, **more: Any) -> Facts:
    values: dict[str, Any] = {
        "version": "1.2.3",
        "started_at": 1000.5,
        "problems": 0,
        "queues": (QueueView("redis", "mail", "redis", 3, 2, 1, 1, 0, 4.5, 0.5, None, 0, 3, 1, 2.0),),
        "redis": {"127.0.0.1:6379": (True, 0.0004), "/run/redis.sock": (False, None)},
        "logs": (FileStats("/srv/w.log", 100, 7, 1, 2, "cannot write to it"),),
        "tally": Tally(),
        "deploying": True,
    }
    return Facts(programs=programs or (program(),), **(values | more))


def shown(facts: Facts, *, openmetrics: bool = False) -> Scrape:
    text, _ = exposed(facts, OPENMETRICS if openmetrics else "")
    return Scrape((read_openmetrics if openmetrics else read_text)(text.decode()))


def work_of(*classes: str) -> Work:
    work = Work()
    for name in classes:
        work.ended(What.DONE, name, None, 0.2, 1000.0)
    return work


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_facts_are_what_is_read(openmetrics: bool) -> None:
    work = work_of("A", "A", "B")
    work.ended(What.FAILED, "A", None, 40.0, 1000.0)
    work.ended(What.RELEASED, "A", None, None, 1000.0)
    seen = shown(facts(program(work=work)), openmetrics=openmetrics)
    assert seen("queuepool_start_time_seconds") == 1000.5
    assert seen.total("queuepool_build_info", version="1.2.3") == 1
    assert seen("queuepool_processes", program="w", state="BACKOFF") == 1
    assert seen("queuepool_processes", program="w", state="FATAL") == 0
    assert seen("queuepool_processes_wanted", program="w") == 3
    assert seen("queuepool_process_ends_total", program="w", reason="crashed") == 4
    of_a = [seen(f"queuepool_jobs_{what}_total", program="w", class_="A") for what in ("done", "failed", "released")]
    assert of_a == [2, 1, 1]
    outcomes = ("done", "failed", "released")
    assert [seen("queuepool_jobs_total", program="w", outcome=outcome) for outcome in outcomes] == [3, 1, 1]
    assert seen("queuepool_jobs_failed_total", program="w", class_="B") == 0, "a rate begins with the first failure"
    assert seen("queuepool_job_runtime_seconds_count", program="w") == 4
    assert seen("queuepool_job_runtime_seconds_bucket", program="w", le="0.25") == 3
    assert seen("queuepool_job_runtime_seconds_bucket", program="w", le="60.0") == 4
    assert seen("queuepool_cpu_seconds_total", program="w") == 1.5
    queue = {"connection": "redis", "queue": "mail", "app": ""}
    numbers = ("up", "ready_jobs", "due_jobs", "oldest_seconds")
    assert [seen(f"queuepool_queue_{what}", **queue) for what in numbers] == [1, 3, 1, 4.5]
    assert seen("queuepool_redis_up", server="/run/redis.sock") == 0
    assert seen("queuepool_redis_ping_seconds", server="/run/redis.sock") is None
    assert seen("queuepool_log_dropped_bytes_total", file="/srv/w.log") == 7
    assert seen("queuepool_log_trouble", file="/srv/w.log") == 1
    assert seen("queuepool_deploys_total", outcome="rolled_back") == 0
    assert seen("process_open_fds")


def test_jobs_are_counted_from_zero_where_a_program_tells_of_them() -> None:
    seen = shown(facts(program("w"), program("quiet", says=False)))
    assert seen("queuepool_jobs_total", program="w", outcome="failed") == 0
    assert seen.labels("queuepool_jobs_total", "program") == seen.labels("queuepool_workers_busy", "program") == {"w"}


def test_a_queue_that_cannot_be_read_has_no_numbers() -> None:
    seen = shown(facts(queues=(QueueView("redis", "mail", why="redis at x refuses connections"),)))
    queue = {"connection": "redis", "queue": "mail", "app": ""}
    assert seen("queuepool_queue_up", **queue) == 0
    assert seen("queuepool_queue_ready_jobs", **queue) is seen("queuepool_queue_oldest_seconds", **queue) is None
    empty = shown(facts(queues=(QueueView("redis", "mail", ready=0, oldest=None),)))
    assert empty("queuepool_queue_oldest_seconds", **queue) == 0


def test_a_thousand_job_classes_make_two_hundred_series_and_lose_no_job() -> None:
    names = [f"App\\Jobs\\Job{number}" for number in range(1000)]
    seen = shown(facts(program(work=work_of(*names, *names[-10:]))))
    assert len(seen.labels("queuepool_jobs_done_total", "class")) == LARGEST_COUNT + 1
    assert seen.total("queuepool_jobs_done_total") == 1010
    assert seen("queuepool_jobs_done_total", program="w", class_="other") == 1010 - LARGEST_COUNT


ANY = st.text(max_size=30) | st.text(st.sampled_from('\\"\n\r\t {},=#'), max_size=12) | st.just("\udcff é \ud800")


@settings(max_examples=50)
@given(st.lists(ANY, min_size=1, max_size=4, unique=True), ANY, ANY, st.booleans())
def test_any_name_is_escaped_and_read_back(classes: list[str], queue: str, path: str, openmetrics: bool) -> None:
    def read(text: str) -> str:
        return text.encode("utf-8", "backslashreplace").decode()

    named = [name for name in classes if name]
    work = work_of(*classes)
    queues = (QueueView(queue, queue, ready=5, app=path),)
    seen = shown(
        facts(program(work=work), queues=queues, logs=(FileStats(path, 9, 0, 0, 0, ""),)), openmetrics=openmetrics
    )
    for name in named:
        assert seen("queuepool_jobs_done_total", program="w", class_=read(name)) == 1, name
    labels = {"connection": read(queue), "queue": read(queue), "app": read(path)}
    assert seen("queuepool_queue_ready_jobs", **labels) == 5
    assert seen("queuepool_log_written_bytes_total", file=read(path)) == 9


def test_names_that_are_cut_alike_are_counted_together() -> None:
    long = "Import the customers of " + "x" * LONGEST_LABEL
    seen = shown(facts(program(work=work_of(long + "1", long + "2", long + "2"))))
    (name,) = seen.labels("queuepool_jobs_done_total", "class")
    assert (len(name), name[-1]) == (LONGEST_LABEL, "…")
    assert seen.total("queuepool_jobs_done_total") == 3


ACCEPTS = [
    ("", "text/plain; version=0.0.4"),
    ("*/*", "text/plain; version=0.0.4"),
    ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
    ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4", "application/openmetrics-text"),
    ("application/openmetrics-text; version=x", "text/plain; version=0.0.4"),
    ("text/plain;version=..", "text/plain; version=0.0.4"),
    (",;=,;;", "text/plain; version=0.0.4"),
]


@pytest.mark.parametrize(("accept", "kind"), ACCEPTS)
def test_the_form_is_one_that_the_scraper_accepts(accept: str, kind: str) -> None:
    text, content_type = exposed(facts(), accept)
    assert content_type.startswith(kind)
    assert text.endswith(b"# EOF\n") == kind.startswith("application")


def test_promtool_finds_nothing_to_say() -> None:
    tally = Tally()
    tally.came_up("w", False, 0.1)
    everything = facts(program(work=work_of('"a"\n', "é")), tally=tally)
    text, _ = exposed(everything, "")
    assert promtool("check", "metrics", text=text.decode()) == ""
    wrong = text.decode() + "# TYPE jobs_count counter\njobs_count 1\n"
    assert "jobs_count" in promtool("check", "metrics", text=wrong), "it would say so"


def test_each_metric_has_a_name_of_ours_and_a_meaning() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith("queuepool_")
        assert metric.help
        assert metric.help[0].isupper() or metric.help[0].isdigit()
        assert not metric.help.endswith(".")
        assert metric.name.endswith("_total") == (metric.type == "counter")


def test_the_reference_is_current() -> None:
    page = Path(metrics_reference.__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text() == metrics_reference.metrics(), "run `python -m queuepool.control.metrics_reference`"


def test_a_program_that_left_the_file_is_shown_while_it_drains() -> None:
    leaving = replace(program("old"), kind="", numprocs=0, wanted=0, states={State.STOPPING: 1}, says=False)
    seen = shown(facts(program(), leaving))
    assert seen("queuepool_processes", program="old", state="STOPPING") == 1
    assert seen.labels("queuepool_program_info", "program") == {"w"}
