from __future__ import annotations

from dataclasses import replace

from queuepool.domain.changes import compare, describe
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, LogPolicy, Policy, PoolSpec, ProcessSpec


def pool(name: str = "w", numprocs: int = 2, *, launch: Launch | None = None, policy: Policy | None = None) -> PoolSpec:
    spec = ProcessSpec(
        ProcessName(name, 0), name, launch or Launch(("php",), "/srv"), policy or Policy(), LogPolicy("/l")
    )
    return PoolSpec(name, "worker", numprocs, lambda slot: replace(spec, name=ProcessName(name, slot)))


def test_the_same_twice_is_no_change() -> None:
    assert not compare({"w": pool()}, {"w": pool()})


def test_numbers_and_policies_change_without_a_restart() -> None:
    changes = compare({"w": pool(numprocs=2)}, {"w": pool(numprocs=4, policy=Policy(startsecs=5))})
    assert changes.changed == (("w", ("numprocs 2 -> 4", "startsecs 1.0 -> 5")),)
    assert not changes.restarts


def test_another_command_needs_a_restart() -> None:
    changes = compare({"w": pool()}, {"w": pool(launch=Launch(("php8.3",), "/srv"))})
    assert changes.changed == (("w", ("argv php -> php8.3",)),)
    assert changes.restarts == {"w"}


def test_values_of_the_environment_are_never_told() -> None:
    old, new = (pool(launch=Launch(("php",), "/srv", environment=(("TOKEN", value),))) for value in ("abc", "xyz"))
    assert describe(old, new) == ("environment",)
    assert "abc" not in repr(old.process(0))
    assert compare({"w": old}, {"w": new}).restarts == {"w"}


def test_what_came_and_went_is_named() -> None:
    changes = compare({"a": pool("a"), "b": pool("b")}, {"b": pool("b"), "c": pool("c")})
    assert (changes.added, changes.removed, changes.changed) == (("c",), ("a",), ())
