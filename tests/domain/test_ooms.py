from __future__ import annotations

from queuepool.domain.ooms import OomKills


def test_as_many_kills_are_for_memory_as_the_kernel_says() -> None:
    kernel, now = [4], [100.0]
    ooms = OomKills(lambda: kernel[0], lambda: now[0])

    def killed(at: float) -> bool:
        now[0] = at
        return ooms.was_one()

    assert not killed(100.0), "what was before the daemon is not its matter"
    kernel[0] = 6
    assert killed(200.0)
    assert killed(201.0), "two at a time"
    assert not killed(202.0)
    kernel[0] = 8
    assert killed(300.0)
    assert not killed(400.0), "the other one was a child of a worker"


def test_where_the_kernel_does_not_count_a_kill_is_a_kill() -> None:
    answers: list[int | None] = [None, 3, None, 4]
    ooms = OomKills(lambda: answers.pop(0), lambda: 1.0)
    assert [ooms.was_one() for _ in range(3)] == [False] * 3
