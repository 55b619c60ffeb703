"""The house as docs/architecture.md draws it, held against the imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "queuepool"
ROW = re.compile(r"^\| (\d) \| `(queuepool\.\w+)` \| (.*?) \|", re.M)
FLOORS = {name: int(floor) for floor, name, _ in ROW.findall((ROOT / "docs" / "architecture.md").read_text())}
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = {"queuepool.domain", "queuepool.formats"}
PURE_MAY_IMPORT = {
    "__future__", "bisect", "collections", "configparser", "dataclasses", "difflib", "enum", "fnmatch", "functools",
    "hashlib", "heapq", "io", "ipaddress", "itertools", "json", "math", "operator", "posixpath", "pydantic",
    "pydantic_core", "queuepool", "re", "shlex", "signal", "string", "textwrap", "types", "typing",
}  # fmt: skip


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[tuple[str, int]]:
    """Every module imported anywhere in the file, also inside functions, with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            found.append((module, node.lineno))
            if module == "queuepool":
                found += [(f"queuepool.{alias.name}", node.lineno) for alias in node.names]
    return found


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_room_stands_on_a_floor_of_the_map() -> None:
    rooms = {room_of(name_of(path)) for path in MODULES} - {"queuepool", "queuepool.__main__"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    room = room_of(name_of(path))
    if room in ("queuepool", "queuepool.__main__"):
        return
    for module, line in imports(path):
        target = room_of(module)
        if target in FLOORS and target != room:
            assert FLOORS[target] < FLOORS[room], f"{path}:{line}: {room} must not import {module}"


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(name_of(p)) in PURE], ids=name_of)
def test_pure_rooms_import_nothing_that_acts(path: Path) -> None:
    for module, line in imports(path):
        assert module.split(".")[0] in PURE_MAY_IMPORT, f"{path}:{line}: {module} in a pure module"


DOCTOR = PACKAGE / "doctor"
PURE_FILES = (DOCTOR / "finding.py", DOCTOR / "report.py")
PURE_IN_DOCTOR = (*DOCTOR.glob("checks/*.py"), *DOCTOR.glob("facts/*.py"), *PURE_FILES)


@pytest.mark.parametrize("path", sorted(PURE_IN_DOCTOR), ids=name_of)
def test_checks_of_the_doctor_import_nothing_that_acts(path: Path) -> None:
    for module, line in imports(path):
        assert module.split(".")[0] in {*PURE_MAY_IMPORT, "inspect"}, f"{path}:{line}: {module} in a pure module"
        if module.startswith("queuepool.doctor."):
            assert not module.startswith(("queuepool.doctor.looks", "queuepool.doctor.examine")), f"{path}:{line}"


def test_only_up_and_detach_import_the_daemon() -> None:
    users = {name_of(path) for path in MODULES if any(m == "queuepool.daemon" for m, _ in imports(path))}
    assert users <= {"queuepool.cli.up", "queuepool.cli.detach"}


def test_every_module_says_what_lives_in_it() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_the_floors_are_read_from_the_map() -> None:
    assert FLOORS["queuepool.domain"] == 1
    assert len(FLOORS) >= 11
    assert sys.version_info >= (3, 11)


TOP_LEVEL = {"pyproject.toml", "queuepool", "tests", "examples", "docs", "README.md", "LICENSE", "CHANGELOG.md"}


def test_nothing_else_lies_at_the_top_of_the_repository() -> None:
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode or not done.stdout:
        pytest.skip("this is no checkout of git")
    top = {name.split("/")[0] for name in done.stdout.split("\0") if name}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL
