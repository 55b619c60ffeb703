"""No test sleeps for time to pass: it waits for what it looks at, counts turns of a loop, or moves a clock by hand
(tests/support/wait.py, tests/support/turns.py). The bench is no test: there time is what is measured."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
ALLOWED = {
    "doctor/test_breaks_redis.py::far_away.carry": "a network that is slow is what it pretends to be",
    "laravel/test_health.py::test_each_way_of_being_away_is_said_in_two_seconds_and_over_by_itself.until": "asks again",
    "logs/pumped.py::_await_growth": "asks for the size of a file again",
    "logs/pumped.py::main": "a kill at any moment",
    "logs/pumped.py::pump": "asks for a file of another process again",
    "support/listener.py::behave": "a program that tests start: it hangs, or is slow",
    "support/listener.py::main": "a program that tests start: it hangs, or prints without end",
    "support/turns.py::passes": "the clock leaps over it",
    "support/turns.py::until": "asks again",
    "support/wait.py::eventually": "asks again",
    "support/worker.py::Report.wait": "asks for the lines of a file again",
}
"""Who may, as FILE::FUNCTION, and why."""


class Sleeps(ast.NodeVisitor):
    """found: (function, line) of each call of time.sleep or asyncio.sleep with anything but a 0. By whatever name it is
    imported, and also where it is not called but handed over."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []
        self._inside: list[str] = []
        self._names: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module in ("time", "asyncio"):
            self._names |= {alias.asname or alias.name for alias in node.names if alias.name == "sleep"}

    def visit_Call(self, node: ast.Call) -> None:
        if self._is_sleep(node.func) and [ast.dump(arg) for arg in node.args] == [ast.dump(ast.Constant(0))]:
            return
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._note(node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._note(node)

    def _note(self, node: ast.expr) -> None:
        if self._is_sleep(node):
            self.found.append((".".join(self._inside), node.lineno))

    def _is_sleep(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._names
        return (
            isinstance(node, ast.Attribute)
            and node.attr == "sleep"
            and isinstance(node.value, ast.Name)
            and node.value.id in ("time", "asyncio")
        )


def sleeps(text: str) -> list[tuple[str, int]]:
    visitor = Sleeps()
    visitor.visit(ast.parse(text))
    return visitor.found


def found_in_tests() -> Iterator[tuple[str, int]]:
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        if not name.startswith("bench/"):
            yield from ((f"{name}::{function}", line) for function, line in sleeps(path.read_text()))


def test_no_test_sleeps_for_time_to_pass() -> None:
    found = list(found_in_tests())
    assert [f"{where} (line {line})" for where, line in found if where not in ALLOWED] == []
    assert set(ALLOWED) - {where for where, _ in found} == set(), "these sleep no more: take them out of the list"


def test_a_sleep_is_found_in_whatever_form() -> None:
    text = """
import asyncio, time
from time import sleep as nap
time.sleep(0)
class C:
    async def f(self):
        await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        def g(): nap(x)
loop.call_soon(time.sleep, 3)
nap(0)
"""
    assert sleeps(text) == [("C.f", 8), ("C.f.g", 9), ("", 10)]
