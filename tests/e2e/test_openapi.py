"""schemathesis against a real daemon over TCP: whatever it makes of the OpenAPI document that the daemon itself hands
out, the answers are those that the document promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from queuepool.control.operations import OPERATIONS
from tests.support.daemon import Queuepool
from tests.support.ports import free_port
from tests.support.wait import eventually

TOKEN = "0123456789abcdef" * 3
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
ENDS_IT = r"/(shutdown|upgrade|events)$"
"""What ends the daemon, and what may go on for ever."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon that runs nothing, so that nothing that is asked for takes long: its address."""
    port = free_port()
    text = f"http: {{listen: 127.0.0.1:{port}, tokens: {{ci: {{token: {TOKEN}, role: operator}}}}}}\nprograms: {{}}\n"
    with Queuepool(tmp_path_factory.mktemp("api") / "qp", text) as qp:
        qp.up()
        eventually(lambda: "event=listening" in qp.journal(), 60, "it listens")
        yield f"http://127.0.0.1:{port}"
        assert qp.status()["daemon"]["state"] == "RUNNING"


def test_answers_are_what_the_document_promises(daemon: str) -> None:
    api = schemathesis.openapi.from_url(f"{daemon}/api/v1/openapi.json").exclude(path_regex=ENDS_IT)
    asked = set()
    for found in api.get_all_operations():
        operation = found.ok()

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def answered(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=HEADERS, checks=CHECKS, timeout=30)

        answered()
        asked.add(operation.path.removeprefix("/api/v1"))
    assert {f"/{name}" for name in OPERATIONS} - asked == {"/shutdown", "/upgrade"}
