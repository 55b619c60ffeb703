from __future__ import annotations

import asyncio
from collections.abc import Mapping

from queuepool.controller.usage import FRESH_SECONDS, ProgramUsage, UsageMeter
from queuepool.system.procstat import Tree


class Machine:
    """What /proc says, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks = 0
        self.owners: dict[int, str] = {}
        self.trees: dict[int, Tree] = {}
        self.meter = UsageMeter(lambda: self.owners, look=self.look, clock=lambda: self.now)

    def look(self, owners: Mapping[int, str]) -> Mapping[int, Tree]:
        self.looks += 1
        return {pid: tree for pid, tree in self.trees.items() if pid in owners}

    def seen(self, after: float = FRESH_SECONDS) -> dict[str, ProgramUsage]:
        self.now += after
        return dict(asyncio.run(self.meter.programs()))


def test_processor_time_adds_up_over_processes_that_come_and_go_and_never_falls() -> None:
    machine = Machine()
    machine.owners = {1: "w", 2: "w", 3: "v"}
    machine.trees = {1: Tree("a", 10, 1.0), 2: Tree("b", 20, 2.0), 3: Tree("c", 5, 7.0)}
    assert machine.seen() == {"w": ProgramUsage(3.0, 30), "v": ProgramUsage(7.0, 5)}
    machine.trees[1] = Tree("a", 11, 1.5)
    del machine.trees[2], machine.owners[2]
    assert machine.seen()["w"] == ProgramUsage(3.5, 11)
    machine.trees[1] = Tree("another, of the same pid", 12, 0.25)
    assert machine.seen()["w"] == ProgramUsage(3.75, 12)
    machine.trees[1] = Tree("another, of the same pid", 12, 0.2)
    assert machine.seen()["w"] == ProgramUsage(3.75, 12)
    machine.owners = {3: "v"}
    assert machine.seen()["w"] == ProgramUsage(3.75, 0)


def test_a_look_is_not_repeated_too_soon() -> None:
    machine = Machine()
    machine.owners, machine.trees = {1: "w"}, {1: Tree("a", 10, 1.0)}
    first = machine.seen()
    machine.trees[1] = Tree("a", 10, 5.0)
    assert machine.seen(FRESH_SECONDS - 1) == first
    assert machine.looks == 1
    assert machine.seen(1)["w"].cpu == 5.0
