"""No check ever raises, whatever the facts are: the doctor is called when something is wrong already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from random import Random
from types import UnionType
from typing import Any, Literal, Union, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.base import Check
from queuepool.doctor.examine import LOOKS, examine
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import FileFacts
from queuepool.doctor.finding import Finding, Severity
from queuepool.doctor.report import report
from tests.support.installation import Installation

PLAIN = ("w", "default", "redis", "/srv/app")
"""Few texts and often, so that one part of the facts speaks of another."""
ODD = (
    "", " ", "\0", "\n", "é", "\ud800", "{}", "%s", "[]", "=", ".", "..", "/", "a:b:c", "--timeout=", "-1", "0", "60",
    "nan", "1e999", "inf", "9" * 40, "<", "'", '"', "`", "\\", "a" * 5000, "x y", "~", "${A}", "horizon", "10.48.1",
)  # fmt: skip
INTS = (0, 1, -1, 2, 3, 12, 60, 90, 255, 0o777, 0o644, 33, 1024, 2**31, 2**63, -(2**63), 10**30)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 60.0, 1.76e9, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"))


WORDS: dict[str, tuple[str, ...]] = {
    "kind": ("worker", "listen", "horizon", "command"),
    "driver": ("redis", "database", "sync", "null", "array", "file"),
    "state": ("RUNNING", "STARTING", "STOPPED", "BACKOFF", "FATAL", "EXITED"),
}
"""Field -> what it mostly holds: most checks stop early at anything else."""

Make = Callable[[Random], Any]


@cache
def maker(kind: Any) -> Make:
    """Makes values of a type as the facts declare it, odd ones above all; collections are short, and often empty.
    Hypothesis' own from_type does the same a hundred times slower, and what matters here is how many are tried."""
    origin, args = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if origin is Union or isinstance(kind, UnionType):
        known = [maker(one) for one in args if one is not type(None)]
        return lambda random: random.choice(known)(random) if len(known) == len(args) or random.random() < 0.8 else None
    if origin is Literal:
        return lambda random: random.choice(args)
    if origin is tuple and args[1:] != (Ellipsis,):
        makers = [maker(one) for one in args]
        return lambda random: tuple(make(random) for make in makers)
    if origin in (tuple, list, set, frozenset):
        item = maker(args[0])
        return lambda random: origin(item(random) for _ in range(random.choice((0, 1, 1, 2, 3))))
    if origin is not None and issubclass(origin, Mapping):
        key, value = maker(args[0]), maker(args[1])
        return lambda random: {key(random): value(random) for _ in range(random.choice((0, 1, 2)))}
    if isinstance(kind, type) and is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        members = list(kind)
        return lambda random: random.choice(members)
    return SIMPLE[kind]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, vars(sys.modules[kind.__module__]) | {"Mapping": Mapping})


def _dataclass(kind: type) -> Make:
    made: dict[str, Make] = {}

    def make(random: Random) -> Any:
        if not made:  # here, since a type may hold itself
            made.update({one.name: _field(one, maker(_hints(kind)[one.name])) for one in fields(kind)})
        return kind(**{name: field(random) for name, field in made.items()})

    return make


def _field(field: Field[Any], make: Make) -> Make:
    """Values for a field, often its own default: that is how most of an installation is."""
    words, default = WORDS.get(field.name, ()), field.default
    if words:
        return lambda random: random.choice(words) if random.random() < 0.8 else make(random)
    if default is MISSING:
        return make
    share = 0.5 if default else 0.2
    return lambda random: default if random.random() < share else make(random)


def _text(random: Random) -> str:
    if random.random() < 0.9:
        return random.choice(random.choice((PLAIN, PLAIN, ODD)))
    return "".join(chr(random.randrange(random.choice((128, 0x3000)))) for _ in range(random.randrange(9)))


def _int(random: Random) -> int:
    return random.choice(INTS) if random.random() < 0.8 else random.randrange(-(10**6), 10**6)


def _float(random: Random) -> float:
    return random.choice((random.choice(FLOATS), _int(random), random.uniform(-1e3, 1e10)))


def _anything(random: Random) -> Any:
    make = random.choice((_text, _int, _float, lambda _: None, lambda _: True, lambda _: [], lambda _: {"a": [None]}))
    return make(random)


SIMPLE: dict[Any, Make] = {
    str: _text,
    int: _int,
    float: _float,
    bool: lambda random: random.random() < 0.5,
    type(None): lambda random: None,
    Any: _anything,
    object: _anything,
    bytes: lambda random: random.randbytes(4),
    dict: lambda random: {},
    SecretStr: lambda random: SecretStr(_text(random)),
}


def changed(random: Random, value: Any, kind: Any, share: float) -> Any:
    """The same facts with a share of their values replaced by any others of their type."""
    if random.random() < share:
        return maker(kind)(random)
    origin, args = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if origin is Union or isinstance(kind, UnionType):
        inner = next((one for one in args if isinstance(value, getattr(one, "__origin__", one))), None)
        return value if inner is None else changed(random, value, inner, share / 2)
    if origin is tuple and args[1:] == (Ellipsis,):
        return tuple(changed(random, item, args[0], share) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return {key: changed(random, item, args[1], share) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        names = [one.name for one in fields(value)]
        return replace(value, **{name: changed(random, getattr(value, name), hints[name], share) for name in names})
    return value


def must_stand(facts: Facts) -> set[str]:
    """The ids of what is found; an AssertionError when a check fails, or says something that cannot be shown."""
    found = report(facts)
    assert [(one.subject, one.evidence) for one in found.findings if one.id == "doctor.defect"] == []
    found.to_json()
    assert found.sentence()
    for finding in found.findings:
        must_be_whole(finding)
    return {finding.id for finding in found.findings}


SEEDED = st.integers(0, 2**32).map(Random)
"""Far more is drawn for one example than hypothesis keeps choices of, so all of it follows from one."""


@settings(max_examples=150)
@given(random=SEEDED)
def test_no_check_raises_whatever_the_facts_are(random: Random) -> None:
    must_stand(maker(Facts)(random))


@settings(max_examples=60)
@given(random=SEEDED)
def test_a_check_needs_no_look_but_those_that_it_names(random: Random) -> None:
    """So `--only` may leave the others out."""
    facts = maker(Facts)(random)
    for check in CHECKS:
        if check.needs is not None:
            unneeded = {name: () if name == "applications" else None for name in LOOKS if name not in check.needs}
            assert check.run(replace(facts, **unneeded)) == check.run(facts), check.id


@pytest.mark.php
def test_no_check_raises_when_a_few_of_the_facts_are_odd() -> None:
    """Real facts, in which a few values were replaced: so the checks get further than with nothing but odd ones."""
    with Installation() as it:
        it.qp.up()
        it.qp.running("w", 1)
        real = examine(str(it.qp.file), it.qp.environment)
    assert not real.unseen
    found: set[str] = set()

    @settings(max_examples=200, database=None)
    @given(random=SEEDED)
    def run(random: Random) -> None:
        found.update(must_stand(changed(random, real, Facts, random.choice((0.01, 0.03, 0.1)))))

    run()
    silent = sorted({check.id for check in CHECKS} - found - {"doctor.defect"})
    assert len(silent) < len(CHECKS) * 0.6, silent  # or all this would prove little


def must_be_whole(finding: Finding) -> None:
    """What the rules ask of every finding: texts, and a remedy unless it is only worth knowing."""
    assert isinstance(finding.subject, str)
    assert isinstance(finding.what, str)
    assert finding.what, finding.id
    assert isinstance(finding.evidence, tuple), finding.id
    assert all(isinstance(line, str) for line in finding.evidence), finding.id
    assert isinstance(finding.remedy, str)
    assert finding.remedy or finding.severity is Severity.INFO, finding.id
    assert isinstance(finding.programs, tuple), finding.id


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_finds_nothing_where_nothing_is_known(check: Check) -> None:
    facts = Facts(now=1.76e9, uid=0, file=FileFacts("/srv/queuepool.yml"))
    expected = {"file.empty"}
    assert {finding.id for finding in check.run(facts)} <= expected
