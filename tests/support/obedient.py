"""obedient.c in Python, for machines without a compiler. tests/support/worker.py lists the orders."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

USAGE = 64
NUMBERS = {name: getattr(signal, "SIG" + name) for name in ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "CONT")}
NAMES = {number: name for name, number in NUMBERS.items()}
ORDERS = {
    "name", "report", "text", "lines", "errors", "width", "every", "exit", "die", "after", "stop", "stop_code", "eat",
    "control", "life", "ignore",
}  # fmt: skip
ENDS = ("TERM", "INT", "QUIT")


class Obedient:
    def __init__(self, arguments: list[str]) -> None:
        self.began = time.monotonic_ns()
        self.orders: dict[str, str] = {"name": "", "life": "600"}
        self.children: list[str] = []
        self.report = self.control = -1
        self.said = 0  # numbered lines that were written whole
        self.saying = False
        self.ignored: set[str] = set()
        self.food: list[bytearray] = []
        for argument in arguments:
            order, found, value = argument.partition("=")
            if order == "child" and found:
                self.children.append(value)
            elif order in ORDERS and found:
                self.orders[order] = value
            else:
                fail(argument)
        for name in filter(None, self.orders.get("ignore", "").split(",")):
            if name not in NUMBERS:
                fail(name)
            self.ignored.add(name)

    def number(self, order: str) -> float:
        return float(self.orders.get(order, 0))

    def tell(self, what: str, rest: object, when: int | None = None) -> None:
        if self.report >= 0:
            os.write(self.report, f"{what} {os.getpid()} {when or time.monotonic_ns()} {rest}\n".encode())

    def leave(self, code: int) -> None:
        if self.saying:
            self.tell("said", self.said)
        self.tell("leaving", code)
        os._exit(code)

    def obey_signals(self) -> None:
        while True:
            try:
                numbers = os.read(self.wake, 64)
            except BlockingIOError:
                return
            for number in numbers:
                name = NAMES[number]
                self.tell("signal", name)
                if name in self.ignored or name not in ENDS:
                    continue
                self.ignored.update(ENDS)  # one is enough
                self.rest(self.number("stop"))
                self.leave(int(self.number("stop_code")))

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            select.select([self.wake], [], [], left)
            self.obey_signals()

    def put(self, fd: int, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except OSError as error:
                self.tell("broken", error.errno)
                self.leave(74)
            if data:
                self.obey_signals()  # what is whole is counted first: it may leave there

    def say(self, fd: int, count: int) -> None:
        self.saying = True
        for _ in range(count):
            line = f"{os.getpid()} {self.said + 1} ".ljust(int(self.number("width")) - 1, "x") + "\n"
            self.put(fd, line.encode())
            self.said += 1
            self.obey_signals()
            if every := self.number("every"):
                self.rest(every)
        self.saying = False
        self.tell("said", self.said)

    def eat(self, megabytes: float) -> None:
        self.food.append(bytearray(b"\1") * int(megabytes * 1048576))
        self.tell("ate", f"{megabytes:g}")

    def bear(self, kind: str) -> None:
        reader, writer = os.pipe()
        if not os.fork():
            signal.set_wakeup_fd(-1)
            for number in NAMES:
                signal.signal(number, signal.SIG_DFL)
            if kind == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if kind == "session":
                os.setsid()
            signal.alarm(int(self.number("life")))  # not inherited
            self.tell("child", kind)
            os.close(reader)
            os.close(writer)
            while True:
                signal.pause()
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)

    def die(self, number: int) -> None:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def obey(self, order: str) -> None:
        word, _, value = order.partition(" ")
        match word:
            case "say":
                self.say(1, int(value))
            case "err":
                self.say(2, int(value))
            case "eat":
                self.eat(float(value))
            case "exit":
                self.leave(int(value))
            case "die":
                self.die(int(value))
            case _:
                fail(order)

    def run(self) -> None:
        if path := self.orders.get("report"):
            self.report = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.wake, writer = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(writer, False)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number in NAMES:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writer)
        signal.alarm(int(self.number("life")))
        if self.number("eat"):
            self.eat(self.number("eat"))
        for kind in self.children:
            self.bear(kind)
        if path := self.orders.get("control"):
            self.control = os.open(path, os.O_RDWR)  # both ends, so that it never meets EOF
        self.tell("ready", self.orders["name"], self.began)
        if text := self.orders.get("text"):
            self.put(1, text.encode() + b"\n")
        if lines := int(self.number("lines")):
            self.say(1, lines)
        if lines := int(self.number("errors")):
            self.say(2, lines)
        if "exit" in self.orders or "die" in self.orders:
            self.rest(self.number("after"))
        if "die" in self.orders:
            self.die(int(self.number("die")))
        if "exit" in self.orders:
            self.leave(int(self.number("exit")))
        held = b""
        while True:
            ready = select.select([fd for fd in (self.wake, self.control) if fd >= 0], [], [])[0]
            self.obey_signals()
            if self.control in ready:
                *orders, held = (held + os.read(self.control, 512)).split(b"\n")
                for order in orders:
                    self.obey(order.decode())


def fail(order: str) -> None:
    sys.stderr.write(f"obedient: cannot do {order}\n")
    sys.stderr.flush()
    os._exit(USAGE)


if __name__ == "__main__":
    Obedient(sys.argv[1:]).run()
