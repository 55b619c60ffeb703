from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from queuepool.config.reference import reference
from queuepool.config.schema import schema
from queuepool.domain.places import key_of
from queuepool.domain.spec import Group, Http, Program, Settings, Strategy

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_reference_in_docs_is_that_of_the_program() -> None:
    assert DOCS.read_text() == reference(), "run `python -m queuepool.config.reference > docs/configuration.md`"


def test_the_reference_names_every_key() -> None:
    for model in (Settings, Program, Group, Http, Strategy):
        for name in model.model_fields:
            assert f"\n| `{key_of(name)}` |" in reference(), name


def _fits(value: Any, rule: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """Enough of JSON Schema for ours."""
    if "$ref" in rule:
        return _fits(value, definitions[rule["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in rule:
        return any(_fits(value, choice, definitions) for choice in rule["anyOf"])
    if "enum" in rule:
        return value in rule["enum"]
    if "const" in rule and value != rule["const"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    wanted = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if wanted and not any(
        value is None
        if kind == "null"
        else isinstance(value, kinds[kind]) and (kind == "boolean") == isinstance(value, bool)
        for kind in wanted
    ):
        return False
    if isinstance(value, str) and "pattern" in rule:
        return re.search(rule["pattern"], value) is not None
    if isinstance(value, list) and "items" in rule:
        return all(_fits(item, rule["items"], definitions) for item in value)
    if isinstance(value, dict):
        known, extra = rule.get("properties", {}), rule.get("additionalProperties", True)
        for key, item in value.items():
            free = any(re.search(pattern, key) for pattern in rule.get("patternProperties", {}))
            inner = known.get(key, {} if free else extra)
            if inner is False or (isinstance(inner, dict) and not _fits(item, inner, definitions)):
                return False
    return True


_GOOD: list[dict[str, Any]] = [
    {"programs": {"a": None, "b": {"queue": ["x", 1], "timeout": "1m", "umask": 18, "verbose": True}}},
    {"programs": {"a": {"numprocs": "${N:-3}", "autorestart": "unexpected", "connection": None, "json": True}}},
    {"x-mine": {"anything": 1}, "groups": {"g": ["a"], "h": {"programs": "a,b", "priority": 1}}, "http": True},
    {"http": {"listen": 9001, "username": "a", "password": "b"}, "include": "*.yml", "php": ["php", "-d", "x=1"]},
    {"programs": {"a": {"environment": {"A": 1, "B": True, "C": None}, "rlimits": {"nofile": 1}, "command": "date"}}},
    {"programs": {"a": {"environment": 'A="1"', "strategy": {"max_surge": "25%"}, "fatal_retry": False}}},
]
_BAD: list[dict[str, Any]] = [
    {"usr": "x"},
    {"programs": {"a": {"numproc": 1}}},
    {"programs": {"a": {"numprocs": "many"}}},
    {"programs": {"a": {"type": "x"}}},
    {"programs": {"a": {"strategy": {"x": 1}}}},
    {"http": 3},
]


@pytest.mark.parametrize("value", _GOOD)
def test_the_schema_takes_what_the_program_takes(value: dict[str, Any]) -> None:
    made = schema()
    assert _fits(value, made, made["$defs"])


@pytest.mark.parametrize("value", _BAD)
def test_the_schema_refuses_what_the_program_refuses(value: dict[str, Any]) -> None:
    made = schema()
    assert not _fits(value, made, made["$defs"])
