from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.control.client import Client

from .fake import FakeDaemon, serving


@pytest.fixture
def socket_path() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="qp", dir="/tmp")  # short: a unix socket's path has at most 107 bytes
    yield str(Path(directory) / "s")
    shutil.rmtree(directory)


@pytest.fixture
def daemon(socket_path: str) -> Iterator[FakeDaemon]:
    with serving(socket_path, FakeDaemon()) as fake:
        yield fake


@pytest.fixture
def client(daemon: FakeDaemon, socket_path: str) -> Client:
    return Client(socket_path)
