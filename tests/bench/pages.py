"""What open pages cost the daemon: how long it takes to answer others, and its processor time, without and with pages.

    python -m tests.bench.pages [PROCESSES] [PAGES] [SECONDS]

The workers are shells that say twice a second what a Laravel worker says of its jobs, so that every process has news
for the pages all the time: far more than a real pool has. One client asks for the smallest thing there is, fifty times
a second; what it waits is how late the daemon's loop is, and the answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from queuepool.system.procstat import usage
from tests.support.daemon import Queuepool
from tests.support.ports import free_port

TALKER = """#!/bin/bash
[[ $1 == artisan && $2 == queue:work ]] || exit 1
exec {never}<> <(:)
while :; do
    printf '[2026-01-31 10:00:00][%s] Processing: App\\\\Jobs\\\\Mail\\n' "$RANDOM"
    read -rt 0.25 -u "$never"
    printf '[2026-01-31 10:00:00][%s] Processed:  App\\\\Jobs\\\\Mail\\n' "$RANDOM"
    read -rt 0.25 -u "$never"
done
"""


class Page:
    """One open page, which reads everything and looks at nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.bytes = 0
        self.frames = 0

    async def read(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while data := await reader.read(1 << 18):
            self.bytes += len(data)
            self.frames += data.count(b"event: ")


async def ask(path: str, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    waits = []
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /api/v1/events?since=99999999 HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
        waits.append(1000 * (time.monotonic() - now))
        await asyncio.sleep(max(0.0, 0.02 - (time.monotonic() - now)))
    return sorted(waits)


async def measure(qp: Queuepool, port: int, pages: int, seconds: float) -> None:
    """Open so many pages, and print a line."""
    opened = [Page(port) for _ in range(pages)]
    tasks = [asyncio.ensure_future(page.read()) for page in opened]
    await asyncio.sleep(3)
    pid = qp.run.pid()
    assert pid is not None
    before, began = usage(pid), sum(page.bytes for page in opened)
    waits = await ask(qp.run.socket, seconds)
    after = usage(pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert before is not None
    assert after is not None
    assert all(page.frames > seconds / 2 for page in opened), "every page was told something each second"
    middle, late = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    told = (sum(page.bytes for page in opened) - began) / max(1, pages) / seconds / 1e3
    print(
        f"{pages:4} pages: answers p50 {middle:5.1f}  p99 {late:5.1f}  max {waits[-1]:5.1f} ms;  "
        f"daemon {(after.cpu - before.cpu) / seconds:4.0%} of a core, {after.rss / 1e6:.0f} MB;  {told:.1f} kB/s a page"
    )


def main(processes: int = 500, pages: int = 100, seconds: float = 15.0) -> None:
    """Run it all."""
    with tempfile.TemporaryDirectory(prefix="qp-pages-") as directory:
        root = Path(directory)
        (root / "artisan").touch()
        (root / "php").write_text(TALKER)
        (root / "php").chmod(0o755)
        port = free_port()
        text = (
            f"app: {root}\nphp: {root}/php\nhttp: {{listen: '127.0.0.1:{port}'}}\n"
            f"programs: {{w: {{connection: redis, queue: default, numprocs: {processes}, startsecs: 0}}}}\n"
        )
        with Queuepool(root / "qp", text) as qp:
            qp.up()
            qp.running("w", processes, timeout=120)
            print(f"{processes} processes, {os.cpu_count()} cores")
            for count in (0, 1, pages, 0):
                asyncio.run(measure(qp, port, count, seconds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
