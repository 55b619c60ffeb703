"""What is wrong, in words: pydantic's errors -> faults, and faults -> `file:line: path: what is wrong (hint)`. Finding
out what is wrong is done elsewhere. No value is shown that may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from queuepool.domain.places import Fault, Path, key_of
from queuepool.domain.spec import (
    LATER,
    WITHOUT_EQUIVALENT,
    Deploy,
    Engine,
    Group,
    Http,
    Login,
    Program,
    Section,
    Settings,
    Strategy,
    Token,
)

_SECRET = frozenset({"http", "password", "environment", "slack", "webhook", "headers", "secret"})
"""Keys whose value, and whatever is in it, is not shown."""

MOST = 200
"""Problems shown of one file. A file with more is wrong as a whole."""

_WORDS: dict[str, str] = {
    "dict_type": "is not a mapping of `name: value` lines",
    "model_type": "is not a mapping of `name: value` lines",
    "model_attributes_type": "is not a mapping of `name: value` lines",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_parsing_size": "is too large",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
}


def faults_of(
    error: ValidationError, model: type[Section], text_at: Callable[[Path], str | None], above: Path = ()
) -> list[Fault]:
    """Each of pydantic's errors as a fault. model: what the file should be. text_at: the text that stands at a path,
    as it was written; a value that came out of a variable is not shown. above: where in the file the error is from."""
    items = error.errors(include_url=False, include_input=False)[: MOST + 1]
    return [_fault(item, (*above, *item["loc"]), model, text_at) for item in items]


def _fault(item: Any, where: Path, model: type[Section], text_at: Callable[[Path], str | None]) -> Fault:
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "extra_forbidden":
        return _unknown_key(where, model)
    if where and where[-1] == "[key]":
        return Fault(where[:-1], str(context.get("error", item["msg"])))
    hint = ""
    if kind == "value_error":
        what = str(context.get("error", "is wrong"))
    elif kind == "literal_error":
        what = "is not one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
        allowed = what.removeprefix("is not one of ").split(", ")
        hint = _did_you_mean(text_at(where) or "", allowed)
    elif kind == "greater_than_equal":
        what = f"is less than {context['ge']}"
    elif kind == "less_than_equal":
        what = f"is more than {context['le']}"
    else:
        what = _WORDS.get(kind, f"is wrong: {item['msg']}")
    return Fault(where, _with_value(what, where, text_at(where)), hint)


def _with_value(what: str, where: Path, value: str | None) -> str:
    if not what.startswith("is ") or what == "is empty":
        return what
    if value is None or len(value) > 60 or not value.isprintable() or _SECRET & set(where):
        return f"the value {what}" if where else f"the file {what}"
    return f"`{value}` {what}"


def _unknown_key(where: Path, model: type[Section]) -> Fault:
    name, inside = str(where[-1]), _model_at(where[:-1], model)
    known = [key_of(field) for field in inside.model_fields]
    if inside is Program:
        if name in LATER:
            return Fault(where, LATER[name])
        if name in WITHOUT_EQUIVALENT:
            return Fault(where, "is an option of Supervisor that means nothing here", "remove it")
        if name in Deploy.model_fields:
            return Fault(where, "unknown key", "put it below `deploy:`")
    hint = _did_you_mean(name, known)
    if len(where) == 1:
        if model is not Settings and name in Settings.model_fields:
            return Fault(where, "can only be set in the main file")
        if name in [key_of(field) for field in Program.model_fields]:
            hint = "put it below `defaults:` or below a program"
    return Fault(where, "unknown key", hint)


def _model_at(where: Path, model: type[Section]) -> type[BaseModel]:
    if where and where[-1] == "strategy":
        return Strategy
    if where and where[0] in ("programs", "defaults"):
        return Program
    if where and where[0] == "groups":
        return Group
    if where and where[0] == "deploy":
        return Deploy
    if where and where[0] == "engine":
        return Engine
    if where and where[0] == "http":
        entries: dict[object, type[BaseModel]] = {"users": Login, "tokens": Token}
        return entries.get(where[1], Http) if len(where) == 3 else Http
    if where and where[0] == "notifications":
        return _notification_model_at(where[1:])
    return model


def _notification_model_at(where: Path) -> type[BaseModel]:
    from queuepool.domain.notifyspec import CrashLoop, Email, NoticeTarget, Notifications, Secret

    inside: dict[str, type[BaseModel]] = {
        "crash_loop": CrashLoop,
        "email": Email,
        "slack": Secret,
        "webhook": Secret,
        "secret": Secret,
    }
    if where and where[0] == "targets":
        where = where[2:]
        if not where:
            return NoticeTarget
    if not where:
        return Notifications
    if where[-1] == "password" or where[0] == "headers":
        return Secret
    return inside.get(str(where[0]), Notifications)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # here: only a wrong file needs it

    word, names = name.lower().replace("-", "_")[:100], list(known)
    near = get_close_matches(word, names, 1) or [key for key in names if _begin_alike(word, key)]
    return f"did you mean {near[0]}?" if near else ""


def _begin_alike(word: str, key: str) -> bool:
    """Whether one is short for the other, as `notify` and `env` are for `notifications` and `environment`."""
    length = min(5, max(3, len(word)))
    return word[:length] == key[:length]


def sentence(file: str, line: int, fault: Fault) -> str:
    """`queuepool.yml:12: programs.mail.numproc: unknown key (did you mean numprocs?)`."""
    parts = [f"{file}:{line}"]
    if fault.where:
        parts.append(path_text(fault.where))
    hint = f" ({fault.hint})" if fault.hint else ""
    return ": ".join([*parts, fault.what]) + hint


def path_text(where: Path) -> str:
    """`programs.mail.queue[1]`."""
    text = ""
    for step in where:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if step.isprintable() and step and len(step) <= 80 else repr(step[:80])
            text += f".{shown}" if text else shown
    return text
