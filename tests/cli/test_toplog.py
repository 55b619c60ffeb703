"""The log that `top` shows, read from real files, and from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from queuepool.cli.toplog import LogReader
from queuepool.cli.topmodel import Data, Log
from queuepool.domain.observed import DaemonView, ProcessView, Snapshot
from queuepool.errors import QueuepoolError
from tests.control.fake import process
from tests.support.wait import eventually


def known(*processes: ProcessView) -> Data:
    return Data(snapshot=Snapshot(DaemonView(1, "", "", "", "RUNNING"), (), processes).to_json())


def read(data: Data, process: str, *, here: bool = True) -> Log:
    with closing(LogReader(data, "w", process, here=here)) as reader:
        return reader.look(data)


def test_the_last_lines_and_those_that_come_are_read_from_the_file(tmp_path: Path) -> None:
    log = tmp_path / "w.log"
    log.write_text("one\ntwo \x1b[31mred\x1b[0m \x1b[2J\n")
    data = known(process(0, program="w", log=str(log)))
    reader = LogReader(data, "w", "w:0", here=True)
    assert reader.look(data) == Log("w:0", str(log), ("one", "two \x1b[31mred\x1b[0m \\x1b[2J"))
    with log.open("a") as file:
        file.write("three\nhal")
    assert reader.look(data).lines[2:] == ("three",)
    log.rename(tmp_path / "w.log.1")
    log.write_text("four\n")
    eventually(lambda: reader.look(data).lines[-1] == "four", what="it goes on in the new file")
    reader.close()


def test_of_a_log_that_processes_share_only_the_lines_of_the_one_are_shown_where_they_say_whose_they_are(
    tmp_path: Path,
) -> None:
    log = tmp_path / "w.log"
    data = known(*(process(slot, program="w", log=str(log)) for slot in (0, 1)))
    log.write_text("[w:0] a\n[w:1] b\n")
    assert read(data, "w:1").lines == ("[w:1] b",)
    assert read(data, "").lines == ("[w:0] a", "[w:1] b")
    log.write_text("a\n")
    seen = read(data, "w:1")
    assert seen.lines == ("a",)
    assert "all are shown" in seen.note


def test_a_program_with_a_log_for_each_process_is_read_from_all_of_them(tmp_path: Path) -> None:
    for slot in (0, 1):
        (tmp_path / f"{slot}.log").write_text(f"line of {slot}\n")
    data = known(*(process(slot, program="w", log=str(tmp_path / f"{slot}.log")) for slot in (0, 1)))
    assert sorted(read(data, "").lines) == ["w:0 | line of 0", "w:1 | line of 1"]


def test_where_there_is_no_file_to_read_the_lines_that_the_daemon_keeps_are_shown(tmp_path: Path) -> None:
    for log, note in ((None, "keeps no log"), ("/dev/stdout", "prints to /dev/stdout"), ("/there/w.log", "machine")):
        data = known(process(0, "FATAL", program="w", log=log, last_lines=("no such\ttable",)))
        seen = read(data, "w:0", here=log != "/there/w.log")
        assert seen.lines == ("no such table",)
        assert note in seen.note


def test_a_log_of_another_machine_is_followed_piece_by_piece() -> None:
    go_on = threading.Event()

    def follow(name: str) -> Iterator[bytes]:
        yield f"{name} on".encode()
        yield b"e\ntw"
        assert go_on.wait(30)
        yield b"o\n"
        raise QueuepoolError("it ended")

    data = known(process(0, program="w", log="/there/w.log"))
    reader = LogReader(data, "w", "w:0", here=False, follow=follow)
    eventually(lambda: reader.look(data).lines == ("w:w_00 one",), what="the first line came whole")
    go_on.set()
    eventually(lambda: reader.look(data).note == "it ended", what="the end is told")
    assert reader.look(data).lines[1:] == ("two",)
