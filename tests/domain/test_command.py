from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain import command
from queuepool.domain.command import ArtisanCommand, parse, render, unsupported, unsupported_in
from queuepool.domain.places import key_of
from queuepool.domain.spec import WorkKeys

_WORD = st.from_regex(r"[a-z][a-z0-9_:.-]{0,8}", fullmatch=True)
_COUNT = st.integers(0, 10**6)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "queue": st.lists(_WORD, min_size=1, max_size=3, unique=True).map(tuple),
    "backoff": st.lists(_COUNT, min_size=1, max_size=3).map(tuple),
    "sleep": st.integers(0, 10**7).map(lambda ms: ms / 1000),
    "rest": st.integers(0, 10**7).map(lambda ms: ms / 1000),
    "name": _WORD,
    "env": _WORD,
    "horizon_environment": _WORD,
}


@st.composite
def commands(draw: st.DrawFn) -> ArtisanCommand:
    kind = draw(st.sampled_from(sorted(command.ARTISAN)))
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    for key, option in command.OPTIONS.items():
        if kind in option.kinds:
            chosen[key] = st.just(True) if option.read is None else _VALUES.get(key, _COUNT)
    chosen |= {"quiet": st.just(True), "verbose": st.integers(1, 3), "ansi": st.booleans()}
    if kind != "horizon":
        chosen["connection"] = _WORD.filter(lambda word: word != "artisan")
    options = draw(st.fixed_dictionaries({}, optional=chosen))
    extra = tuple(draw(st.lists(_WORD.map("--x-{}".format), max_size=2)))
    php = draw(st.sampled_from([("php",), ("/usr/bin/php8.2", "-d", "memory_limit=1G"), ()]))
    return ArtisanCommand(kind, options, extra, php, draw(st.sampled_from(["artisan", "/srv/app/artisan"])))


@settings(deadline=None)
@given(commands())
def test_what_is_rendered_is_parsed_to_the_same(wanted: ArtisanCommand) -> None:
    assert parse(render(wanted)) == wanted


@settings(deadline=None)
@given(st.lists(st.text("-=artisn queue:wok,19", max_size=14), max_size=8))
def test_any_command_line_is_parsed_or_left(words: list[str]) -> None:
    found = parse(("php", "artisan", "queue:work", *words))
    assert found is not None
    assert parse(render(found)) is not None
    parse(tuple(words))


def test_only_what_is_set_is_passed() -> None:
    assert render(ArtisanCommand("worker")) == ("php", "artisan", "queue:work")
    options = {
        "connection": "redis",
        "queue": ("high", "default"),
        "tries": 3,
        "sleep": 0.25,
        "backoff": (1, 5),
        "force": False,
    }
    assert render(ArtisanCommand("worker", options)) == (
        "php", "artisan", "queue:work", "redis", "--queue=high,default", "--tries=3", "--sleep=0.25", "--backoff=1,5",
    )  # fmt: skip


def test_the_command_of_laravels_documentation_is_understood() -> None:
    argv = ("php", "/home/forge/app.com/artisan", "queue:work", "sqs", "--sleep=3", "--tries=3", "--max-time=3600")
    assert parse(argv) == ArtisanCommand(
        "worker", {"connection": "sqs", "sleep": 3.0, "tries": 3, "max_time": 3600}, (), ("php",), argv[1]
    )


def test_options_may_stand_before_the_command_and_values_apart() -> None:
    argv = (
        "php",
        "artisan",
        "--env=prod",
        "queue:work",
        "--queue",
        "high",
        "redis",
        "-vv",
        "--daemon",
        "-q",
        "--no-ansi",
    )
    found = parse(argv)
    assert found is not None
    assert found.options == {
        "env": "prod", "queue": ("high",), "connection": "redis", "verbose": 2, "quiet": True, "ansi": False,
    }  # fmt: skip
    assert found.extra == ()


def test_what_has_no_key_is_kept_as_it_is() -> None:
    found = parse(("php", "artisan", "queue:listen", "--once", "--tries=many", "--no-interaction", "--wait=1"))
    assert found == ArtisanCommand("listen", {}, ("--tries=many", "--no-interaction", "--wait=1", "--once"))


@pytest.mark.parametrize(
    "argv",
    [(), ("php", "artisan"), ("php", "artisan", "schedule:work"), ("sh", "-c", "php artisan queue:work"), ("date",)],
)
def test_another_command_is_not_taken_for_a_worker(argv: tuple[str, ...]) -> None:
    assert parse(argv) is None


@pytest.mark.parametrize(
    ("key", "value", "version", "kind", "needed"),
    [
        ("rest", 1, "8.20.1", "worker", "8.32 (this application has 8.20)"),
        ("rest", 1, "8.32.0", "worker", None),
        ("rest", 1, "8.83.26", "listen", "9.0 (this application has 8.83)"),
        ("json", True, "10.48", "worker", "11.27 (this application has 10.48)"),
        ("json", False, "10.48", "worker", None),
        ("json", True, "12.0.0", "worker", None),
        ("stop_when_empty_for", 3, "12.10.0", "worker", "12.60 (this application has 12.10)"),
        ("stop_when_empty_for", 3, "9.1", "worker", "11.53 (this application has 9.1)"),
        ("stop_when_empty_for", 3, "14.0.0", "worker", None),
        ("stop_when_empty_for", 3, "12.x-dev", "worker", None),
        ("backoff", (3,), "v7.30.4", "worker", "8.0 (this application has 7.30; use `delay`)"),
        ("max_jobs", 0, "6.20", "worker", "8.0 (this application has 6.20)"),
        ("rest", 1, "dev-master", "worker", None),
        ("rest", 1, "", "worker", None),
    ],
)
def test_an_option_that_is_too_new_is_named_with_its_version(
    key: str, value: object, version: str, kind: str, needed: str | None
) -> None:
    expected = [] if needed is None else [f"`{key}` needs Laravel {needed}"]
    assert unsupported({key: value}, version, kind) == expected


def test_memory_0_is_no_limit_only_in_newer_laravels() -> None:
    assert unsupported({"memory": 0}, "12.54.0") == []
    assert unsupported({"memory": 0}, "8.83.0") == [
        "`memory: 0` means no limit only from Laravel 12.54 (this application has 8.83)"
    ]


def test_a_command_line_is_asked_the_same() -> None:
    assert unsupported_in(("php", "artisan", "queue:work", "--rest=1"), "8.0.0") != []
    assert unsupported_in(("date", "--rest=1"), "8.0.0") == []


def test_every_option_has_a_key_in_the_file_and_every_key_an_option() -> None:
    beside = {"type", "command", "connection", "options", *command.SYMFONY}
    assert {key_of(name) for name in WorkKeys.model_fields} == set(command.OPTIONS) | beside


@pytest.mark.parametrize(
    ("kind", "options", "extra", "verbose"),
    [
        ("worker", {}, (), True),
        ("worker", {"quiet": True}, (), False),
        ("worker", {"quiet": False}, (), True),
        ("worker", {"json": True}, (), False),
        ("worker", {"json": False}, (), True),
        ("worker", {"verbose": 0}, (), False),
        ("worker", {}, ("-q",), False),
        ("worker", {}, ("--silent",), False),
        ("worker", {}, ("--xyz=1",), True),
        ("listen", {}, (), False),
        ("horizon", {}, (), False),
    ],
)
def test_a_worker_prints_ids_unless_somebody_decided(
    kind: str, options: dict[str, Any], extra: tuple[str, ...], verbose: bool
) -> None:
    argv = render(command.with_ids(ArtisanCommand(kind, options, extra)))
    assert ("-v" in argv) is verbose
    speaks = not options.get("quiet") and not {"-q", "--silent"} & set(extra)
    assert command.says(argv) == (speaks, verbose)


def test_what_somebody_decided_stays() -> None:
    assert "-vv" in render(command.with_ids(ArtisanCommand("worker", {"verbose": 2})))
    assert render(command.with_ids(ArtisanCommand("worker", {}, ("-vvv",)))).count("-v") == 0
    assert command.says(("sleep", "5")) == (False, False)
