from __future__ import annotations

from queuepool.engines.pacer import LONGEST_SECONDS, LOOK_SECONDS, Pacer


class Machine:
    """Processes that run and want to as is set by hand, on a clock set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.eaten: dict[int, int] = {}
        self.hungry: set[int] = set()
        self.silent = False
        self.pacer = Pacer(lambda: self.now, self.ran, self.hungry.__contains__, limit=2)

    def ran(self, pid: int) -> int | None:
        return None if self.silent else self.eaten[pid]

    def begin(self, pid: int) -> None:
        self.eaten[pid] = 1_000_000
        self.pacer.began(pid, pid)

    def pass_(self, busy: set[int], seconds: float = LOOK_SECONDS, starved: set[int] | None = None) -> int:
        self.now += seconds
        self.hungry.clear()
        self.hungry.update(busy, starved or ())
        for pid in busy:
            self.eaten[pid] += int(seconds * 1e9)
        return self.pacer.look()


def test_no_more_boot_at_once_than_the_limit() -> None:
    machine = Machine()
    machine.begin(1)
    machine.begin(2)
    assert machine.pacer.free == 0
    assert machine.pass_(busy={1, 2}) == 0
    assert machine.pass_(busy={1, 2}) == 0
    assert machine.pass_(busy={2}) == 1, "one has booted: it wants the processor no more"
    machine.begin(3)
    assert machine.pass_(busy={2, 3}) == 0


def test_a_process_that_is_kept_from_running_still_boots() -> None:
    machine = Machine()
    machine.begin(1)
    for _ in range(50):
        assert machine.pass_(busy=set(), starved={1}) == 1, "it has not run at all, but it wants to"


def test_one_that_sleeps_between_two_strides_still_boots() -> None:
    machine = Machine()
    machine.begin(1)
    for _ in range(20):
        machine.eaten[1] += int(LOOK_SECONDS * 0.5e9)
        assert machine.pass_(busy=set()) == 1


def test_one_that_never_settles_is_let_go_after_a_while() -> None:
    machine = Machine()
    machine.begin(1)
    assert machine.pass_(busy={1}) == 1
    assert machine.pass_(busy={1}, seconds=LONGEST_SECONDS + 1) == 2


def test_one_that_ends_makes_room() -> None:
    machine = Machine()
    machine.begin(1)
    machine.pacer.ended(1)
    assert machine.pacer.free == 2
    assert not machine.pacer.busy


def test_where_the_system_does_not_tell_nobody_waits_for_long() -> None:
    machine = Machine()
    machine.begin(1)
    machine.silent = True
    assert machine.pass_(busy=set(), seconds=0.1) == 1
    assert machine.pass_(busy=set(), seconds=0.2) == 2
