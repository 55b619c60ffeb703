"""What is printed, told to one who is interested in one stream."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from queuepool.domain.pool import LogPolicy
from queuepool.logs.pipes import can_splice
from queuepool.logs.pump import Pump
from tests.support.turns import until

POLICIES = {
    "plain": {},
    "small": {"maxbytes": 5000, "backups": 200},
    "stamped": {"timestamp": True},
    "device": {"path": "/dev/null"},
    "nowhere": {"path": None},
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("splice", [True, False] if can_splice() else [False])
def test_every_byte_is_heard_once_and_only_of_that_stream(
    tmp_path: Path, policy: dict[str, object], splice: bool
) -> None:
    async def run() -> None:
        pump = Pump(lambda trouble: None, spool_directory=str(tmp_path / "spool"), splice=splice)
        heard: list[bytes] = []
        fds = []
        for number in range(2):
            path = tmp_path / f"fifo{number}"
            os.mkfifo(path)
            fds.append(os.open(path, os.O_RDWR))
            made = LogPolicy(**{"path": str(tmp_path / "log"), **policy})  # type: ignore[arg-type]
            pump.attach(number, f"w:{number}", fds[number], made, hear=heard.append if number else None)
        said = b""
        for n in range(300):
            piece = b"%d half a " % n if n % 3 else b"line of %d\n" % n + b"x" * (n % 50) + b"\n"
            said += piece
            os.write(fds[1], piece)
            os.write(fds[0], b"of another\n")
            if not n % 20:
                await asyncio.sleep(0)
                pump.flush()
        os.write(fds[1], b"\n")
        await until(lambda: b"".join(heard) == said + b"\n")
        os.write(fds[1], b"the last words")
        for number in range(2):
            pump.detach(number)
        # a spool ends the last line itself
        assert b"".join(heard).rstrip(b"\n") == said + b"\nthe last words"
        pump.close()
        for fd in fds:
            os.close(fd)

    asyncio.run(run())
