"""A Redis server, as the workers of the programs meet it. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.domain.queues import RedisHealth


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """health: what it says of itself, or why it cannot be asked. code: the error reply behind that, such as NOAUTH; "":
    another reason. uses: `queue redis`, `cache`, `horizon`. programs: those that use it. reach: the redis-cli that
    reaches it, as a person would type it. db: number of the database. pings: seconds of each of some PINGs. denied:
    commands that workers need and this login may not run, each with the reply. needs: connections that all workers
    together open. guessed: the application could not be asked, so this is what its .env says."""

    health: RedisHealth
    code: str = ""
    uses: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    reach: str = "redis-cli"
    db: int = 0
    pings: tuple[float, ...] = ()
    denied: tuple[str, ...] = ()
    needs: int = 0
    guessed: bool = False

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"redis {self.health.where}"

    @property
    def keeps_jobs(self) -> bool:
        """Whether jobs lie in it, and not only a cache."""
        return any(use != "cache" for use in self.uses)
