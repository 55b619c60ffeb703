"""Runs the real supervisorctl many times without starting a Python for each: once imported, each command line is run in
a fork. Run by the Python that has Supervisor, so it imports nothing of queuepool; used by tests/support/supervisord.py.

In: a line of JSON for each command, its arguments. Out: a line of JSON for each, [stdout, exit code].
"""

from __future__ import annotations

import json
import os
import sys

from supervisor import supervisorctl  # type: ignore[import-not-found]


def child(arguments: list[str], out: int) -> None:
    os.dup2(out, 1)
    os.close(out)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code: object = 0
    try:
        supervisorctl.main(arguments)
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


for line in sys.stdin:
    source, sink = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(source)
        child(json.loads(line), sink)
    os.close(sink)
    with open(source, encoding="utf-8") as file:
        text = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([text, code]), flush=True)
