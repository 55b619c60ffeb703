"""What `import supervisor` writes and says: golden files, and any text whatever."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.formats import supervisor_values as values
from queuepool.formats.supervisor_config import understand
from queuepool.formats.supervisor_import import Drafts, draft
from queuepool.formats.supervisor_ini import Source, read
from queuepool.formats.supervisor_model import Surroundings
from queuepool.formats.supervisor_options import PROCESS
from queuepool.formats.supervisor_remarks import Verdict
from queuepool.formats.supervisor_yaml import render

SAMPLES = Path(__file__).parent / "supervisor"
GOLDEN = sorted(path.stem for path in (SAMPLES / "golden").glob("*.txt"))
AROUND = Surroundings("/etc/supervisor", "host", {"HOME": "/root"}, {"": "/root", "www-data": "/var/www"}.get)


def imported(text: str, beside: str = "/etc/queuepool", path: str = "w.conf") -> tuple[dict[str, str], Drafts]:
    config = understand(read([Source(path, "/etc/supervisor", text)]), AROUND)
    drafts = draft(config, AROUND)
    return render(drafts, beside, [path], config.servers), drafts


def report(drafts: Drafts) -> str:
    return "".join(f"{r.verdict.value}: {r}\n" for r in drafts.remarks)


def said(drafts: Drafts, verdict: Verdict = Verdict.WRONG) -> dict[str, str]:
    """option -> what is said of it, and where."""
    return {r.option: str(r) for r in drafts.remarks if r.verdict is verdict}


def program(options: str, command: str = "php /srv/shop/artisan queue:work") -> str:
    return f"[program:w]\ncommand={command}\nuser=www-data\n{options}\n"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_file_and_the_report_are_as_they_should_be(name: str) -> None:
    """With QUEUEPOOL_GOLDEN=1 they are written anew; then look at the difference."""
    files, drafts = imported((SAMPLES / f"{name}.conf").read_text(), "/srv/shop", f"{name}.conf")
    made = "".join(f"=== {file}\n{text}" for file, text in files.items()) + "=== report\n" + report(drafts)
    golden = SAMPLES / "golden" / f"{name}.txt"
    if os.environ.get("QUEUEPOOL_GOLDEN"):
        golden.write_text(made)
    assert made == golden.read_text()


def test_what_is_wrong_names_the_line_and_what_to_do() -> None:
    _, drafts = imported(program("numproc=4"))
    assert said(drafts)["numproc"] == (
        "w.conf:4: [program:w] numproc: is no option of Supervisor, which ignores it without a word "
        "(did you mean numprocs? Then it was never in force)"
    )


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ("numprocs=2 // two", "numprocs", "write `numprocs=2`"),
        ("stopwaitsecs=10", "stopwaitsecs", "is less (10 s) than a job may take: 60 s"),
        ("startsecs=0", "startsecs", "startretries has no effect"),
        ("", "autorestart", "is not started again"),
        ("stopsignal=KILL", "stopsignal", "ends a worker in the middle of its job"),
        ("stderr_logfile=/a\nredirect_stderr=true", "stderr_logfile", "is never written"),
        ("stdout_logfile=/a\nstderr_logfile=/a", "stderr_logfile", "two writers"),
        ("stdout_logfile=a.log", "stdout_logfile", "is relative"),
        ("umask=9", "umask", "is not an octal number"),
        ("stdout_logfile_maxbytes=1.5MB", "stdout_logfile_maxbytes", "is not a size"),
    ],
)
def test_every_common_fault_is_found(options: str, option: str, words: str) -> None:
    _, drafts = imported(program(options))
    assert words in said(drafts)[option]


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("date +%Y", "command", "a % that is not doubled"),
        ("sh -c 'php /srv/shop/artisan queue:work'", "stopasgroup", "what it started runs on"),
        ("sh -c 'sleep 1; php artisan queue:work'", "stopasgroup", "what it started runs on"),
        ("cd /srv/shop && php artisan queue:work", "command", "there is no shell"),
        ("php /srv/shop/artisan queue:work >> /tmp/log 2>&1", "command", "holds `>>`"),
        ("php artisan queue:work", "command", "with no directory"),
        ("php /srv/shop/artisan queue:listen", "command", "boots the application for every job"),
        ("echo %(prosess_num)s", "command", "whose name is not known"),
        ("echo %(ENV_NOT_THERE)s", "command", "which is not set here"),
        ("docker exec app php artisan queue:work", "command", "runs artisan by `docker`"),
        ("php /srv/shop/artisan schedule:run", "command", "looked once"),
        ("php /srv/shop/artisan queue:work --name=$(hostname)", "command", "no shell that would replace it"),
    ],
)
def test_every_common_fault_of_a_command_is_found(command: str, option: str, words: str) -> None:
    _, drafts = imported(program("", command))
    assert words in said(drafts)[option]


def test_a_command_that_begins_with_cd_runs_in_that_directory() -> None:
    files, _ = imported(program("", "cd /srv/shop && php artisan queue:work redis > /dev/null"))
    assert "app: /srv/shop\n" in files["queuepool.yml"]
    assert "connection: redis\n" in files["queuepool.yml"]


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("bash -c 'cd /srv/shop && exec php artisan queue:work --tries=3 > /dev/null 2>&1'", {"tries": 3}),
        ("sh -c 'php /srv/shop/artisan queue:work;'", {}),
        ("nice -n 5 nice -n7 php /srv/shop/artisan queue:work", {"nice": 12}),
        ("nice php /srv/shop/artisan queue:work", {"nice": 10}),
        ("env A=1 B=x=y php /srv/shop/artisan queue:work", {"environment": {"A": "1", "B": "x=y"}}),
        ("A=1 php /srv/shop/artisan queue:work", {"environment": {"A": "1"}}),
        ("sudo -EH -u forge -- nice php /srv/shop/artisan queue:work", {"user": "forge", "nice": 10}),
        ("su - forge -c 'cd /srv/shop; A=1 php artisan queue:work'", {"user": "forge", "environment": {"A": "1"}}),
        ("gosu forge:forge php /srv/shop/artisan queue:work", {"user": "forge:forge"}),
        ("nohup php /srv/shop/artisan queue:work &", {}),
        ("php /srv/shop/artisan queue:work \\\n --sleep=3 \\\n --tries=2", {"sleep": 3, "tries": 2}),
        ("php /srv/shop/artisan queue:work --sleep=3 \\", {"sleep": 3}),
        ("php /srv/shop/artisan queue:work –queue=“a,b”", {"queue": ["a", "b"]}),
        ("php\u00a0/srv/shop/artisan queue:work —tries=2 ；三次", {"tries": 2}),
        ("php /srv/shop/artisan queue:work --queue=a, b, c redis", {"queue": ["a", "b", "c"], "connection": "redis"}),
        ("ea-php82 -f /srv/shop/artisan queue:work", {}),
        ('"php /srv/shop/artisan queue:work --tries=2"', {"tries": 2}),
        ("php /srv/shop/artisan queue:work --tries=2;", {"tries": 2}),
        ("php /srv/shop/artisan queue:work redis &> /dev/null", {"connection": "redis"}),
        ("php /srv/shop/artisan queue:work redis |tee /tmp/log", {"connection": "redis"}),
        ("sh -c 'exec php /srv/shop/artisan queue:work --queue=%(ENV_Q)s'", {"queue": "${Q}"}),
        ("php /srv/shop/artisan queue:work --queue=%(ENV_Q)s,low", {"queue": ["%(ENV_Q)s", "low"]}),
    ],
)
def test_a_worker_is_found_behind_what_stands_before_it(command: str, keys: dict[str, object]) -> None:
    files, _ = imported(f"[program:w]\ncommand={command}\nautorestart=true\n", "/etc/queuepool")
    made = yaml.safe_load(files["queuepool.yml"])
    usual = {"user": made["user"]} if "user" in made else {}
    assert usual | made["programs"]["w"] == keys
    assert made["app"] == "/srv/shop"


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'sleep 5 && php /srv/shop/artisan queue:work'",
        "sh -c 'php /srv/shop/artisan queue:work --name=$(hostname)'",
        "sh -c 'php /srv/shop/artisan queue:work | tee /tmp/log'",
        "bash -lc 'php /srv/shop/artisan queue:work'",
        "bash /srv/shop/worker.sh",
        "nice -n 19 ionice -c 3 php /srv/shop/artisan queue:work",
        "timeout 60 php /srv/shop/artisan queue:work",
        "sudo php /srv/shop/artisan queue:work",
        "env -i php /srv/shop/artisan queue:work",
        "find /srv/shop -name artisan -exec php {} queue:work \\;",
        "'/srv/my shop/run'",
        "nice -n 5",
    ],
)
def test_what_does_more_than_start_a_worker_is_left_as_it_is(command: str) -> None:
    files, _ = imported(program("", command))
    assert yaml.safe_load(files["queuepool.yml"])["programs"]["w"]["command"] == command


def test_an_indented_option_is_read_as_one_and_said() -> None:
    files, drafts = imported(program("", "php /srv/shop/artisan queue:work\n  numprocs=2\n\t; two\n\tautorestart=true"))
    assert yaml.safe_load(files["queuepool.yml"])["programs"] == {"w": {"numprocs": 2}}
    assert said(drafts)["command"] == (
        "w.conf:2: [program:w] command: takes in what is indented below it: numprocs, autorestart "
        "(nothing: read as options of their own)"
    )


def test_lines_of_a_script_and_of_an_environment_are_no_options() -> None:
    text = "[program:w]\ncommand=sh -c 'a\n  user=x\n  b'\nenvironment=A=1,\n  user=x\n"
    files, _ = imported(text)
    made = yaml.safe_load(files["queuepool.yml"])["programs"]["w"]
    assert (made["command"], made["environment"]) == ("sh -c 'a\nuser=x\nb'", {"A": "1", "user": "x"})


def test_a_number_from_the_environment_stays_a_variable() -> None:
    files, drafts = imported(program("numprocs=%(ENV_WORKERS)s  # many\nautostart=%(ENV_RUN)s\npriority=%(ENV_P)s"))
    made = yaml.safe_load(files["queuepool.yml"])["programs"]["w"]
    assert made == {"numprocs": "${WORKERS}", "autostart": "${RUN}"}
    assert "needs the environment variable `WORKERS`, which is not set here (set it where" in said(drafts)["numprocs"]
    assert "or write the value itself" in said(drafts)["priority"]
    assert "# numprocs needs the environment variable" in files["queuepool.yml"]


def test_an_expansion_without_its_last_letter_is_taken_as_it_was_meant() -> None:
    files, drafts = imported(program("process_name=%(program_name)", "php /srv/shop/artisan horizon"))
    assert yaml.safe_load(files["queuepool.yml"])["programs"] == {"w": {"type": "horizon"}}
    assert "holds a % that is not doubled" in said(drafts)["process_name"]


@pytest.mark.parametrize(
    "command",
    [
        "php8.3 /srv/shop/artisan schedule:run",
        "/bin/sh -c 'while [ true ]; do (php8.3 /srv/shop/artisan schedule:run -v &); sleep 60; done'",
    ],
)
def test_beside_a_scheduler_that_looks_once_stands_what_looks_every_minute(command: str) -> None:
    files, _ = imported(program("autorestart=true", command))
    assert "\n    # command: php8.3 /srv/shop/artisan schedule:work   # instead, " in files["queuepool.yml"]


def test_an_application_whose_place_is_a_variable_keeps_it() -> None:
    command = "php artisan queue:work"
    files, _ = imported(program("directory=%(ENV_ROOT)s/app", command))
    assert 'app: "${ROOT}/app"\n' in files["queuepool.yml"]


def test_a_listener_that_ends_its_parent_is_said() -> None:
    command = "bash -c 'printf \"READY\\n\"; while read line; do kill -3 $PPID; done'"
    _, drafts = imported(f"[eventlistener:quit]\ncommand={command}\nevents=PROCESS_STATE_FATAL\n")
    assert "ends its parent" in said(drafts)["command"]


@pytest.mark.parametrize(("word", "option"), [("cwd", "directory"), ("instances", "numprocs"), ("env", "environment")])
def test_a_word_of_another_tool_is_known(word: str, option: str) -> None:
    _, drafts = imported(program(f"{word}=x"))
    assert f"did you mean {option}?" in said(drafts)[word]


@pytest.mark.parametrize(
    "command",
    [
        "nice " * 4_000 + "php /srv/shop/artisan queue:work",
        "sh -c 'php /srv/shop/artisan queue:work" + " &>a" * 4_000 + " b'",
        "sh -c '" + "cd /srv;" * 4_000 + "php artisan queue:work'",
        "php /srv/shop/artisan queue:work --queue=" + "a, " * 4_000 + "b",
        "A=1 " * 4_000 + "php /srv/shop/artisan queue:work",
    ],
    ids=lambda command: command[:20],
)
def test_a_command_that_is_long_is_read_in_a_moment(command: str) -> None:
    began = time.process_time()
    imported(program("", command))
    assert time.process_time() - began < 10


def test_a_worker_without_a_user_is_said_to_run_as_root() -> None:
    _, drafts = imported("[program:w]\ncommand=php /srv/shop/artisan queue:work\n")
    assert "runs as root" in said(drafts)["user"]


@pytest.mark.parametrize(
    ("port", "password", "words"),
    [
        ("*:9001", "123", "is the first to be guessed"),
        (":9001", None, "has no password on *:9001"),
        ("0.0.0.0:9001", "aSdF81-x", "without encryption"),
        ("127.0.0.1:9001", "aSdF81-x", ""),
    ],
)
def test_an_open_port_is_said(port: str, password: str | None, words: str) -> None:
    login = f"username=u\npassword={password}\n" if password else ""
    files, drafts = imported(f"[inet_http_server]\nport={port}\n{login}{program('')}")
    (found, *_) = [r for r in drafts.remarks if r.subject == "[inet_http_server]"]
    assert words in found.what if words else found.verdict is Verdict.LEFT
    assert "#   listen: 127.0.0.1:9001" in files["queuepool.yml"]
    assert password is None or password not in report(drafts) + files["queuepool.yml"].replace("9001", "")


def test_no_secret_is_in_the_report() -> None:
    text = program('environment=A="hunter2",B') + "[supervisord]\nenvironment=C=%(hunter2)s\n"
    text += "[inet_http_server]\nport=*:9001\nusername=u\npassword=hunter2%x\n"
    _, drafts = imported(text)
    assert "environment" in said(drafts)
    assert "hunter2%x" not in report(drafts)
    assert 'A="hunter2"' not in report(drafts)
    assert "hunter2" not in repr(drafts).replace("%(hunter2)s", "")


def test_an_event_listener_is_carried() -> None:
    listener = "[eventlistener:mine]\ncommand=php /a/artisan queue:work\nevents=tick_60,PROCESS_STATE\nbuffer_size=20\n"
    files, drafts = imported(program("") + listener + "result_handler=a:b\nstdout_events_enabled=true\n")
    written = yaml.safe_load(files["queuepool.yml"])["programs"]["mine"]
    assert written == {
        "type": "eventlistener",
        "command": "php /a/artisan queue:work",
        "events": ["TICK_60", "PROCESS_STATE"],
        "buffer_size": 20,
        "autorestart": "unexpected",
    }
    assert {"result_handler", "stdout_events_enabled"} <= set(said(drafts, Verdict.LEFT))


def test_an_event_that_is_none_is_said_and_left_out() -> None:
    files, drafts = imported(program("") + "[eventlistener:e]\ncommand=cat\nevents=TICK_60,TICK_7\n")
    assert yaml.safe_load(files["queuepool.yml"])["programs"]["e"]["events"] == ["TICK_60"]
    assert "`TICK_7`, which is no event" in said(drafts, Verdict.WRONG)["events"]


@pytest.mark.parametrize(
    ("options", "keys", "left"),
    [
        ("", {"stdout_capture_maxbytes": "1MB", "stderr_events_enabled": True, "redirect_stderr": False}, set()),
        ("redirect_stderr=true\n", {"stdout_capture_maxbytes": "1MB"}, set()),
        (
            "stdout_logfile=/tmp/a.log\nstderr_logfile=/tmp/a.log\n",
            {"stdout_capture_maxbytes": "1MB"},
            {"stderr_events_enabled"},
        ),
    ],
)
def test_what_goes_to_listeners_is_carried(options: str, keys: dict[str, object], left: set[str]) -> None:
    files, drafts = imported(program(f"stdout_capture_maxbytes=1MB\nstderr_events_enabled=true\n{options}"))
    written = yaml.safe_load(files["queuepool.yml"])["programs"]["w"]
    found = {key: value for key, value in written.items() if "events" in key or "capture" in key or "redirect" in key}
    assert found == keys
    assert {option for option in said(drafts, Verdict.LEFT) if "events" in option} == left


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ("-a 200MB", 200),
        ("-p w=100MB -a 200MB", 100),
        ("--group=g=50MB", 50),
        ("--group=g=50MB -m me@example.org", None),
        ("-pother=50MB", None),
        ("-p w_01=10MB", 10),
        ("-x 1", None),
        ("-a 1.5MB", None),
    ],
)
def test_what_memmon_limits_is_a_memory_limit(options: str, limit: int | None) -> None:
    text = program("numprocs=2\nprocess_name=%(program_name)s_%(process_num)02d")
    text += f"[group:g]\nprograms=w\n[eventlistener:m]\ncommand=/usr/bin/memmon {options}\nevents=TICK_60\n"
    files, drafts = imported(text)
    written = yaml.safe_load(files["queuepool.yml"])["programs"]["w"]
    assert written.get("memory_limit") == (limit and f"{limit}MB")
    assert ("m" in yaml.safe_load(files["queuepool.yml"])["programs"]) == (limit is None)
    assert ("memmon" in str(said(drafts, Verdict.CHANGED))) == (limit is not None)


def test_home_and_user_are_left_to_queuepool() -> None:
    files, _ = imported(program('environment=HOME="/var/www",USER="www-data",A="1"'))
    assert "HOME" not in files["queuepool.yml"]
    assert 'A: "1"' in files["queuepool.yml"]


def test_what_programs_share_is_a_default() -> None:
    files, _ = imported(program("stopwaitsecs=500") + program("stopwaitsecs=500").replace(":w", ":v"))
    (main,) = files.values()
    assert main.count("stopwaitsecs") == 1
    assert yaml.safe_load(main)["defaults"] == {"stopwaitsecs": 500}


def test_the_documentation_shows_what_is_written_and_said() -> None:
    text = (Path(__file__).parents[2] / "docs" / "migrating-from-supervisor.md").read_text()
    shown = re.search(r"\$ cat (laravel.conf)\n(.*?)\n\n\$ queuepool import supervisor.*?\n```\n", text, re.S)
    written = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert shown is not None
    assert written is not None
    files, drafts = imported(shown[2], "/srv/shop", shown[1])
    (main,) = files.values()
    assert "".join(re.findall(r"^(?!# ).*\n", main, re.M)) == written[1]
    said = {str(remark) for remark in drafts.remarks}
    lines = [
        line.strip().partition("; so too ")[0] for line in shown[0].splitlines() if line.startswith("  laravel.conf:")
    ]
    assert lines
    assert set(lines) <= said


LINES = st.one_of(
    st.sampled_from(["[program:a]", "[group:g]", "[program:b]", "[supervisord]", "[inet_http_server]", "[include]",
                     "[eventlistener:e]", "[fcgi-program:f]", "programs=a,b", "port=*:9001", "[unix_http_server]"]),
    st.builds(
        "{}={}".format,
        st.sampled_from(sorted(PROCESS)),
        st.one_of(
            st.text(max_size=30),
            st.integers(-(10**12), 10**12),
            st.sampled_from(["php /a/artisan queue:work", "php artisan horizon", "%(process_num)d", "%(x)s", "%",
                             "true", "%%(x)s", "${X}", "$${X}", 'A="%(ENV_HOME)s"', "sh -c 'a", "0", "1MB",
                             "-1", "%(here)s",
                             "php /a/artisan queue:work --queue=${X},%(program_name)s --tries=x --name=%(x)s"]),
        ),
    ),
    st.text(max_size=40),
)  # fmt: skip


@settings(max_examples=150)
@given(text=st.lists(LINES, max_size=25).map("\n".join))
def test_any_text_gives_a_file_that_loads_or_a_reason(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from queuepool.config.load import load
    from queuepool.errors import ConfigError

    files, drafts = imported(text)
    directory = tmp_path_factory.mktemp("any")
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(content, errors="surrogatepass")
    problems: tuple[str, ...] = ()
    names: set[str] = set()
    try:
        names = set(load(str(directory / "queuepool.yml"), {"HOME": "/root"}).pools)
    except ConfigError as error:
        problems = error.problems
    assert "YAML" not in " ".join(problems)
    assert problems or names == {one.name for one in drafts.programs}
    assert all("environment variable" in problem for problem in problems), files


@given(st.text(max_size=60))
def test_the_readers_of_values_raise_nothing_but_a_phrase(text: str) -> None:
    for reader in (values.boolean, values.integer, values.byte_size, values.octal, values.signal_number,
                   values.autorestart, values.exit_codes, values.environment, values.address):  # fmt: skip
        said = "is fine"
        try:
            reader(text)
        except ValueError as error:
            said = str(error)
        assert re.match(r"(is|has|holds) ", said)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_a_text_with_percents_is_the_same_in_queuepool(text: str) -> None:
    from queuepool.domain import expand

    names: dict[str, str | int] = dict.fromkeys(expand.NAMES, "v") | {"process_num": 7, "numprocs": 3}
    found = values.template(text)
    try:
        ours = found.for_queuepool()
        expected = found.render(names)
    except (KeyError, ValueError):
        return
    assert expand.template(expand.variables(ours, {}.get)).render(names) == expected
    if not found.bare and "%" in text:
        assert text % names == expected


@given(st.integers(0, 2**40))
def test_a_size_is_read_back_as_it_was(count: int) -> None:
    assert values.byte_size(values.size_text(count)) == count
