"""The OpenAPI document: it is one, and what the server takes and answers is what it says. A real daemon is held to it
by schemathesis in tests/e2e/test_openapi.py."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from queuepool.control.openapi import document
from queuepool.control.operations import OPERATIONS
from queuepool.domain.access import ONLY_READS

from .fake import FakeDaemon, serving

TYPES = {name: type_ for name, (type_, _) in OPERATIONS.items()}
DOCUMENT = document(TYPES)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Checks values; what the schema refers to is found in the document."""
    return Draft202012Validator({"components": DOCUMENT["components"], **schema})


def request_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = DOCUMENT["paths"][f"/{name}"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Every schema that is referred to, or stands in a `schema`."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("schema", "items") and isinstance(item, dict):
                yield item
            yield from schemas(item)
    elif isinstance(value, list):
        for item in value:
            yield from schemas(item)


def test_every_operation_is_described_with_the_role_it_needs() -> None:
    posts = {path.removeprefix("/"): item["post"] for path, item in DOCUMENT["paths"].items() if "post" in item}
    assert posts.keys() == OPERATIONS.keys()
    assert {name for name, post in posts.items() if post["x-role"] == "viewer"} == ONLY_READS
    assert all(post["summary"] and "200" in post["responses"] for post in posts.values())
    gets = {path for path, item in DOCUMENT["paths"].items() if "get" in item}
    assert gets == {"/status", "/queues", "/deploy", "/events"}


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for schema in [*DOCUMENT["components"]["schemas"].values(), *schemas(DOCUMENT["paths"])]:
        Draft202012Validator.check_schema(schema)
    for reference in {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}:
        here: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            here = here[step]
    names = [item["operationId"] for path in DOCUMENT["paths"].values() for item in path.values()]
    assert len(names) == len(set(names))


def test_a_request_that_the_schema_forbids_is_one_of_an_unknown_field_or_type() -> None:
    scale = validator(request_schema("scale"))
    assert scale.is_valid({"name": "w", "count": 4})
    assert not scale.is_valid({"name": "w", "cuont": 4})
    assert not scale.is_valid({"count": 4})
    assert not scale.is_valid({"name": "w", "count": "4"})


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeDaemon, str]]:
    with (
        tempfile.TemporaryDirectory(prefix="qp", dir="/tmp") as directory,
        serving(f"{directory}/s", FakeDaemon()) as fake,
    ):
        yield fake, f"{directory}/s"


def post(path: str, name: str, body: bytes) -> tuple[int, Any]:
    connection = HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(20)
    connection.sock.connect(path)
    try:
        connection.request("POST", f"/api/v1/{name}", body, {"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150)
@given(data=st.data())
def test_the_server_takes_just_what_the_schema_allows(served: tuple[FakeDaemon, str], data: st.DataObject) -> None:
    fake, path = served
    name = data.draw(st.sampled_from(sorted(OPERATIONS)))
    fields = list(DOCUMENT["components"]["schemas"][TYPES[name].__name__].get("properties", {}))
    value = data.draw(st.dictionaries(st.sampled_from([*fields, "names", "other"]), VALUES, max_size=3))
    fake.asked.clear()
    status, answer = post(path, name, json.dumps(value).encode())
    allowed = validator(request_schema(name)).is_valid(value)
    assert (status == 200) is allowed, (name, value, answer)
    assert len(fake.asked) == (1 if allowed else 0)
    if not allowed:
        assert status == 400
        assert validator({"$ref": "#/components/schemas/Error"}).is_valid(answer)
