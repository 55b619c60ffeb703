"""No check ever raises, whatever the facts are: the doctor is called when something is wrong already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Union, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.base import Check
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import FileFacts
from queuepool.doctor.finding import Finding, Severity
from queuepool.doctor.report import report

ODD_TEXT = st.sampled_from([
    "", " ", "\0", "\n", "é", "\ud800", "{}", "%s", "[]", "=", ".", "..", "/", "/srv/app", "a:b:c", "--timeout=", "-1",
    "0", "60", "1e999", "nan", "9" * 40, "php", "redis", "sync", "database", "default", "www-data", "10.48.1",
])  # fmt: skip
ODD_INTS = st.sampled_from([0, 1, -1, 2, 60, 90, 0o777, 0o644, 33, 1024, 2**31, 2**63, -(2**63), 10**30])
ODD_FLOATS = st.sampled_from([0.0, -0.0, -1.0, 0.5, 60.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")])

TEXTS = st.one_of(ODD_TEXT, st.text(max_size=12))
INTS = st.one_of(ODD_INTS, st.integers())
FLOATS = st.one_of(ODD_FLOATS, st.floats())
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), INTS, FLOATS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
CLOCK = st.one_of(FLOATS, st.floats(1.7e9, 1.8e9))


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the facts declare it, odd ones above all; collections are short, and often empty."""
    origin, args = getattr(kind, "__origin__", None), getattr(kind, "__args__", ())
    if kind is Any or kind is object:
        return ANYTHING
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return st.lists(of(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of, args))
    if origin in (list, set, frozenset):
        return st.lists(of(args[0]), max_size=2).map(origin)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(of(args[0]), of(args[1]), max_size=2)
    if origin is Union or isinstance(kind, UnionType):
        return st.one_of(*map(of, args))
    if isinstance(kind, type) and is_dataclass(kind):
        return st.deferred(lambda: _dataclass(kind))
    known: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS, int: INTS, float: st.one_of(FLOATS, INTS), bytes: st.binary(max_size=8), dict: st.just({}),
        tuple: st.just(()), SecretStr: TEXTS.map(SecretStr),
    }  # fmt: skip
    return known[kind] if kind in known else st.from_type(kind)


_MADE: dict[type, st.SearchStrategy[Any]] = {}


def _dataclass(kind: type) -> st.SearchStrategy[Any]:
    if kind not in _MADE:
        names = vars(sys.modules[kind.__module__]) | {"Mapping": Mapping}
        hints = {name: hint for name, hint in get_type_hints(kind, names).items() if name in kind.__dataclass_fields__}
        _MADE[kind] = st.builds(kind, **{name: of(hint) for name, hint in hints.items()})
    return _MADE[kind]


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(facts=of(Facts))
def test_no_check_raises_and_each_finding_can_be_shown(facts: Facts) -> None:
    found = report(facts)
    assert [finding.evidence for finding in found.findings if finding.id == "doctor.defect"] == []
    found.to_json()
    assert found.sentence()
    for finding in found.findings:
        must_be_whole(finding)


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
