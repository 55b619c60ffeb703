"""Makes docs/metrics.md from the table: `python -m queuepool.control.metrics_reference`. A test asserts that it is
current."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from queuepool.control.metrics_table import GROUPS
from queuepool.domain.rollout import Outcome
from queuepool.domain.tally import Cause

MADE = "<!-- Made by `python -m queuepool.control.metrics_reference`; do not edit. -->"

REASONS = {
    Cause.RECYCLED: "it ended by itself, with exit code 0: `max_jobs`, `max_time`, `queue:restart`, a lost connection",
    Cause.WORKER_MEMORY: "it ended by itself, above its own `--memory` (exit code 12)",
    Cause.MEMORY_LIMIT: "it was asked to, being above the `memory_limit` that queuepool looks after",
    Cause.CRASHED: "another exit code, or a signal: what `queuepool doctor` explains",
    Cause.OOM: "the kernel killed it when memory ran out, as the count of its control group tells; else `killed`",
    Cause.KILLED: "another SIGKILL that queuepool did not send: a job's timeout, or somebody",
    Cause.REPLACED: "another took its place: `restart`, or settings that were changed",
    Cause.DEPLOY: "another took its place, in a deploy",
    Cause.SCALED: "there should be fewer",
    Cause.STOPPED: "it should not run any more: `stop`, `down`, a program that left the file",
    Cause.UNKNOWN: "a former daemon had started it, and the kernel does not tell how it ended",
}
OUTCOMES = {
    Outcome.DONE: "what was new runs",
    Outcome.ROLLED_BACK: "it failed, and what ran before runs again",
    Outcome.TIMED_OUT: "it took longer than its `timeout`, and what ran before runs again",
    Outcome.ABORTED: "a person ended it, and what ran before runs again",
    Outcome.FAILED: "it failed, and could not be rolled back",
}


def metrics() -> str:
    """The text of docs/metrics.md."""
    lines = [
        MADE,
        "# Metrics",
        "",
        *_wrapped(
            "What `GET /metrics` tells; how it is scraped is in [howto/metrics.md](howto/metrics.md). Counters begin "
            "with the daemon. A histogram NAME is shown as NAME_bucket, NAME_sum and NAME_count. Beside these there "
            "are `process_open_fds`, `process_resident_memory_bytes`, `process_cpu_seconds_total` and the like, of the "
            "daemon itself."
        ),
    ]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}", "", "| metric | type | labels | meaning |", "|---|---|---|---|"]
        for one in group:
            labels = ", ".join(f"`{label}`" for label in one.labels)
            lines.append(f"| `{one.name}` | {one.type} | {labels} | {one.help.replace('|', chr(92) + '|')} |")
    lines += ["", "## Reasons of an end", "", *_table("reason", {one.value: REASONS[one] for one in Cause})]
    lines += ["", "## Outcomes of a deploy", "", *_table("outcome", {one.value: OUTCOMES[one] for one in Outcome})]
    return "\n".join(lines) + "\n"


def _table(head: str, rows: dict[str, str]) -> Iterator[str]:
    yield from (f"| {head} | meaning |", "|---|---|")
    for name, meaning in rows.items():
        yield f"| `{name}` | {meaning} |"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def main(docs: Path) -> None:
    """Write the file into `docs`."""
    (docs / "metrics.md").write_text(metrics(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
