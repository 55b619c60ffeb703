from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from queuepool.domain.capture import Tap
from queuepool.domain.places import File, Place
from queuepool.domain.pool import Autorestart, Listening, PoolSpec
from queuepool.domain.resolve import broken_links, circles, resolve, several_horizons, several_schedulers, shared_logs
from queuepool.domain.spec import Group, Included, Settings

PLACE = Place("/srv/app", "/srv/app", host="web1", environ={"HOME_OF": "/x", "SECRET": "hunter2"})


def pools(place: Place = PLACE, **settings: Any) -> tuple[dict[str, PoolSpec], list[str]]:
    found, faults = resolve(Settings.model_validate(settings), place)
    return found, [f"{'.'.join(map(str, fault.where))}: {fault.what}" for fault in faults]


def pool(program: dict[str, Any], place: Place = PLACE, **settings: Any) -> PoolSpec:
    found, faults = pools(place, programs={"mail": program}, **settings)
    assert faults == []
    return found["mail"]


def faults(program: dict[str, Any], **settings: Any) -> list[str]:
    return pools(programs={"mail": program}, **settings)[1]


def test_a_bare_program_is_a_worker_with_defaults_made_for_laravel() -> None:
    mail = pool({}, user="www-data")
    first = mail.process(0)
    assert (mail.kind, mail.numprocs, mail.pace, mail.app) == ("worker", 1, True, "/srv/app")
    assert first.launch.argv == ("php", "artisan", "queue:work", "-v")
    assert first.launch.directory == "/srv/app"
    assert first.launch.user == first.stdout.user == "www-data"
    assert first.display == "mail:mail_00"
    assert first.stdout.path == "/srv/app/storage/logs/mail.log"
    assert first.stderr is None
    assert first.policy.recycle_codes == {0, 12}
    assert first.policy.stop_seconds == 60 + 3 + 15
    assert first.policy.killasgroup
    assert first.policy.autorestart is Autorestart.ALWAYS


def test_a_program_with_a_command_is_one() -> None:
    date = pool({"command": "date '+%Y %m'"})
    first = date.process(0)
    assert (date.kind, date.pace, first.display) == ("command", False, "mail")
    assert first.launch.argv == ("date", "+%Y %m")
    assert first.policy.recycle_codes == set()
    assert first.policy.stop_seconds == 10
    assert date.strategy.limits(1) == (0, 1)


def test_a_command_without_a_laravel_application_has_no_release_and_logs_beside_the_file() -> None:
    date = pool({"command": "date"}, Place("/srv/x", "/srv/x", laravel=False))
    assert date.app is None
    assert date.process(0).stdout.path == "/srv/x/logs/mail.log"


def test_horizon_gets_an_hour_to_stop_and_is_never_doubled() -> None:
    horizon = pool({"type": "horizon", "horizon_environment": "production"}, defaults={"tries": 3, "options": "--x"})
    first = horizon.process(0)
    assert first.launch.argv == ("php", "artisan", "horizon", "--environment=production")
    assert first.policy.stop_seconds == 3600
    assert horizon.strategy.limits(1) == (0, 1)


@pytest.mark.parametrize(
    ("program", "seconds"),
    [
        ({"timeout": "5m"}, 318),
        ({"timeout": 0}, 3600),
        ({"timeout": 30, "sleep": 10}, 55),
        ({"type": "listen", "timeout": 30}, 48),
        ({"timeout": 30, "stopwaitsecs": 31}, 31),
    ],
)
def test_the_time_to_stop_follows_the_timeout(program: dict[str, Any], seconds: float) -> None:
    assert pool(program).process(0).policy.stop_seconds == seconds


def test_a_stop_that_is_too_short_for_the_job_is_a_warning() -> None:
    found, said = pools(programs={"mail": {"timeout": 90}}, defaults={"stopwaitsecs": 10})
    assert found["mail"].process(0).policy.stop_seconds == 10
    assert [text.partition(": a ")[0] for text in said] == [
        "programs.mail.stopwaitsecs: is less than the timeout of 90 s"
    ]


def test_slots_beyond_numprocs_have_specs_too() -> None:
    mail = pool({"numprocs": 2, "numprocs_start": 1, "stdout_logfile": "l/%(process_num)d.log"})
    assert [mail.process(n).display for n in (0, 1, 7)] == ["mail:mail_01", "mail:mail_02", "mail:mail_08"]
    assert [mail.process(n).stdout.path for n in (0, 7)] == ["/srv/app/l/1.log", "/srv/app/l/8.log"]
    assert mail.process(7).name.slot == 7
    assert mail.process(0).launch is mail.process(7).launch


def test_a_name_without_the_number_gets_one_when_the_pool_grows() -> None:
    date = pool({"command": "date"})
    assert [date.process(n).display for n in (0, 1, 2)] == ["mail", "mail:mail_01", "mail:mail_02"]


def test_what_depends_on_the_slot_differs_from_slot_to_slot() -> None:
    date = pool(
        {"command": "run %(process_num)02d", "environment": {"N": "%(process_num)s"}, "directory": "d%(process_num)d"}
    )
    one = date.process(3).launch
    assert one.argv == ("run", "03")
    assert one.environment == (("N", "3"),)
    assert one.directory == "/srv/app/d3"
    assert date.process(0).launch.fingerprint != one.fingerprint


def test_supervisors_names_expand() -> None:
    program = {
        "command": "x %(program_name)s %(group_name)s %(here)s %(host_node_name)s %(numprocs)d %(ENV_HOME_OF)s "
        "%(ENV_MINE)s",
        "environment": 'MINE="%(program_name)s!"',
        "numprocs": 2,
    }
    found, _ = pools(programs={"mail": program}, groups={"all-mail": ["mail"]})
    assert found["mail"].process(0).launch.argv == ("x", "mail", "all-mail", "/srv/app", "web1", "2", "/x", "mail!")


def test_an_unknown_name_is_reported_without_the_environment() -> None:
    said = faults({"command": "%(nope)s"})
    assert said[0].startswith("programs.mail.command: holds %(nope), which is not known")
    assert "hunter2" not in str(said)
    assert "SECRET" not in str(said)


def test_defaults_reach_the_programs_that_can_use_them() -> None:
    defaults = {"tries": 5, "startsecs": 3, "max_jobs": 7, "environment": {"A": "d", "B": "d"}}
    programs = {"w": {"tries": 1}, "l": {"type": "listen"}, "c": {"command": "x", "environment": {"B": "p"}}}
    found, said = pools(programs=programs, defaults=defaults, environment={"A": "f", "C": "f"})
    assert said == []
    assert found["w"].process(0).launch.argv[3:] == ("--tries=1", "--max-jobs=7", "-v")
    assert found["l"].process(0).launch.argv[2:] == ("queue:listen", "--tries=5")
    assert found["c"].process(0).launch.environment == (("A", "d"), ("B", "p"), ("C", "f"))
    assert all(p.process(0).policy.startsecs == 3 for p in found.values())


@pytest.mark.parametrize(
    ("settings", "program", "user", "group"),
    [
        ({"user": "www-data", "group": "web"}, {}, "www-data", "web"),
        ({"user": "www-data", "group": "web"}, {"user": "deploy"}, "deploy", None),
        ({"user": "www-data", "group": "web"}, {"group": "other"}, "www-data", "other"),
        ({"user": "www-data:web"}, {}, "www-data", "web"),
        ({"user": "www-data", "defaults": {"user": "deploy"}}, {}, "deploy", None),
        ({"user": "www-data"}, {"user": "33:44"}, "33", "44"),
        ({"group": "web"}, {}, None, "web"),
    ],
)
def test_a_user_brings_its_own_group(settings: dict[str, Any], program: dict[str, Any], user: str, group: str) -> None:
    launch = pool(program, **settings).process(0).launch
    assert (launch.user, launch.group) == (user, group)


@pytest.mark.parametrize("program", [{"user": ":x"}, {"user": "x:"}, {"user": "x:y", "group": "z"}])
def test_a_user_and_group_that_make_no_sense_are_refused(program: dict[str, Any]) -> None:
    assert faults(program)[0].startswith("programs.mail.user: ")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("NONE", None),
        ("off", None),
        (False, None),
        ("AUTO", "/srv/app/storage/logs/mail.log"),
        ("a.log", "/srv/app/a.log"),
        ("./a.log", "/srv/app/a.log"),
        ("/var/log/a.log", "/var/log/a.log"),
        ("%(here)s/%(program_name)s", "/srv/app/mail"),
        ("%(process_num)d.log", "/srv/app/0.log"),
    ],
)
def test_a_log_is_where_the_file_says(given: object, path: str | None) -> None:
    assert pool({"stdout_logfile": given}).process(0).stdout.path == path


def test_a_device_is_never_rotated() -> None:
    log = pool({"stdout_logfile": "/dev/stdout", "stdout_logfile_rotate": "daily"}).process(0).stdout
    assert (log.maxbytes, log.rotate_seconds) == (0, 0)


def test_log_options_reach_the_log() -> None:
    log = (
        pool(
            {
                "stdout_logfile_maxbytes": "1MB",
                "stdout_logfile_backups": 3,
                "stdout_logfile_rotate": "hourly",
                "stdout_logfile_compress": True,
                "log_prefix": "time,slot",
                "log_format": "json",
            }
        )
        .process(0)
        .stdout
    )
    assert (log.maxbytes, log.backups, log.rotate_seconds, log.compress) == (2**20, 3, 3600, True)
    assert (log.timestamp, log.slot, log.json) == (True, True, True)


def test_asking_for_a_log_of_stderr_separates_it() -> None:
    first = pool({"stderr_logfile": "AUTO", "stderr_logfile_maxbytes": 5}).process(0)
    assert first.stderr is not None
    assert (first.launch.redirect_stderr, first.stderr.path, first.stderr.maxbytes) == (
        False,
        "/srv/app/storage/logs/mail.err.log",
        5,
    )
    assert pool({"redirect_stderr": True}, defaults={"stderr_logfile": "x"}).process(0).stderr is None


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            {"stderr_logfile": "x", "redirect_stderr": True},
            "stderr_logfile: would stay empty, for redirect_stderr is true",
        ),
        ({"stopasgroup": True, "killasgroup": False}, "killasgroup: is false while stopasgroup is true"),
        ({"command": "x", "tries": 1}, "tries: has no meaning for a command"),
        ({"type": "listen", "max_jobs": 1}, "max_jobs: has no meaning for queue:listen"),
        ({"type": "horizon", "queue": "x"}, "queue: has no meaning for Horizon"),
        ({"type": "worker", "command": "x"}, "command: is for programs of `type: command`, this is a worker"),
        ({"horizon_environment": "x"}, "horizon_environment: has no meaning for a worker"),
        ({"process_name": "a:b"}, "process_name: gives a name with a blank, a colon or a slash"),
        ({"command": ["%(ENV_NOPE)s"]}, "command: needs the environment variable NOPE, which is not set"),
        ({"type": "horizon", "numprocs": 2}, "numprocs: starts several Horizon masters"),
    ],
)
def test_contradictions_are_named(program: dict[str, Any], said: str) -> None:
    assert faults(program)[0].startswith(f"programs.mail.{said}")


def test_a_command_that_is_missing_is_named() -> None:
    assert faults({"type": "command"}) == ["programs.mail: has no `command`, what it is to run"]


def test_what_belongs_to_one_program_is_no_default() -> None:
    assert faults({}, defaults={"command": "x", "depends_on": "y"}) == [
        "defaults.command: cannot be a default",
        "defaults.depends_on: cannot be a default",
    ]


def test_a_group_gives_its_priority_to_programs_without_one() -> None:
    found, _ = pools(programs={"a": {}, "b": {"priority": 5}}, groups={"g": {"programs": "a,b", "priority": 10}})
    assert (found["a"].priority, found["b"].priority) == (10, 5)


def test_artisan_is_named_in_full_when_the_directory_is_another() -> None:
    launch = pool({"directory": "/tmp"}).process(0).launch
    assert launch.argv == ("php", "/srv/app/artisan", "queue:work", "-v")
    assert pool({}, php="bin/php -d x=1").process(0).launch.argv[:3] == ("/srv/app/bin/php", "-d", "x=1")


def test_an_included_file_has_its_own_defaults_before_those_of_the_main_one() -> None:
    main = File(
        Settings.model_validate(
            {"user": "m:m", "php": "php8.3", "defaults": {"tries": 1, "memory": 64, "stdout_logfile": "m.log"}}
        ),
        Place("/main", "/main/app"),
    )
    own = Included.model_validate({"user": "o", "defaults": {"tries": 2, "directory": "d"}, "programs": {"p": {}}})
    found, said = resolve(own, Place("/inc", "/main/app"), {}, main)
    launch = found["p"].process(0).launch
    assert said == []
    assert launch.argv == ("php8.3", "/main/app/artisan", "queue:work", "--tries=2", "--memory=64", "-v")
    assert (launch.user, launch.group, launch.directory) == ("o", None, "/inc/d")
    assert found["p"].process(0).stdout.path == "/main/m.log"


def test_the_same_file_gives_equal_pools_and_another_does_not() -> None:
    assert pool({"tries": 1}) == pool({"tries": 1})
    assert pool({"tries": 1}) != pool({"tries": 2})
    assert hash(pool({"tries": 1})) == hash(pool({"tries": 1}))


def test_the_environment_is_in_no_repr() -> None:
    assert "hunter2" not in repr(pool({"environment": {"A": "hunter2", "B": "%(ENV_SECRET)s"}}))
    assert "hunter2" not in repr(PLACE)


def test_programs_that_share_a_log_by_different_rules_are_warned_about() -> None:
    found, _ = pools(
        programs={
            "a": {"stdout_logfile": "x"},
            "b": {"stdout_logfile": "x", "stdout_logfile_backups": 1},
            "c": {"stdout_logfile": "x"},
        }
    )
    assert [(fault.where, fault.warning) for fault in shared_logs(found)] == [
        (("programs", "b", "stdout_logfile"), True)
    ]


def test_a_second_horizon_of_an_application_is_warned_about() -> None:
    horizon: dict[str, object] = {"type": "horizon"}
    found, _ = pools(
        programs={
            "a": horizon,
            "w": {},
            "b": {**horizon, "horizon_environment": "other", "strategy": {"max_surge": 1}},
            "blue": {**horizon, "env": "blue"},
            "green": {**horizon, "environment": {"APP_ENV": "green"}},
        }
    )
    said = [(fault.where, fault.what, fault.warning) for fault in several_horizons(found)]
    what = "is a second Horizon of this application, beside a: each master starts all the workers"
    assert said == [(("programs", "b", "type"), what, True)]


def test_several_schedulers_of_one_program_are_warned_about() -> None:
    work = "php artisan schedule:work"
    found, _ = pools(
        programs={
            "two": {"type": "command", "command": work, "numprocs": 2},
            "one": {"type": "command", "command": work},
            "other": {"type": "command", "command": "php artisan reverb:start", "numprocs": 2},
        }
    )
    said = [(fault.where, fault.warning) for fault in several_schedulers(found)]
    assert said == [(("programs", "two", "numprocs"), True)]


def test_links_to_what_is_not_there_are_named_with_the_nearest() -> None:
    groups = {"g": Group(programs=("mial",)), "mail": Group()}
    said = [(f.where, f.what, f.hint, f.warning) for f in broken_links({"mail": ("nope",)}, groups, missing=False)]
    assert said == [
        (("groups", "g"), "names 'mial', which is no program", "did you mean mail?", False),
        (("groups", "mail"), "has the name of a program", "rename one of them", False),
        (("programs", "mail", "depends_on"), "names 'nope', which is no program", "", False),
    ]


def test_circles_of_waiting_are_found_at_any_length() -> None:
    assert circles({"a": ("b",), "b": ("c",), "c": ("a", "d"), "d": ()}) == [("a", "b", "c")]
    assert circles({"a": ("a",)}) == [("a",)]
    assert circles({"a": ("b", "c"), "b": ("c",), "c": ()}) == []
    chain: dict[str, tuple[str, ...]] = {str(n): (str(n + 1),) for n in range(20_000)}
    assert circles(chain) == []
    assert len(circles(chain | {"20000": ("0",)})[0]) == 20_001


def test_the_pools_can_be_imported_without_pydantic() -> None:
    code = "import sys, queuepool.domain.pool, queuepool.config.find; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


LISTENER = {"type": "eventlistener", "command": "listen", "events": ["process_state", "TICK_60"]}


def test_an_event_listener_is_first_and_its_stdout_is_nobodys() -> None:
    made = pool(LISTENER, defaults={"redirect_stderr": True, "stdout_logfile": "/x", "priority": 5, "startsecs": 3})
    first = made.process(0)
    assert (made.kind, made.priority, made.artisan) == ("eventlistener", -1, False)
    assert made.listening == Listening(("PROCESS_STATE", "TICK_60"), 10)
    assert (first.launch.redirect_stderr, first.stdout.path, first.display) == (False, None, "mail")
    assert first.stderr is not None
    assert first.log == first.stderr.path
    assert first.policy.startsecs == 3


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ({**LISTENER, "redirect_stderr": True}, "mail.redirect_stderr: cannot be true"),
        ({**LISTENER, "stdout_events_enabled": True}, "mail.stdout_events_enabled: has no meaning"),
        ({**LISTENER, "events": []}, "mail.events: has no `events`"),
        ({"type": "eventlistener", "command": "x"}, "mail: has no `events`"),
        ({"type": "eventlistener", "events": ["TICK"]}, "mail: has no `command`"),
        ({**LISTENER, "tries": 3}, "mail.tries: has no meaning for an event listener"),
        ({"command": "x", "buffer_size": 3}, "mail.buffer_size: is for event listeners, this is a command"),
        ({"events": ["TICK"]}, "mail.events: is for event listeners, this is a worker"),
        ({"command": "x", "stderr_events_enabled": True}, "mail.stderr_events_enabled: has no effect"),
    ],
)
def test_what_makes_no_sense_for_listeners_is_said(program: dict[str, Any], said: str) -> None:
    [fault] = faults(program)
    assert said in fault


def test_what_goes_to_listeners_is_known_of_each_stream() -> None:
    made = pool(
        {"command": "x", "stdout_capture_maxbytes": "1KB", "stderr_events_enabled": True, "redirect_stderr": False}
    )
    assert made.process(0).taps == (Tap(1024), Tap(events=True))


def test_a_program_knows_the_first_group_that_has_it() -> None:
    found, _ = pools(programs={"p": {}, "q": {}}, groups={"one": ["p"], "two": ["p"]})
    assert (found["p"].group, found["q"].group) == ("one", "q")
