"""What a take-over decides, and where it finds supervisord."""

from __future__ import annotations

import pytest

from queuepool.domain.names import ProcessName
from queuepool.formats.supervisor_config import understand
from queuepool.formats.supervisor_endpoint import Endpoint, endpoints
from queuepool.formats.supervisor_import import draft
from queuepool.formats.supervisor_ini import Source, read
from queuepool.formats.supervisor_model import Config, Surroundings
from queuepool.formats.supervisor_takeover import Memory, Plan, There, counterparts, files_done, job_seconds, plan

AROUND = Surroundings("/etc/supervisor", "host", {"AT": "/run"})
NOTHING = Memory()
RUNNING, STOPPED, STOPPING, BACKOFF, FATAL = 20, 0, 40, 30, 200


def understood(text: str) -> Config:
    return understand(read([Source("s.conf", "/etc/supervisor", text)]), AROUND)


def found(text: str, most: int = 2) -> dict[str, str]:
    config = understood(text)
    return {name: str(here) for name, here in counterparts(config, draft(config, AROUND), AROUND, most).items()}


def by_hand(files: dict[str, str], *groups: str) -> tuple[list[str], dict[str, list[str]]]:
    sources = [Source(path, "/etc/supervisor", text) for path, text in files.items()]
    config = understand(read(sources), AROUND)
    return files_done(config, draft(config, AROUND), groups)


def decided(*states: int, size: int = 2, memory: Memory = NOTHING, running: tuple[int, ...] = ()) -> Plan:
    """The plan for a pool `w` whose processes there are in these states."""
    there = [There("w", f"w_{slot:02d}", state, 10) for slot, state in enumerate(states)]
    here = {process.full: ProcessName("w", slot) for slot, process in enumerate(there)}
    alive = {ProcessName("w", slot) for slot in running}
    return plan(there, here, {"w": size}, {"w": 60.0}, alive, memory)


def starts(made: Plan) -> list[str]:
    return [str(name) for move in made.moves for name in move.start]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[program:a]\ncommand=cat\n", {"a:a": "a:0"}),
        (
            "[program:a]\ncommand=cat\nnumprocs=2\nnumprocs_start=5\nprocess_name=%(group_name)s-%(process_num)d\n",
            {"a:a-5": "a:0", "a:a-6": "a:1"},
        ),
        ("[program:a]\ncommand=cat\n[group:g]\nprograms=a\n", {"g:a": "a:0"}),
        ("[program:a.b!]\ncommand=cat\n", {"a.b!:a.b!": "a.b-:0"}),
        ("[program:a]\ncommand=cat\nprocess_name=%(ENV_NONE)s\n", {}),
        ("[eventlistener:e]\ncommand=cat\nevents=TICK_5\n[program:a]\ncommand=cat\n", {"a:a": "a:0", "e:e": "e:0"}),
    ],
)
def test_each_process_there_has_its_counterpart(text: str, names: dict[str, str]) -> None:
    assert found(text) == names


def test_a_pool_that_is_larger_there_than_in_its_file_is_known_too() -> None:
    text = "[program:a]\ncommand=cat\nprocess_name=%(process_num)d\n"
    assert found(text, most=3) == {"a:0": "a:0", "a:1": "a:1", "a:2": "a:2"}


@pytest.mark.parametrize("state", [RUNNING, BACKOFF, 10])
def test_what_is_to_run_there_is_moved(state: int) -> None:
    [move] = decided(state, state).moves
    assert (move.stop, move.ran, move.whole) == (("w:w_00", "w:w_01"), ("w:w_00", "w:w_01"), True)
    assert [str(name) for name in move.start] == ["w:0", "w:1"]


@pytest.mark.parametrize("state", [STOPPED, STOPPING, FATAL, 100, 1000])
def test_what_does_not_run_there_stays_stopped_here(state: int) -> None:
    made = decided(RUNNING, state)
    assert starts(made) == ["w:0"]
    assert made.stays == (("w:w_01", "does not run there; stays stopped here"),)
    assert decided(state, state).moves == ()


def test_everything_is_held_until_its_turn() -> None:
    assert [str(name) for name in decided(RUNNING, STOPPED).hold] == ["w:0", "w:1"]
    assert decided(STOPPED, STOPPED, memory=Memory(("w",))).hold == (), "it was moved: it may run here"


def test_a_second_call_goes_on_with_what_ran_at_the_first() -> None:
    made = decided(STOPPED, STOPPING, STOPPED, size=3, memory=Memory(group="w", ran=("w:w_00", "w:w_01")))
    [move] = made.moves
    assert (move.ran, move.stop) == (("w:w_00", "w:w_01"), ("w:w_01",))
    assert starts(made) == ["w:0", "w:1"]


def test_what_was_moved_and_then_removed_there_is_not_held() -> None:
    made = plan([], {"w:w_00": ProcessName("w", 0)}, {"w": 1}, {}, (), Memory(("w",)))
    assert made == Plan((), done=("w",))


@pytest.mark.parametrize("made", [decided(STOPPED, memory=Memory(("w",))), decided(STOPPED, running=(0,))])
def test_what_was_moved_is_skipped(made: Plan) -> None:
    assert (made.moves, made.done, made.stays) == ((), ("w",), ())


def test_a_pool_may_have_another_size_here() -> None:
    assert starts(decided(RUNNING, RUNNING, size=3)) == ["w:0", "w:1", "w:2"]
    made = decided(RUNNING, RUNNING, size=1)
    assert starts(made) == ["w:0"]
    assert made.moves[0].stop == ("w:w_00", "w:w_01")
    assert made.moves[0].warnings[0] == "w has 1 process here: one more that runs there gets no successor"


def test_a_stop_that_would_kill_jobs_is_warned_of() -> None:
    [move] = decided(RUNNING).moves
    assert move.warnings == (
        "w: Supervisor kills what does not stop within 10 s (stopwaitsecs), and a job may take 60 s; before: "
        "`supervisorctl signal USR2 w:*`, then it ends its job and takes no other",
    )
    there = [There("w", "w", RUNNING, 60)]
    [move] = plan(there, {"w:w": ProcessName("w", 0)}, {"w": 1}, {"w": 60.0}).moves
    assert move.warnings == ()


def test_a_group_of_which_something_stays_is_not_stopped_as_a_whole() -> None:
    there = [There("g", "a", RUNNING), There("g", "fcgi", RUNNING), There("x", "x", RUNNING)]
    made = plan(there, {"g:a": ProcessName("a", 0), "new:new": ProcessName("new", 0)}, {"a": 1, "new": 1}, {})
    [move] = made.moves
    assert (move.whole, move.stop) == (False, ("g:a",))
    assert [what for what, _ in made.stays] == ["g:fcgi", "x:x", "new"]


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ("php artisan queue:work", 60),
        ("php artisan queue:work --timeout=300", 300),
        ("php artisan queue:work --timeout=0", 3600),
        ("php artisan horizon", 3600),
        ("cat", None),
    ],
)
def test_the_time_of_a_job_follows_the_command(command: str, seconds: float | None) -> None:
    config = understood(f"[program:a]\ndirectory=/srv\ncommand={command}\n")
    [one] = draft(config, AROUND).programs
    assert job_seconds(one) == seconds


def test_the_servers_and_passwords_are_those_of_the_files() -> None:
    config = understood(
        "[inet_http_server]\nport=*:9001\nusername=u\npassword=pa%%ss\n"
        "[unix_http_server]\nfile=%(ENV_AT)s/s.sock\nusername=u\npassword={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d\n"
        "[supervisorctl]\nserverurl=http://elsewhere:1\nusername=me\npassword=plain\n"
    )
    made = endpoints(config, AROUND)
    assert made == [
        Endpoint("/run/s.sock", username="me", password="plain"),
        Endpoint(None, "127.0.0.1", 9001, "u", "pa%ss"),
    ]
    assert [str(one) for one in made] == ["unix:///run/s.sock", "http://127.0.0.1:9001"]
    assert "plain" not in repr(made)
    assert endpoints(understood("[unix_http_server]\nfile=%(ENV_NOT)s\n"), AROUND) == []


A, B = "[program:a]\ncommand=cat\n", "[program:b]\ncommand=cat\n"


def test_a_file_whose_programs_were_all_moved_can_go() -> None:
    main = "[include]\nfiles=conf.d/*.conf\n"
    assert by_hand({"s.conf": main + A, "conf.d/b.conf": B}, "a", "b") == (["conf.d/b.conf"], {"s.conf": ["program:a"]})
    assert by_hand({"s.conf": main, "ab.conf": A + B}, "a") == ([], {"ab.conf": ["program:a"]})
    group = "[group:g]\nprograms=a,b\n"
    assert by_hand({"s.conf": main, "ab.conf": A + B + group}, "g") == (["ab.conf"], {})
    every = "[include]\nfiles=conf.d/*\n"
    assert by_hand({"s.conf": every, "conf.d/b.conf": B}, "b") == ([], {"conf.d/b.conf": ["program:b"]})
    assert by_hand({"s.conf": A}, "a") == ([], {"s.conf": ["program:a"]})
    assert by_hand({"s.conf": A}) == ([], {})


def test_a_worker_behind_a_shell_is_not_said_to_be_killed_nor_to_be_told_by_a_signal() -> None:
    """USR2, of which others are told, would end the shell."""
    there = [There("w", "w", RUNNING, 10)]
    made = plan(there, {"w:w": ProcessName("w", 0)}, {"w": 1}, {"w": 60.0}, shells={"w"})
    assert made.moves[0].warnings == (
        "w: a stop there may end its shell alone; what it started, and runs on, is told then",
    )


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("sh -c 'cd /srv && php artisan queue:work'", True),
        ("sh -c 'cd /srv && exec php artisan queue:work'", False),
        ("bash -c 'sleep 1; php /srv/artisan queue:work'", True),
        ("nice php /srv/artisan queue:work", False),
    ],
)
def test_it_is_known_that_a_shell_is_in_between(command: str, shell: bool) -> None:
    config = understood(f"[program:w]\ncommand={command}\n")
    assert [one.shell for one in draft(config, AROUND).programs] == [shell]
