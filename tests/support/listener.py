"""An event listener that writes down what it gets, a JSON array [header, body] a line, and behaves as it is told to.

    python listener.py FILE [MODE]        MODE: ok (else), or see below; it is told the mode anew with each event where
                                          FILE.mode holds one

It uses the standard library alone, so that every Python runs it, under supervisord and under queuepool.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    file, mode = sys.argv[1], (sys.argv[2:] or ["ok"])[0]
    if mode == "garbage at once":
        say("hello\n")
    while mode == "floods":
        say("hello\n")
        time.sleep(0.0005)
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    while True:
        say("READY\n")
        if mode == "never reads":
            time.sleep(600)
        if mode == "closes its input":
            os.close(0)
            time.sleep(600)
        line = sys.stdin.readline()
        if not line:
            sys.exit(9)
        header = dict(word.split(":", 1) for word in line.split())
        body = sys.stdin.read(int(header["len"]))
        os.write(out, (json.dumps([header, body]) + "\n").encode())  # in one piece: others write there too
        behave(mode_of(file, mode))


def mode_of(file: str, mode: str) -> str:
    try:
        with open(f"{file}.mode") as said:
            return said.read().strip() or mode
    except OSError:
        return mode


def behave(mode: str) -> None:
    """Answer the event."""
    if mode == "dies":
        sys.exit(3)
    if mode == "fails":
        say("RESULT 4\nFAIL")
    elif mode == "garbage":
        say("what?\n")
    elif mode == "hangs":
        time.sleep(600)
    else:
        if mode.startswith("slow"):
            time.sleep(float(mode.split()[1]))
        say("RESULT 2\nOK")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
