"""A real application whose time limits do not fit each other."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support.installation import Break, Installation

pytestmark = pytest.mark.doctor


def queue_config(pattern: str, new: str, it: Installation) -> None:
    """Change a line of the connection redis in config/queue.php."""
    file = it.app.root / "config/queue.php"
    text, changed = re.subn(pattern, new, file.read_text(), count=1)
    assert changed, pattern
    file.write_text(text)


def retry_after(value: str, it: Installation) -> None:
    queue_config("'retry_after' => .*", f"'retry_after' => {value},", it)


def block_for(value: str, it: Installation) -> None:
    it.app.set_env(REDIS_QUEUE_BLOCK_FOR=value)


def a_short_read_timeout(it: Installation) -> None:
    block_for("5", it)
    file = it.app.root / "config/database.php"
    file.write_text(file.read_text().replace("'default' => [\n", "'default' => [\n'read_timeout' => 2,\n"))


def later(timeout: int, it: Installation) -> None:
    """A job that waits for its time, and has a timeout of its own."""
    job = {"uuid": "d0c7", "displayName": "App\\Jobs\\Long", "timeout": timeout, "attempts": 0, "id": "1"}
    it.redis.client.zadd(f"{it.app.prefix}queues:default:delayed", {json.dumps(job): time.time() + 3600})


def cached(it: Installation) -> None:
    it.app.artisan("config:cache")
    it.own()


BREAKS = [
    Break(
        "timing.timeout", lambda it: it.program(timeout=90), r"--timeout is 90\n.*redis.retry_after is 90",
        mended=lambda it: retry_after("120", it),
    ),
    Break(
        "timing.timeout", lambda it: it.app.set_env(REDIS_QUEUE_RETRY_AFTER="45"), r"is not given, so it is 60\n.* 45",
        mended=lambda it: it.program(timeout=40), name="default",
    ),
    Break(
        "timing.retry_after", lambda it: retry_after("null", it), "missing or null\n.*60, the default",
        mended=lambda it: retry_after("90", it),
    ),
    Break(
        "timing.retry_after", lambda it: queue_config("'retry_after' => .*", "", it), "missing", name="missing",
    ),
    Break(
        "timing.retry_after", lambda it: retry_after("0", it), "retry_after is 0", name="zero",
    ),
    Break(
        "timing.job_timeout", lambda it: later(300, it), "delayed job, d0c7, has timeout 300\n.*retry_after is 90",
        mended=lambda it: retry_after("400", it),
    ),
    Break(
        "timing.stop", lambda it: (later(80, it), it.program(stopwaitsecs=70)),
        r"stopwaitsecs is 70 .*\nApp.Jobs.Long in default has \$timeout 80", "warning",
        mended=lambda it: it.program(stopwaitsecs=None),
    ),
    Break(
        "timing.no_timeout", lambda it: it.program(timeout=0), r"--timeout=0, and retry_after \(90 s\)", "warning",
        mended=lambda it: it.program(timeout=85),
    ),
    Break(
        "timing.stop_block_for", lambda it: (block_for("5", it), it.program(stopwaitsecs=62)),
        r"--timeout 60 \+ block_for 5 .* \+ --sleep = 68", "warning", mended=lambda it: it.program(stopwaitsecs=None),
    ),
    Break("timing.block_for", lambda it: block_for("0", it), "block_for is 0", mended=lambda it: block_for("5", it)),
    Break(
        "timing.read_timeout", a_short_read_timeout, "block_for is 5\nphpredis gives up .* after 2 s",
        mended=lambda it: block_for("1", it),
    ),
    Break(
        "timing.read_timeout", lambda it: block_for("60", it), "gives up reading from redis.default after 60 s",
        name="of PHP",
    ),
    Break(
        "timing.tries", lambda it: it.program(tries=0), "--tries=0", "warning", mended=lambda it: it.program(tries=3),
    ),
    Break(
        "timing.sleep", lambda it: it.program(sleep=0), "--sleep=0", "warning",
        mended=lambda it: it.program(sleep=0.25),
    ),
    Break(
        "timing.startsecs", lambda it: it.program(max_time=5, startsecs=10), "--max-time=5, startsecs is 10", "warning",
        mended=lambda it: it.program(max_time=3600),
    ),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_time_limits_that_do_not_fit_are_found(broken: Break) -> None:
    broken.prove()


def test_a_cached_configuration_counts_and_not_the_file() -> None:
    with Installation() as it:
        retry_after("30", it)
        cached(it)
        retry_after("90", it)
        assert [each["id"] for each in it.look()["findings"] if each["id"].startswith("timing")] == ["timing.timeout"]
