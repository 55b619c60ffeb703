"""XML-RPC as bytes: a request read from them, an answer written to them. Pure, and with no trust in what it reads. What
a method does stands in the files of methods (xmlrpc_table.py).

The standard library does the reading of values and all the writing. Its parser is not used: it takes document types,
whose entities expand without end ("billion laughs", see the warning in the documentation of xmlrpc.client), and
compressed bodies. XML-RPC needs neither."""

from __future__ import annotations

import re
import xmlrpc.client
from typing import Any
from xml.parsers import expat

MAX_DEPTH = 64
"""Elements in each other. A multicall of Supervisor's methods needs 14."""

TOO_LARGE = 32 * 1024 * 1024
"""Bytes of an answer, about, above which there is none."""

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (section 2.2). Real supervisord sends it all the same, and its clients break."""


class Unreadable(ValueError):
    """A body that is no call."""


def read(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """The method and its parameters. Raises Unreadable."""
    values = xmlrpc.client.Unmarshaller(use_builtin_types=True)
    values.xml(None, None)  # type: ignore[arg-type] # text comes decoded
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        values.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        values.end(tag)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = values.data
    try:
        parser.Parse(body, True)
        params = values.close()
    except Exception as error:  # noqa: BLE001 - the library raises whatever a strange value makes it run into
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    method = values.getmethodname()
    if not isinstance(method, str) or not method:
        raise Unreadable("no method name")
    return method, tuple(params)


def answer(value: Any) -> bytes:
    """The answer with this value."""
    return xmlrpc.client.dumps((fit(value),), methodresponse=True).encode()


def fault(code: int, text: str) -> bytes:
    """The answer with this fault."""
    return xmlrpc.client.dumps(xmlrpc.client.Fault(int(code), fit(text))).encode()


def fit(value: Any) -> Any:
    """The value as XML-RPC can hold it: without colours and control characters, integers within 32 bits."""
    if isinstance(value, str):
        return _ILLEGAL.sub("\ufffd", _COLOUR.sub("", value))
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return max(xmlrpc.client.MININT, min(int(value), xmlrpc.client.MAXINT))
    if isinstance(value, dict):
        return {fit(key): fit(item) for key, item in value.items()}
    return [fit(item) for item in value]


def weight(value: Any) -> int:
    """About how many bytes a value takes in an answer."""
    if isinstance(value, str):
        return 32 + 2 * len(value)
    if isinstance(value, dict):
        return sum(64 + len(key) + weight(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return 64 + sum(map(weight, value))
    return 32


def _refuse(*_: object) -> None:
    raise Unreadable("a document type, which XML-RPC has not")
