"""The dashboard and the alerts that come with queuepool: they ask for metrics that there are, and the alerts ring when
they should."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from queuepool.control.metrics_table import METRICS
from tests.support.scraping import promtool

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "docs" / "monitoring" / "queuepool-dashboard.json").read_text())
HOWTO = (ROOT / "docs" / "howto" / "metrics.md").read_text()
OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
THERE_ARE = {metric.name for metric in METRICS if metric.type != "histogram"} | {
    metric.name + ending for metric in METRICS if metric.type == "histogram" for ending in OF_A_HISTOGRAM
}


def named(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"queuepool_\w+", text))


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> list[str]:
    """What the panels ask for, with Grafana's variables filled in."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one]
    return [expr.replace("$__rate_interval", "5m").replace("$", "") for expr in found]


@pytest.mark.parametrize(
    "text", [json.dumps(DASHBOARD), ALERTS.read_text(), HOWTO], ids=["dashboard", "alerts", "howto"]
)
def test_every_metric_that_is_named_exists(text: str) -> None:
    found = named(text)
    assert len(found) > 5
    assert found <= THERE_ARE


def test_the_dashboard_shows_every_metric() -> None:
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in named(" ".join(expressions()))}
    assert {metric.name for metric in METRICS} - shown == set()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    [datasource] = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "datasource"]
    of_panels = [one["datasource"] for panel in panels() for one in (panel, *panel["targets"])]
    assert {json.dumps(one) for one in of_panels} == {
        json.dumps({"type": "prometheus", "uid": "${" + datasource["name"] + "}"})
    }
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", json.dumps([p["targets"] for p in panels()]))) <= {*variables, "__rate_interval"}
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)


def test_prometheus_understands_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    def check(exprs: list[str]) -> str:
        rules = [{"record": f"r{number}", "expr": expr} for number, expr in enumerate(exprs)]
        file = tmp_path / "rules.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        return promtool("check", "rules", str(file))

    from_howto = [expr.replace("\\|", "|") for expr in re.findall(r"\| `([^`]+)` \|", HOWTO)]
    assert len(from_howto) == 7
    assert check([*expressions(), *from_howto]) == ""
    assert "parse error" in check(["sum by (x)"])


SERIES = {
    "QueuepoolDown": {'up{job="queuepool", instance="a"}': "0x90"},
    "QueuepoolProcessesFatal": {'queuepool_processes{program="w", state="FATAL"}': "2x90"},
    "QueuepoolTooFewProcesses": {
        'queuepool_processes_wanted{program="w"}': "4x90",
        'queuepool_processes{program="w", state="RUNNING"}': "3x90",
    },
    "QueuepoolCrashLoop": {'queuepool_process_ends_total{program="w", reason="crashed"}': "0+1x90"},
    "QueuepoolQueueWait": {'queuepool_queue_wait_seconds{connection="redis", queue="q"}': "61x90"},
    "QueuepoolOldestJob": {'queuepool_queue_oldest_seconds{connection="redis", queue="q"}': "301x90"},
    "QueuepoolNobodyWorks": {
        'queuepool_queue_ready_jobs{connection="redis", queue="q"}': "1x90",
        'queuepool_queue_workers{connection="redis", queue="q"}': "0x90",
    },
    "QueuepoolQueueUnreadable": {'queuepool_queue_up{connection="redis", queue="q"}': "0x90"},
    "QueuepoolRedisDown": {'queuepool_redis_up{server="127.0.0.1:6379"}': "0x90"},
    "QueuepoolJobsFail": {
        'queuepool_jobs_total{program="w", outcome="failed"}': "0+2x90",
        'queuepool_jobs_total{program="w", outcome="done"}': "0+10x90",
    },
    "QueuepoolJobsCutOff": {'queuepool_process_kills_total{program="w"}': "0x80 1x9"},
    "QueuepoolDeployFailed": {'queuepool_deploys_total{outcome="rolled_back"}': "0x85 1x4"},
    "QueuepoolDeployHangs": {"queuepool_deploy_in_progress": "1x90"},
    "QueuepoolLogDropped": {'queuepool_log_dropped_bytes_total{file="/w.log"}': "0x85 1000x4"},
    "QueuepoolLogTrouble": {'queuepool_log_trouble{file="/w.log"}': "1x90"},
    "QueuepoolConfigProblems": {"queuepool_config_problems": "1x90"},
    "QueuepoolSlow": {
        'queuepool_event_loop_lag_seconds_bucket{le="0.5"}': "0+10x90",
        'queuepool_event_loop_lag_seconds_bucket{le="2.5"}': "0+20x90",
        'queuepool_event_loop_lag_seconds_bucket{le="+Inf"}': "0+20x90",
    },
}
"""Alert -> what makes it ring, a value a minute. Where there is nothing but that, it rings alone."""

WELL = {
    'up{job="queuepool", instance="a"}': "1x90",
    'queuepool_processes{program="w", state="FATAL"}': "0x90",
    'queuepool_processes{program="w", state="RUNNING"}': "4x90",
    'queuepool_processes_wanted{program="w"}': "4x90",
    'queuepool_process_ends_total{program="w", reason="crashed"}': "0+0.1x90",
    'queuepool_process_ends_total{program="w", reason="recycled"}': "0+9x90",
    'queuepool_process_kills_total{program="w"}': "3x90",
    'queuepool_queue_wait_seconds{connection="redis", queue="q"}': "2x90",
    'queuepool_queue_oldest_seconds{connection="redis", queue="q"}': "3x90",
    'queuepool_queue_ready_jobs{connection="redis", queue="q"}': "1x90",
    'queuepool_queue_workers{connection="redis", queue="q"}': "4x90",
    'queuepool_queue_up{connection="redis", queue="q"}': "1x90",
    'queuepool_redis_up{server="127.0.0.1:6379"}': "1x90",
    'queuepool_jobs_total{program="w", outcome="failed"}': "0+2x90",
    'queuepool_jobs_total{program="w", outcome="done"}': "0+90x90",
    'queuepool_processes{program="once", state="EXITED"}': "1x90",
    'queuepool_processes{program="once", state="RUNNING"}': "0x90",
    'queuepool_processes_wanted{program="once"}': "1x90",
    'queuepool_deploys_total{outcome="done"}': "0x85 1x4",
    'queuepool_deploys_total{outcome="rolled_back"}': "2x90",
    "queuepool_deploy_in_progress": "0x50 1x39",
    'queuepool_log_dropped_bytes_total{file="/w.log"}': "7x90",
    'queuepool_log_trouble{file="/w.log"}': "0x90",
    "queuepool_config_problems": "0x90",
    'queuepool_event_loop_lag_seconds_bucket{le="0.5"}': "0+20x90",
    'queuepool_event_loop_lag_seconds_bucket{le="+Inf"}': "0+20x90",
}


def test_each_alert_rings_for_its_own_trouble_and_none_when_all_is_well(tmp_path: Path) -> None:
    alerts = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    assert alerts == set(SERIES)
    assert promtool("check", "rules", str(ALERTS)) == ""

    def case(series: dict[str, str], ringing: str) -> dict[str, Any]:
        counted = 'count by (alertname) (ALERTS{alertstate="firing"})'
        samples = [{"labels": f'{{alertname="{ringing}"}}', "value": 1}] if ringing else []
        return {
            "interval": "1m",
            "name": ringing or "all is well",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": counted, "eval_time": "88m", "exp_samples": samples}],
        }

    cases = [case(series, name) for name, series in SERIES.items()]

    def test(*tests: dict[str, Any]) -> str:
        file = tmp_path / "test.yml"
        content = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": list(tests)}
        file.write_text(yaml.safe_dump(content))
        return promtool("test", "rules", str(file))

    assert test(*cases, case(WELL, "")) == ""
    assert "FAILED" in test(case(WELL, "QueuepoolDown")), "it would say so"
