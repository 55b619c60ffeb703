"""PURE: what every metric means, its goal, and the table of medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Medians = Mapping[str, Mapping[str, float]]
"""metric -> peer -> median."""

OWN, SUPERVISOR, LIMIT = "queuepool", "supervisor", "limit"


@dataclass(frozen=True, slots=True)
class Goal:
    """text: as shown. met: whether a median meets it, given those of all; None without anything to compare with."""

    text: str
    met: Callable[[float, Mapping[str, float]], bool | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. more: whether more is better. exact: a count, of which no ratios are told."""

    title: str
    unit: str
    goal: Goal | None = None
    more: bool = False
    exact: bool = False


def at_most(limit: float) -> Goal:
    """A plain limit."""
    return Goal(f"<= {limit:g}", lambda own, _: own <= limit)


def at_least(limit: float) -> Goal:
    """A plain limit."""
    return Goal(f">= {limit:g}", lambda own, _: own >= limit)


def against(peer: str, factor: float) -> Goal:
    """At most that share of what one peer takes."""
    return Goal(f"<= {factor:g} x {peer}", lambda own, all_: own <= factor * all_[peer] if peer in all_ else None)


def of_best(factor: float) -> Goal:
    """At least that share of what the best peer reaches."""

    def met(own: float, all_: Mapping[str, float]) -> bool | None:
        others = [value for peer, value in all_.items() if peer not in (OWN, LIMIT)]
        return own >= factor * max(others) if others else None

    return Goal(f">= {factor:g} x best", met)


METRICS = {
    "s1.10": Metric("start of the daemon -> 10 running", "ms"),
    "s1.100": Metric("-> 100 running", "ms"),
    "s1.500": Metric("-> 500 running", "ms", at_most(600)),
    "s1.10.cpu": Metric("CPU of the daemon until then, 10", "ms"),
    "s1.100.cpu": Metric("... 100", "ms"),
    "s1.500.cpu": Metric("... 500", "ms"),
    "s2.10": Metric("worker killed -> replacement runs, of 10", "ms", at_most(5)),
    "s2.10.p99": Metric("... p99", "ms", at_most(20)),
    "s2.500": Metric("worker killed -> replacement runs, of 500", "ms", at_most(5)),
    "s2.500.p99": Metric("... p99", "ms", at_most(20)),
    "s3.pss": Metric("500 idle: memory of the daemon (PSS)", "MB", at_most(45)),
    "s3.cpu": Metric("500 idle: CPU per minute", "s", at_most(0.1)),
    "s3.wakeups": Metric("500 idle: wake-ups per second", "/s"),
    "s4.1": Metric("logs, 1 writer", "MB/s", of_best(0.8), more=True),
    "s4.1.cpu": Metric("logs, 1 writer: CPU per GB", "s", against(SUPERVISOR, 0.5)),
    "s4.8": Metric("logs, 8 writers", "MB/s", of_best(0.6), more=True),
    "s4.8.cpu": Metric("logs, 8 writers: CPU per GB", "s", against(SUPERVISOR, 0.5)),
    "s4.quiet": Metric("logs, 100 quiet workers: CPU per line", "us", at_most(10)),
    "s4.1.lost": Metric("logs, 1 writer: lines lost", "%", at_most(0), exact=True),
    "s4.1.torn": Metric("logs, 1 writer: lines torn", "", at_most(0), exact=True),
    "s4.1.twice": Metric("logs, 1 writer: lines twice", "", at_most(0), exact=True),
    "s4.8.lost": Metric("logs, 8 writers: lines lost", "%", at_most(0), exact=True),
    "s4.8.torn": Metric("logs, 8 writers: lines torn", "", at_most(0), exact=True),
    "s4.8.twice": Metric("logs, 8 writers: lines twice", "", at_most(0), exact=True),
    "s4.quiet.lost": Metric("logs, 100 quiet workers: lines lost", "%", at_most(0), exact=True),
    "s4.quiet.torn": Metric("logs, 100 quiet workers: lines torn", "", at_most(0), exact=True),
    "s4.quiet.twice": Metric("logs, 100 quiet workers: lines twice", "", at_most(0), exact=True),
    "s4.shared.lost": Metric("logs, 16 writers, one rotated file: lines lost", "%", at_most(0), exact=True),
    "s4.shared.torn": Metric("logs, 16 writers, one rotated file: lines torn", "", at_most(0), exact=True),
    "s4.shared.twice": Metric("logs, 16 writers, one rotated file: lines twice", "", at_most(0), exact=True),
    "s5.command": Metric("status of 500, the whole command", "ms", at_most(100)),
    "s5.call": Metric("status of 500, the call alone", "ms"),
    "s6.scale": Metric("10 -> 100 at runtime", "ms", at_most(150)),
    "s6.touched": Metric("of the 10, restarted", "", at_most(0), exact=True),
    "s7.wall": Metric("restart of 50 that take 500 ms to stop", "ms", at_most(1000)),
    "s7.least": Metric("least number in service meanwhile", "", at_least(50), more=True, exact=True),
    "s8.duplicates": Metric("daemon killed, started again: duplicates of 20", "", at_most(0), exact=True),
    "s8.lost": Metric("lines lost", "", at_most(0), exact=True),
    "s8.torn": Metric("lines torn", "", at_most(0), exact=True),
    "s8.twice": Metric("lines twice", "", at_most(0), exact=True),
    "s8.found": Metric("start of the daemon -> all 20 found", "ms"),
    "s9.cpu": Metric("200 crash loops: CPU of the daemon", "%", at_most(5)),
    "s9.spawns": Metric("200 crash loops: starts in that time", "", exact=True),
    "s9.status": Metric("200 crash loops: status command", "ms"),
    "php.polling": Metric("50 real queue:work -> all polling", "s", against("shell", 1.0)),
}


def medians(values: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """The middle of what was measured; of counts of bad things (lost, torn, ...) the worst."""
    return {
        metric: {
            peer: (min(seen) if metric.endswith("least") else max(seen))
            if METRICS[metric].exact and METRICS[metric].goal
            else statistics.median(seen)
            for peer, seen in by_peer.items()
        }
        for metric, by_peer in values.items()
    }


def failed(found: Medians) -> list[str]:
    """The metrics whose goal is not met."""
    return [metric for metric in METRICS if _verdict(metric, found) == "FAIL"]


def render(found: Medians, peers: Sequence[str], markdown: bool = False) -> str:
    """The table. Ratios are this program's value over the other's, as a factor in favour of this one when above 1."""
    peers = [peer for peer in peers if peer != OWN]
    peers += sorted({peer for by_peer in found.values() for peer in by_peer} - {OWN, *peers})  # limit, shell
    head = ["metric", "unit", "goal", OWN, "", *peers, "vs Supervisor", "vs best"]
    rows = [head]
    for key, metric in METRICS.items():
        if key not in found:
            continue
        by_peer = found[key]
        others = {peer: value for peer, value in by_peer.items() if peer not in (OWN, LIMIT)}
        best = (max if metric.more else min)(others.values()) if others else None
        rows.append([
            f"{key.split('.')[0]} {metric.title}", metric.unit, metric.goal.text if metric.goal else "",
            _number(by_peer.get(OWN)), _verdict(key, found), *(_number(by_peer.get(peer)) for peer in peers),
            _ratio(metric, by_peer.get(OWN), by_peer.get(SUPERVISOR)), _ratio(metric, by_peer.get(OWN), best),
        ])  # fmt: skip
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(w) if i in (0, 1, 2, 4) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])])


def _verdict(key: str, found: Medians) -> str:
    goal, by_peer = METRICS[key].goal, found.get(key, {})
    if goal is None or OWN not in by_peer:
        return ""
    met = goal.met(by_peer[OWN], by_peer)
    return "" if met is None else "ok" if met else "FAIL"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == 0 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _ratio(metric: Metric, own: float | None, other: float | None) -> str:
    if metric.exact or not own or not other:
        return ""
    factor = own / other if metric.more else other / own
    return f"{factor:.0f}x" if factor >= 10 else f"{factor:.1f}x" if factor >= 1 else f"{factor:.2g}x"
