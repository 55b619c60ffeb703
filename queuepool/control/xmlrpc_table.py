"""The table of XML-RPC methods: what each takes and returns, how a call finds its method, and the methods of `system.`
that tell of the others. The methods themselves stand in xmlrpc_info.py, xmlrpc_acting.py, xmlrpc_groups.py and
xmlrpc_logs.py."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from queuepool.control import visiting
from queuepool.control import xmlrpc_wire as wire
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_intents import Update, Verdict
from queuepool.domain.access import Role
from queuepool.domain.names import UnknownName
from queuepool.errors import ConfigError, QueuepoolError

if TYPE_CHECKING:
    from queuepool.control.xmlrpc_face import Face


@dataclass(slots=True)
class Caller:
    """Who makes a call. pid: of the process at the other end of a unix socket; 0: not known. fresh: whether it is the
    first call of its connection. update: what that connection has asked of groups; None: each call is taken by itself.
    verdict: what this call means in a restart."""

    pid: int = 0
    fresh: bool = False
    update: Update | None = None
    verdict: Verdict = Verdict.PERFORM


Run = Callable[..., Awaitable[Any]]

MAX_CALLS = 1000
"""Calls in one multicall."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method. params: (type, name) each; required: how many of them must be given."""

    run: Run
    returns: str
    params: tuple[tuple[str, str], ...] = ()
    required: int = 0
    words: str = ""

    @property
    def help(self) -> str:
        """Its documentation, in the form in which Supervisor's clients read it."""
        lines = [self.words, ""]
        lines += [f"@param {type_} {name}" for type_, name in self.params]
        return "\n".join([*lines, f"@return {self.returns} result"])

    def arguments(self, given: Sequence[Any]) -> list[Any]:
        """The parameters, each of its type. Raises INCORRECT_PARAMETERS."""
        if not self.required <= len(given) <= len(self.params):
            raise RpcFault(Code.INCORRECT_PARAMETERS)
        try:
            return [_converter(type_, name)(value) for (type_, name), value in zip(self.params, given, strict=False)]
        except (TypeError, ValueError, OverflowError):
            raise RpcFault(Code.INCORRECT_PARAMETERS) from None


METHODS: dict[str, Method] = {}


def method(*names: str, returns: str, **params: str) -> Callable[[Run], Run]:
    """Enter a function into the table under each of `names`. params: the type of each parameter of a call; one that has
    a default in the function may be left out."""

    def enter(run: Run) -> Run:
        defaults = inspect.signature(run).parameters
        required = sum(defaults[name].default is inspect.Parameter.empty for name in params)
        words = " ".join((run.__doc__ or "").split())
        for name in names:
            METHODS[name] = Method(
                run, returns, tuple((type_, name) for name, type_ in params.items()), required, words
            )
        return run

    return enter


async def call(face: Face, caller: Caller, name: str, given: Sequence[Any]) -> Any:
    """Do what a call asks for; its value. Raises RpcFault."""
    entry = METHODS.get(name)
    if entry is None:
        raise RpcFault(Code.UNKNOWN_METHOD)
    visitor = visiting.visitor.get()
    if visitor is not None and not (visitor.may(Role.OPERATOR) or only_reads(name)):
        raise RpcFault(Code.FAILED, f"{visitor.name or 'whoever asks without credentials'} may only look")
    if face.stopping and not name.startswith("system."):
        raise RpcFault(Code.SHUTDOWN_STATE)
    arguments = entry.arguments(given)
    try:
        await face.hear(caller, name)
        return await entry.run(face, caller, *arguments)
    except UnknownName as error:
        raise RpcFault(Code.BAD_NAME, error.text) from None
    except ConfigError as error:
        raise RpcFault(Code.CANT_REREAD, "; ".join(error.problems) or error.message) from None
    except QueuepoolError as error:
        raise RpcFault(Code.FAILED, f"{error.message} ({error.hint})" if error.hint else error.message) from None


def only_reads(name: str) -> bool:
    """Whether a method changes nothing. One that is not known to is taken to act."""
    space, _, verb = name.partition(".")
    reads = ("get", "read", "tail") if space == "supervisor" else ("list", "method", "multicall")
    return verb.startswith(reads) or name == "supervisor.reloadConfig"


@method("system.listMethods", returns="array")
async def list_methods(face: Face, caller: Caller) -> list[str]:
    """Return an array of the names of all methods."""
    return sorted(METHODS)


@method("system.methodHelp", returns="string", name="string")
async def method_help(face: Face, caller: Caller, name: str) -> str:
    """Return the documentation of a method."""
    return _known(name).help


@method("system.methodSignature", returns="array", name="string")
async def method_signature(face: Face, caller: Caller, name: str) -> list[str]:
    """Return an array with the types of what a method returns and of each of its parameters."""
    entry = _known(name)
    return [entry.returns, *(type_ for type_, _ in entry.params)]


@method("system.multicall", returns="array", calls="array")
async def multicall(face: Face, caller: Caller, calls: list[Any]) -> list[Any]:
    """Make several calls, each a struct {methodName, params}, one after the other. Return an array with the value of
    each, or a struct {faultCode, faultString} in its place."""
    if len(calls) > MAX_CALLS:
        raise RpcFault(Code.FAILED, f"a multicall may have {MAX_CALLS} calls, and this has {len(calls)}")
    results: list[Any] = []
    size = 0
    for item in calls:
        await asyncio.sleep(0)  # a long one must not keep the daemon from its work
        try:
            value = await _one_of_many(face, item)
            size += wire.weight(value)
            if size > wire.TOO_LARGE:
                raise RpcFault(Code.FAILED, "the answers of this multicall are too large together")
        except RpcFault as fault:
            value = {"faultCode": int(fault.code), "faultString": fault.text}
        results.append(value)
    return results


async def _one_of_many(face: Face, item: Any) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("params", []), list | tuple):
        raise RpcFault(Code.INCORRECT_PARAMETERS, "not a struct of methodName and params")
    name = item.get("methodName")
    if not isinstance(name, str):
        raise RpcFault(Code.INCORRECT_PARAMETERS, "No methodName")
    if name == "system.multicall":
        raise RpcFault(Code.INCORRECT_PARAMETERS, "Recursive system.multicall forbidden")
    return await call(face, Caller(), name, item.get("params", []))


def _known(name: str) -> Method:
    if name not in METHODS:
        raise RpcFault(Code.SIGNATURE_UNSUPPORTED)
    return METHODS[name]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int | float | str) or not -(1 << 62) < int(value) < 1 << 62:
        raise ValueError("not an integer")
    return int(value)


def _truth(value: Any) -> bool:
    """As Supervisor takes it, which asks Python: PHP's clients send `'false'` as text, and it waits all the same."""
    return bool(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("not an array")
    return list(value)


def _signal(value: Any) -> str:
    return str(value) if isinstance(value, int) else _text(value)


def _converter(type_: str, name: str) -> Callable[[Any], Any]:
    return _signal if name == "signal" else _CONVERT[type_]  # by name or number


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "int": _whole,
    "boolean": _truth,
    "array": _list,
}
