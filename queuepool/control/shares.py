"""Who has how many of what is limited: open pages, followed logs, answers in progress. How often one may try something
is domain/throttle.py's matter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Shares:
    """most: for all together. each: for one, so that nobody can take everybody's."""

    most: int
    each: int
    taken: dict[str, int] = field(default_factory=dict)

    def refusal(self, who: str) -> str:
        """Why `who` gets no further one: "" when he does."""
        if self.taken.get(who, 0) >= self.each:
            return f"you have {self.each} already"
        return "there are too many" if sum(self.taken.values()) >= self.most else ""

    @contextmanager
    def hold(self, who: str) -> Iterator[None]:
        """Have one until the block ends."""
        self.taken[who] = self.taken.get(who, 0) + 1
        try:
            yield
        finally:
            self.taken[who] -= 1
            if not self.taken[who]:
                del self.taken[who]
