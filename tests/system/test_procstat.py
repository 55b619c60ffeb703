"""What the system says of a process tree."""

from __future__ import annotations

import os
import signal
import subprocess
from uuid import uuid4

from queuepool.system import procstat
from tests.support.wait import eventually


def test_a_process_whose_parent_has_died_is_an_orphan_of_its_session() -> None:
    """A leader with a shell in between: when that dies, the sleep it started has no parent in the session."""
    script = "sh -c 'sleep 300.5 & sleep 301.5 & wait' & echo $!; wait; sleep 300.5"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        between = int(process.stdout.readline())
        eventually(lambda: len(procstat.session_members(process.pid)) == 4, what="both sleep")
        members = procstat.session_members(process.pid)
        assert procstat.orphans(members, process.pid, "300.5") == []
        os.kill(between, signal.SIGKILL)
        (orphan,) = eventually(
            lambda: procstat.orphans(procstat.session_members(process.pid), process.pid, "300.5"), what="one is alone"
        )
        assert orphan in members
        assert procstat.orphans([2**22 + 1], process.pid, "300.5") == [], "gone between two looks"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_process_is_found_by_a_word_of_its_command_line() -> None:
    own = uuid4().hex  # all of the machine is looked at, and another run of the tests may be there
    words = [f"--queue={own}-first", f"--queue={own}-second"]
    process = subprocess.Popen(["sh", "-c", "read x", *words], stdin=subprocess.PIPE)
    try:
        # Popen returns when exec has closed its pipe, a moment before the kernel shows the new command line
        eventually(lambda: procstat.having(words[:1]) == [process.pid], what="it has its words")
        assert procstat.having(["none", words[1]]) == [process.pid]
        assert procstat.having([words[0][:-1]]) == []
    finally:
        process.communicate()
    assert procstat.having(words) == []


def test_a_tree_is_the_sum_of_its_session_with_what_children_used_that_have_ended() -> None:
    spin = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"
    script = f"sh -c '{spin}'; sleep 300.5 & echo ready; wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        eventually(lambda: len(procstat.session_members(process.pid)) == 2, what="it sleeps")
        tree = procstat.trees([process.pid])[process.pid]
        assert tree.birth == procstat.birth(process.pid)
        alone = procstat.usage(process.pid)
        assert alone is not None
        assert tree.cpu >= alone.cpu + 0.05, "the child that has ended used more"
        size = alone.rss
        eventually(lambda: procstat.trees([process.pid])[process.pid].rss > size, what="the sleep is in it")
        assert procstat.trees([]) == {}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.pid not in procstat.trees([process.pid])


def test_a_process_that_reads_its_input_is_known_from_one_that_reads_something_else() -> None:
    started: list[subprocess.Popen[bytes]] = []
    try:
        for words in (["cat"], ["sleep", "300"], ["bash", "-c", "exec 3<&0 </dev/null; read -u 3 x"]):
            started.append(subprocess.Popen(words, stdin=subprocess.PIPE))
        eventually(lambda: procstat.waits_for_input(started[0].pid), what="it reads")
        assert not any(procstat.waits_for_input(process.pid) for process in started[1:])
        assert not procstat.waits_for_input(2**22 + 1)
    finally:
        for process in started:
            process.kill()
            process.communicate()
