"""The way to one Redis server: a wire that is opened when needed, and what is known while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from queuepool.laravel.away import CLOSES, Away, in_words
from queuepool.laravel.sentinel import master_of
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, Replies, Unusable, Wire, errors, reply_text, words_of

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0
"""Seconds between two tries to reach a server: the first, doubled with each failure, up to the longest."""


class Link:
    """The way to one server: a wire, or none at present, and what is known of why. Questions wait for each other."""

    def __init__(self, target: RedisTarget, timeout: float, clock: Callable[[], float]) -> None:
        self._target = target
        self._timeout = timeout
        self._clock = clock
        self._lock = asyncio.Lock()
        self._wire: Wire | None = None
        self._away: Away | None = None
        self._pause = 0.0
        self._until = 0.0  # when it may be tried again

    async def ask(self, commands: Sequence[Command]) -> Replies | Away:
        """As Servers.ask()."""
        async with self._lock:
            if self._away is not None and self._clock() < self._until:
                return self._away
            asked = self._target if self._wire is None or self._wire.dead else self._wire.target
            try:
                async with asyncio.timeout(self._timeout):
                    if self._wire is None or self._wire.dead:
                        await self.close()
                        if asked.sentinel is not None:
                            asked = await master_of(asked, self._timeout)
                        self._wire = Wire(asked)
                        await self._wire.open()
                    replies = await self._wire.exchange(commands)
            except Unusable as error:
                return self._failed(error.away)
            except TimeoutError:
                return self._failed(Away.because(asked, self._silence(asked)))
            except errors() as error:
                said = words_of(error)
                if said == CLOSES and not asked.tls and self._wire is not None and not self._wire.answered:
                    said += " without a word: it may want TLS, or have no connection left (maxclients)"
                return self._failed(Away.because(asked, said))
            except BaseException:
                await self.close()  # cut off in the middle of an answer
                raise
            self._away, self._pause = None, 0.0
            if replies and isinstance(replies[0], Exception):
                words = in_words(reply_text(replies[0]))
                if words is not None:
                    return Away.because(asked, words)
            return replies

    def _silence(self, asked: RedisTarget) -> str:
        if asked.tls and self._wire is not None and not self._wire.connected:
            return f"does not answer the TLS handshake within {self._timeout:g} s: it may not speak TLS"
        return f"does not answer within {self._timeout:g} s"

    def _failed(self, away: Away) -> Away:
        """Give the wire up, and leave the server alone for a while."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
        self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
        self._until = self._clock() + self._pause
        self._away = away
        return away

    async def close(self) -> None:
        """Close the connection, if there is one; the next question opens another."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn
