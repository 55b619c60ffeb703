"""A real application whose time limits do not fit each other."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.support.installation import Break, Installation

pytestmark = pytest.mark.doctor


def retry_after(value: str, it: Installation) -> None:
    """Change it for the connection redis."""
    file = it.app.root / "config/queue.php"
    text, changed = re.subn("'retry_after' => .*", f"'retry_after' => {value},", file.read_text(), count=1)
    assert changed
    file.write_text(text)


def cached(it: Installation) -> None:
    it.app.artisan("config:cache")
    it.own()


def later(timeout: int, it: Installation, queue: str) -> None:
    """A job that waits for its time, and has a timeout of its own."""
    job = {"uuid": "d0c7", "displayName": "App\\Jobs\\Long", "timeout": timeout, "attempts": 0, "id": "1"}
    it.redis.client.zadd(f"{it.app.prefix}queues:{queue}:delayed", {json.dumps(job): time.time() + 3600})


BREAKS = [
    Break(
        "timing.timeout", lambda it: it.app.set_env(REDIS_QUEUE_RETRY_AFTER="45"), r"is not given, so it is 60\n.* 45",
        mended=lambda it: it.program(timeout=40), name="default",
    ),
    Break(
        "timing.block_for", lambda it: it.app.set_env(REDIS_QUEUE_BLOCK_FOR="0"), "block_for is 0",
        mended=lambda it: it.app.set_env(REDIS_QUEUE_BLOCK_FOR="5"),
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


# --- side by side -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Limits of a program of its own, with a connection and a queue of its own, that do not fit each other. keys: of
    the program. entry: what its connection has instead of ENTRY, as PHP; None: nothing. job: the timeout of a job that
    waits there. mended_keys, mended_entry: what takes the place of those two. All of them are in one application, which
    is looked at twice: broken and mended."""

    id: str
    evidence: str
    severity: str = "error"
    keys: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, str | None] = field(default_factory=dict)
    job: int | None = None
    mended_keys: dict[str, Any] = field(default_factory=dict)
    mended_entry: dict[str, str | None] = field(default_factory=dict)
    name: str = ""

    def __str__(self) -> str:
        return f"{self.id}-{self.name}" if self.name else self.id

    @property
    def program(self) -> str:
        """Of its connection and queue as well."""
        return re.sub(r"\W", "_", str(self))


ENTRY: dict[str, str | None] = {"connection": "'default'", "retry_after": "90", "block_for": "null"}
IMPATIENT = (
    "'impatient' => ['read_timeout' => 2, 'host' => '127.0.0.1', 'port' => env('REDIS_PORT'), 'database' => '0'],"
)

warning = partial(Limits, severity="warning")
LIMITS = [
    Limits("timing.timeout", r"--timeout is 90\n.*NAME.retry_after is 90", keys={"timeout": 90},
           mended_entry={"retry_after": "120"}),
    Limits("timing.retry_after", "NAME.* missing or null\n.*60, the default", entry={"retry_after": "null"},
           name="null"),
    Limits("timing.retry_after", "missing", entry={"retry_after": None}, name="missing"),
    Limits("timing.retry_after", "retry_after is 0", entry={"retry_after": "0"}, name="zero"),
    Limits("timing.job_timeout", "delayed job, d0c7, has timeout 300\n.*retry_after is 90", job=300,
           mended_entry={"retry_after": "400"}),
    warning("timing.stop", r"stopwaitsecs is 70 .*\nApp.Jobs.Long in NAME has \$timeout 80", job=80,
            keys={"stopwaitsecs": 70}),
    warning("timing.no_timeout", r"--timeout=0, and retry_after \(90 s\)", keys={"timeout": 0},
            mended_keys={"timeout": 85}),
    warning("timing.stop_block_for", r"--timeout 60 \+ block_for 5 .* \+ --sleep = 68", keys={"stopwaitsecs": 62},
            entry={"block_for": "5"}, mended_entry={"block_for": "5"}),
    Limits("timing.read_timeout", "block_for is 5\nphpredis gives up .* after 2 s", name="own",
           entry={"connection": "'impatient'", "block_for": "5"},
           mended_entry={"connection": "'impatient'", "block_for": "1"}),
    Limits("timing.read_timeout", "gives up reading from redis.default after 60 s", entry={"block_for": "60"},
           name="of PHP"),
    warning("timing.tries", "--tries=0", keys={"tries": 0}, mended_keys={"tries": 3}),
    warning("timing.sleep", "--sleep=0", keys={"sleep": 0}, mended_keys={"sleep": 0.25}),
    warning("timing.startsecs", "--max-time=5, startsecs is 10", keys={"max_time": 5, "startsecs": 10},
            mended_keys={"max_time": 3600, "startsecs": 10}),
]  # fmt: skip


def give(it: Installation, keys: dict[str, dict[str, Any]], entries: dict[str, dict[str, str | None]]) -> None:
    """Write the file and config/queue.php with these for each program."""
    queue = it.app.root / "config/queue.php"
    before, found, after = queue.read_text().partition("'database' => [\n")
    assert found
    own = "".join(f"{name!r} => [{_php(name, entry)}],\n" for name, entry in entries.items())
    queue.write_text(f"{before.partition('// own')[0]}// own\n{own}{found}{after}")
    it.programs = {name: {"connection": name, "queue": name, **more} for name, more in keys.items()}
    it.write()


def _php(name: str, entry: dict[str, str | None]) -> str:
    values = {"driver": "'redis'", "queue": repr(name), **ENTRY, **entry}
    return ", ".join(f"{key!r} => {value}" for key, value in values.items() if value is not None)


@dataclass(frozen=True)
class Seen:
    """What was found before and after it was mended."""

    broken: list[dict[str, Any]]
    mended: list[dict[str, Any]]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """All of them, once."""
    with Installation() as it:
        database = it.app.root / "config/database.php"
        database.write_text(database.read_text().replace("'default' => [\n        ", f"{IMPATIENT}\n'default' => ["))
        for each in LIMITS:
            if each.job is not None:
                later(each.job, it, each.program)
        give(it, {each.program: each.keys for each in LIMITS}, {each.program: each.entry for each in LIMITS})
        broken = it.look()["findings"]
        give(
            it,
            {each.program: each.mended_keys for each in LIMITS},
            {each.program: each.mended_entry for each in LIMITS},
        )
        yield Seen(broken, it.look()["findings"])


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_limits_that_do_not_fit_are_found_and_are_gone_when_they_were_mended(limits: Limits, seen: Seen) -> None:
    [finding] = [each for each in seen.broken if limits.program in each["programs"]]
    assert (finding["id"], finding["severity"]) == (limits.id, limits.severity), finding
    evidence = limits.evidence.replace("NAME", limits.program)
    assert re.search(evidence, "\n".join(finding["evidence"])), finding
    assert finding["what"], finding
    assert finding["remedy"], finding
    assert [each for each in seen.mended if limits.program in each["programs"]] == []


def test_of_what_has_no_wrong_limits_nothing_is_found(seen: Seen) -> None:
    names = {each.program for each in LIMITS}
    assert [each for each in seen.broken if not each["programs"] or {*each["programs"]} - names] == []
    assert seen.mended == []
