"""The table tells medians, ratios and whether goals are met; here without measuring anything."""

from __future__ import annotations

from tests.bench import table


def test_a_goal_is_judged_by_the_median() -> None:
    found = table.medians({"s1.500": {"queuepool": [9000, 500, 550], "supervisor": [3000, 3400, 3500]}})
    assert found["s1.500"] == {"queuepool": 550, "supervisor": 3400}
    assert table.failed(found) == []
    assert table.failed({"s1.500": {"queuepool": 601.0}}) == ["s1.500"]


def test_of_lost_lines_and_of_workers_in_service_the_worst_run_counts() -> None:
    found = table.medians({"s8.lost": {"queuepool": [0, 3, 0]}, "s7.least": {"queuepool": [50, 49, 50]}})
    assert table.failed(found) == ["s7.least", "s8.lost"]


def test_a_goal_relative_to_a_peer_is_not_judged_without_it() -> None:
    assert table.failed({"s4.1": {"queuepool": 100.0}, "s4.1.cpu": {"queuepool": 9.0}}) == []
    assert table.failed({"s4.1": {"queuepool": 100.0, "runit": 150.0}}) == ["s4.1"]
    assert table.failed({"s4.1.cpu": {"queuepool": 0.8, "supervisor": 1.5}}) == ["s4.1.cpu"]
    assert table.failed({"s4.1": {"queuepool": 100.0, "limit": 900.0, "runit": 90.0}}) == [], "the limit is no peer"


def test_the_table_shows_how_many_times_better_than_supervisor_and_the_best() -> None:
    found = {"s1.500": {"queuepool": 500.0, "supervisor": 3500.0, "runit": 1000.0, "limit": 125.0}}
    [_, _, row] = table.render(found, ["queuepool", "supervisor", "runit"]).split("\n")
    assert row.split()[-7:] == ["500", "ok", "3500", "1000", "125", "7.0x", "2.0x"]
    faster = {"s4.1": {"queuepool": 900.0, "supervisor": 300.0}}
    assert table.render(faster, ["queuepool", "supervisor"]).split()[-2:] == ["3.0x", "3.0x"]


def test_markdown_has_a_row_for_each_metric_that_was_measured() -> None:
    rows = table.render({"s6.scale": {"queuepool": 100.0}}, ["queuepool"], markdown=True).split("\n")
    assert len(rows) == 3
    assert rows[2].startswith("| s6 10 -> 100 at runtime | ms | <= 150 | 100 | ok |")
