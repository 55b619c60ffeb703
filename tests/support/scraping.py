"""Scraping a daemon as Prometheus would, and reading what it says with prometheus-client's own parsers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.bench.peer import UnixConnection

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """The samples of one scrape. families: with their types and helps."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in self.families:
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self._values, f"{key} stands there twice"
                self._values[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value with exactly these labels; None when there is none. class_: for the label `class`."""
        return self._values.get((name, frozenset((key.rstrip("_"), value) for key, value in labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all values with these labels, and any others."""
        wanted = {(key.rstrip("_"), value) for key, value in labels.items()}
        return sum(value for (other, found), value in self._values.items() if other == name and wanted <= found)

    def labels(self, name: str, label: str) -> set[str]:
        """What stands in a label of a metric."""
        return {dict(found)[label] for (other, found) in self._values if other == name}


def get(socket: str, accept: str = "") -> tuple[int, str, str]:
    """GET /metrics: status, content type, text."""
    with closing(UnixConnection(socket)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read().decode()


def scrape(socket: str, *, openmetrics: bool = False) -> Scrape:
    """What a daemon says now."""
    status, kind, text = get(socket, OPENMETRICS if openmetrics else "")
    assert status == 200, text
    assert kind.startswith("application/openmetrics-text" if openmetrics else "text/plain; version=0.0.4")
    return Scrape(read_openmetrics(text) if openmetrics else read_text(text))


@cache
def _promtool() -> tuple[bool, str]:
    script = Path(__file__).with_name("promtool.sh")
    done = subprocess.run(["bash", script], capture_output=True, text=True, timeout=300)
    return done.returncode == 0, done.stdout.strip()


def promtool(*args: str, text: str = "") -> str:
    """What promtool says; "" when it finds nothing wrong. Skips the test where it cannot be had."""
    there, path = _promtool()
    if not there:
        pytest.skip(path)
    done = subprocess.run([path, *args], input=text, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr
