"""The types of the values of queuepool.yml: each reads its own kind of text and describes itself to the JSON Schema.
Which key has which type is spec.py's matter; the reading itself is units.py's."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from queuepool.domain import units
from queuepool.domain.names import PROGRAM_NAME
from queuepool.domain.pool import Autorestart


def _restart_when(value: object) -> object:
    text = str(value.value if isinstance(value, Autorestart) else value).strip().lower()
    try:
        return Autorestart({"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false"}.get(text, text))
    except ValueError:
        raise ValueError("must be true, false or unexpected") from None


def _verbosity(value: object) -> int:
    text = str(value).strip().lower()
    level = {"true": 1, "yes": 1, "on": 1, "false": 0, "no": 0, "off": 0}.get(text)
    if level is None and text not in ("0", "1", "2", "3"):
        raise ValueError("must be true, or 1 to 3 for -v to -vvv")
    return int(text) if level is None else level


def _log_target(value: object) -> object:
    return ("auto" if value else "none") if isinstance(value, bool) else value


def _one_word(value: object) -> object:
    text = str(value)
    if text.startswith("-") or any(c.isspace() for c in text):
        raise ValueError("is not a name")
    return value


def _listen_address(value: object) -> str:
    """`host:port` from `:9001`, `*:9001`, 9001 or `[::1]:9001`; a port alone is on this machine only."""
    text = str(value).strip()
    match = re.match(r"(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.*-]*):)?(\d{1,5})\Z", text, re.ASCII)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError("is not an address such as 127.0.0.1:9001")
    host = "127.0.0.1" if match[1] is None else match[1] if match[1] not in ("", "*") else "0.0.0.0"  # noqa: S104
    return f"{host}:{match[2]}"


def _root_path(value: object) -> str:
    """`/queuepool` from `queuepool/` and the like; "" for the root."""
    text = str(value).strip().strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*|", text, re.ASCII) or {".", ".."} & set(text.split("/")):
        raise ValueError("is not a path such as /queuepool")
    if text.partition("/")[0] in _TAKEN:
        raise ValueError(f"cannot be the root path: queuepool itself answers at /{text.partition('/')[0]}")
    return f"/{text}" if text else ""


_TAKEN = frozenset(
    {"api", "RPC2", "logtail", "mainlogtail", "login", "logout", "assets", "live", "metrics", "healthz", "favicon.ico"}
)


def _host_names(value: object) -> tuple[str, ...]:
    found = units.names(value)
    for name in found:
        if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name, re.ASCII):
            raise ValueError("must be names such as queue.example.org or *.example.org, without a port")
    return found


def _networks(value: object) -> tuple[str, ...]:
    found = units.names(value)
    for network in found:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.7 or 10.0.0.0/8") from None
    return found


def _visitor(value: str) -> str:
    if not value or len(value) > 100 or ":" in value or not value.isprintable():
        raise ValueError("cannot be a name: one is printable, without `:`, of at most 100 characters")
    return value


def _prefix(value: object) -> tuple[str, ...]:
    found = () if str(value).strip().lower() in ("none", "off", "false", "no", "") else units.names(value)
    if set(found) - {"time", "slot"}:
        raise ValueError("must be time, slot or both")
    return found


def _backoff(value: object) -> tuple[int, ...]:
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    if not items:
        raise ValueError("is empty")
    return tuple(units.whole_seconds(item) for item in items)


def _name(value: str) -> str:
    if value.lower() == "all":
        raise ValueError("cannot be a name: it stands for all programs")
    if len(value) > 100:
        raise ValueError("cannot be a name: it is longer than 100 characters")
    if not PROGRAM_NAME.match(value):
        raise ValueError("cannot be a name: one is made of letters, digits, _ . @ - and does not begin with . @ or -")
    return value


def _schema(*types: str) -> WithJsonSchema:
    return WithJsonSchema({"type": list(types)})


_NAME = {"type": ["string", "integer"]}
_LIST = WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME}]})
_PAIRS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}

Text = Annotated[str, Field(min_length=1), _schema("string", "integer")]
Name = Annotated[str, AfterValidator(_name)]
Word = Annotated[Text, BeforeValidator(_one_word)]
Names = Annotated[tuple[str, ...], BeforeValidator(units.names), _LIST]
Paths = Annotated[tuple[str, ...], BeforeValidator(units.paths), _LIST]
Words = Annotated[tuple[str, ...], BeforeValidator(units.words), _LIST]
Arguments = Annotated[tuple[str, ...], BeforeValidator(units.arguments), _LIST]
_COMMAND = {"anyOf": [{"type": "string"}, {"type": "array", "items": _NAME}]}
Commands = Annotated[
    tuple[tuple[str, ...], ...],
    BeforeValidator(units.commands),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _COMMAND}]}),
]
Count = Annotated[int, Field(ge=0, le=10**9)]
Priority = Annotated[int, Field(ge=-(10**6), le=10**6)]
Processes = Annotated[int, Field(ge=0, le=10_000)]
Nice = Annotated[int, Field(ge=-20, le=19)]
Seconds = Annotated[float, BeforeValidator(units.duration), _schema("number", "string")]
WholeSeconds = Annotated[int, BeforeValidator(units.whole_seconds), _schema("number", "string")]
RetryPause = Annotated[float, BeforeValidator(units.retry_pause), _schema("number", "string", "boolean")]
CanaryTime = Annotated[float, BeforeValidator(units.canary), _schema("number", "string", "boolean")]
Backoff = Annotated[tuple[int, ...], BeforeValidator(_backoff), _LIST]
Bytes = Annotated[int, BeforeValidator(units.size), _schema("integer", "string")]
Megabytes = Annotated[int, BeforeValidator(units.megabytes), _schema("integer", "string")]
Octal = Annotated[int, BeforeValidator(units.octal), _schema("string", "integer")]
SignalNumber = Annotated[int, BeforeValidator(units.signal_number), _schema("string", "integer")]
ExitCodes = Annotated[tuple[int, ...], BeforeValidator(units.exit_codes), _LIST]
RestartWhen = Annotated[
    Autorestart, BeforeValidator(_restart_when), WithJsonSchema({"enum": [True, False, "unexpected"]})
]
Verbosity = Annotated[int, BeforeValidator(_verbosity), _schema("boolean", "integer")]
Share = Annotated[int | str, BeforeValidator(units.share), _schema("integer", "string")]
Address = Annotated[str, BeforeValidator(_listen_address), _schema("string", "integer")]
LogTarget = Annotated[str, BeforeValidator(_log_target), Field(min_length=1), _schema("string", "boolean")]
LogPrefix = Annotated[tuple[str, ...], BeforeValidator(_prefix), _LIST]
Environment = Annotated[
    dict[str, str], BeforeValidator(units.environment), WithJsonSchema({"anyOf": [_PAIRS, {"type": "string"}]})
]
Rlimits = Annotated[
    dict[str, tuple[int, int]],
    BeforeValidator(units.rlimits),
    WithJsonSchema({"type": "object", "propertyNames": {"enum": sorted(units.RLIMITS)}}),
]
Visitor = Annotated[str, AfterValidator(_visitor)]
RootPath = Annotated[str, BeforeValidator(_root_path), _schema("string")]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_host_names), _LIST]
Networks = Annotated[tuple[str, ...], BeforeValidator(_networks), _LIST]
Access = Literal["viewer", "operator"]
Kind = Literal["worker", "listen", "horizon", "command"]
Rotation = Literal["never", "hourly", "daily"]
