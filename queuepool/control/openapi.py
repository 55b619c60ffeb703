"""The JSON API described for other programs, as OpenAPI 3.1: requests from the types of messages.py themselves, answers
from those of domain/, and by hand where a handler makes a plain object. Serving the API is api.py's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from pydantic import TypeAdapter

from queuepool import __version__
from queuepool.control.messages import PREFIX
from queuepool.domain.access import ONLY_READS, Role
from queuepool.domain.observed import Snapshot
from queuepool.domain.queues import QueueView, RedisHealth

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_NUMBER: Schema = {"type": "integer"}
_YES_OR_NO: Schema = {"type": "boolean"}


def _object(more: Mapping[str, Schema] | None = None, /, **properties: Schema) -> Schema:
    """An object with all of these, and perhaps further ones: fields may be added, never renamed."""
    all_ = {**properties, **(more or {})}
    return {"type": "object", "properties": all_, "required": sorted(all_)}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_RESULT = _object(name=_TEXT, display=_TEXT, result=_TEXT, message=_TEXT)
_RESULTS = _object(results=_array(_RESULT))
_FAILURE = _or_null(_object(gate=_TEXT, message=_TEXT))
_CHANGES = {
    "added": _TEXTS,
    "changed": _array(_object(name=_TEXT, what=_TEXTS, restarts=_YES_OR_NO)),
    "removed": _TEXTS,
    "sections": _TEXTS,
    "problems": _TEXTS,
}
_DEPLOY = _object(
    {"id": _or_null(_TEXT), "failure": _FAILURE, "trouble": _FAILURE, "exit_code": _or_null(_NUMBER)},
    result=_TEXT,
    phase=_TEXT,
    seconds={"type": "number"},
    started=_TEXTS,
    restarted=_TEXTS,
    stopped=_TEXTS,
    kept=_TEXTS,
    programs=_array({"type": "object"}),
)
_REPLIES: dict[str, Schema] = {
    **dict.fromkeys(("start", "stop", "restart", "signal", "pause", "continue"), _RESULTS),
    "scale": _object(
        name=_TEXT, was=_NUMBER, wanted=_NUMBER, numprocs=_NUMBER, started=_TEXTS, stopped=_TEXTS,
        failed=_array(_RESULT), message=_TEXT,
    ),
    "reread": _object(_CHANGES),
    "update": _object(_CHANGES, results=_array(_RESULT)),
    "queues": {"$ref": "#/components/schemas/QueuesReply"},
    "redis": _object(servers=_array({"$ref": "#/components/schemas/RedisHealth"}), problems=_TEXTS),
    "await": _object(ready=_YES_OR_NO, waiting=_array(_object(name=_TEXT, display=_TEXT, state=_TEXT, reason=_TEXT))),
    "shutdown": _object(stopped=_TEXTS),
    "upgrade": _object(pid=_NUMBER, version=_TEXT),
    "reopen": _object(reopened=_NUMBER),
    "plandeploy": _object(changes=_YES_OR_NO, programs=_array({"type": "object"}), problems=_TEXTS),
    "deployhistory": _object(
        deploys=_array(
            _object(
                {"gate": _or_null(_TEXT), "failure": _or_null(_TEXT)},
                id=_TEXT, begun_at={"type": "number"}, seconds={"type": "number"}, result=_TEXT, who=_TEXT,
                release={"type": "object"}, programs=_TEXTS, started=_NUMBER, restarted=_NUMBER, stopped=_NUMBER,
                kept=_NUMBER,
            )
        )
    ),
    **dict.fromkeys(("deploy", "deploystatus", "followdeploy", "abortdeploy"), _DEPLOY),
}  # fmt: skip
"""Operation -> its reply."""

_EVENT = _object(
    seq=_NUMBER, time={"type": "number"}, event=_TEXT, process=_TEXT, fields={"type": "object"}, line=_TEXT
)
_ERROR = _object(
    error={
        "type": "object",
        "properties": {
            "message": {**_TEXT, "description": "What cannot be done."},
            "hint": {**_TEXT, "description": "Something to type."},
            "exit_code": {**_NUMBER, "description": "What the command `queuepool` would end with."},
            "problems": {**_TEXTS, "description": "Everything that is wrong with queuepool.yml."},
        },
        "required": ["message", "hint", "exit_code"],
    }
)
_ERRORS = {
    "400": "The request is wrong: it does not validate, or names what there is not.",
    "401": "Nobody is logged in, or the credentials are wrong.",
    "403": "The visitor may not do that, or the request comes from another site.",
    "404": "There is no such operation.",
    "409": "It cannot be done now, as with another deploy under way.",
    "413": "The body is larger than a megabyte.",
    "421": "The Host header names no host that this listener knows.",
    "429": "Too many failed logins; Retry-After says when.",
    "500": "A defect of the daemon; its traceback is in the daemon's log.",
    "503": "Too many connections, or the daemon ended.",
}
_PARAMETERS = {
    "name": {"name": "name", "in": "query", "description": "Only these; may be given several times.", "schema": _TEXTS},
    "since": {
        "name": "since",
        "in": "query",
        "description": "Number of the last event that is known.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**18},
    },
    "follow": {
        "name": "follow",
        "in": "query",
        "description": "Go on with what happens from now on, for ever.",
        "schema": {"enum": ["true", "false", "1", "0"]},
    },
}


def document(operations: Mapping[str, type[Any]], root_path: str = "") -> Schema:
    """The OpenAPI document. operations: name of the path -> type of its request. root_path: where a proxy shows it."""
    components, requests = _components(operations)
    paths: dict[str, Schema] = {
        "/status": _get("status", "What runs, what does not, and why.", _ref("Snapshot"), "name"),
        "/queues": _get("getQueues", "How deep the queues are and how fast they move.", _ref("QueuesReply"), "name"),
        "/deploy": _get("getDeploy", "The deploy that is under way, or the last one.", _DEPLOY),
        "/deploys": _get("getDeploys", "The deploys that have ended, the last one first.", _REPLIES["deployhistory"]),
        "/events": _get("events", "What happened, one event a line.", _EVENT, "since", "follow", lines=True),
    }
    for name, type_ in operations.items():
        reply = _REPLIES.get(name, {"type": "object"})
        paths.setdefault(f"/{name}", {}).update(_post(name, type_, requests[name], reply))
    return {
        "openapi": "3.1.0",
        "info": {"title": "queuepool", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": root_path + PREFIX}],  # "." would do by RFC 3986, and is misread by tools
        "security": [{"basic": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
            },
            "responses": {
                status: {"description": words, "content": {"application/json": {"schema": _ref("Error")}}}
                for status, words in _ERRORS.items()
            },
        },
    }


_INTRODUCTION = """\
Looking needs the role viewer, acting the role operator; see docs/howto/web.md. What is POSTed is answered by a stream
of JSON lines, any number of {"progress": {...}} and at the end {"reply": {...}} or {"error": {...}}; with
`Accept: application/json` by the reply alone, or the error with a status of HTTP."""


def _components(operations: Mapping[str, type[Any]]) -> tuple[Schema, dict[str, Schema]]:
    """The schemas that are named, and that of each request."""
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [
        ("Snapshot", "serialization", TypeAdapter(Snapshot)),
        ("QueueView", "serialization", TypeAdapter(QueueView)),
        ("RedisHealth", "serialization", TypeAdapter(RedisHealth)),
        *((name, "validation", TypeAdapter(type_)) for name, type_ in operations.items()),
    ]
    made, definitions = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    schemas: Schema = dict(definitions.get("$defs", {}))
    for (name, mode), schema in made.items():
        if mode == "serialization":
            schemas.setdefault(name, schema)
    for type_ in operations.values():
        schemas[type_.__name__]["additionalProperties"] = False
    for schema in schemas.values():
        schema.pop("title", None)
        for prop in schema.get("properties", {}).values():
            prop.pop("title", None)
    schemas["Error"] = _ERROR
    schemas["QueuesReply"] = _object(queues=_array(_ref("QueueView")), redis={"type": "object"}, problems=_TEXTS)
    return schemas, {name: made[name, "validation"] for name in operations}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _get(name: str, words: str, schema: Schema, *parameters: str, lines: bool = False) -> Schema:
    kind = "application/x-ndjson" if lines else "application/json"
    return {
        "get": {
            "operationId": name,
            "summary": words,
            "parameters": [_PARAMETERS[parameter] for parameter in parameters],
            "responses": _responses({kind: {"schema": schema}}),
        }
    }


def _post(name: str, type_: type[Any], request: Schema, reply: Schema) -> Schema:
    required = [field for field in fields(type_) if field.default is MISSING]
    words = " ".join((type_.__doc__ or "").split())
    line: Schema = {"oneOf": [_object(progress={"type": "object"}), _object(reply=reply), _ref("Error")]}
    return {
        "post": {
            "operationId": name,
            "summary": f"{words.partition('. ')[0].rstrip('.')}.",
            "description": words,
            "x-role": str(Role.VIEWER if name in ONLY_READS else Role.OPERATOR),
            "requestBody": {
                "required": bool(required),
                "content": {"application/json": {"schema": request}},
            },
            "responses": _responses({"application/json": {"schema": reply}, "application/x-ndjson": {"schema": line}}),
        }
    }


def _responses(content: Schema) -> Schema:
    errors = {status: {"$ref": f"#/components/responses/{status}"} for status in _ERRORS}
    return {"200": {"description": "It is done, or shown.", "content": content}, **errors}
