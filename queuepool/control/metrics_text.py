"""The facts as Prometheus reads them: text 0.0.4 or OpenMetrics, as the scraper accepts. Escaping and formats are
prometheus-client's, which takes 60 ms to import: this module is loaded by the first scrape, and runs in a thread."""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder

from queuepool.control.metrics_facts import Facts
from queuepool.control.metrics_table import METRICS, Metric, Value
from queuepool.domain.histogram import Histogram

LONGEST_LABEL = 200
"""Characters of a label; a job may be named by a whole sentence, and what is cut alike is counted together."""

_PROCESS = ProcessCollector(registry=None)
"""process_open_fds and the like, of the daemon itself."""


def exposed(facts: Facts, accept: str) -> tuple[bytes, str]:
    """The text and its content type. accept: the scraper's Accept header."""
    try:
        encode, content_type = choose_encoder(accept)
    except (ValueError, TypeError):  # a version that is no number
        encode, content_type = choose_encoder("")
    return encode(_Collector(facts)), content_type


class _Collector:
    """What prometheus-client calls a registry, of which it only collects."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, self._facts)
        yield from _PROCESS.collect()


def _family(metric: Metric, facts: Facts) -> Family:
    rows: dict[tuple[str, ...], Value] = {}
    for labels, value in metric.read(facts):
        key = tuple(map(_clean, labels))
        before = rows.get(key)
        rows[key] = value if before is None or isinstance(value, Histogram) else value + before  # type: ignore[operator]
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for key, value in rows.items():
            assert isinstance(value, Histogram), metric.name
            buckets = [(_bound(bound), float(count)) for bound, count in value.cumulative()]
            histogram.add_metric(key, buckets, value.sum)
        return histogram
    plain = (CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily)(
        metric.name, metric.help, labels=metric.labels
    )
    for key, value in rows.items():
        assert not isinstance(value, Histogram), metric.name
        plain.add_metric(key, value)
    return plain


def _bound(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else repr(bound)


def _clean(text: str) -> str:
    """A value of a label: of any text, also one that cannot be UTF-8, as a path may be."""
    text = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
