"""What `export supervisor` writes is what Supervisor's own readers read back."""

from __future__ import annotations

import configparser
import posixpath
import re
import shlex

from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.expand import Template
from queuepool.domain.names import ProcessName
from queuepool.domain.places import Place
from queuepool.domain.pool import Launch, LogPolicy, Policy, PoolSpec, ProcessSpec
from queuepool.domain.resolve import resolve
from queuepool.domain.slots import Slots
from queuepool.domain.spec import Settings
from queuepool.formats.supervisor_export import render
from queuepool.formats.supervisor_values import environment

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TRICKY = st.lists(st.sampled_from(list(" ;#'\"%()\\s$,=a\n")), max_size=12).map("".join)
WORD = TEXT | TRICKY


def pool(argv: tuple[str, ...] = ("/bin/cat",), variables: dict[str, str] | None = None, log: str = "/l") -> PoolSpec:
    env = tuple((variables or {}).items())
    policy = LogPolicy(log)
    spec = ProcessSpec(ProcessName("p", 0), "p", Launch(argv, "/", environment=env), Policy(), policy)
    return PoolSpec("p", "command", 1, Slots(
        first=0,
        process_name=Template(("p",)),
        argv=tuple(Template((word,)) for word in argv),
        directory=Template(("/",)),
        environment=tuple((name, Template((value,))) for name, value in env),
        stdout=Template((log,)),
        stderr=None,
        spec=spec,
    ))  # fmt: skip


def read_back(text: str, option: str, *, times: int = 1) -> str:
    """The value as Supervisor has it after its parser and its expansion."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    value = parser.get("program:p", option)
    for _ in range(times):
        value %= {"program_name": "p", "process_num": 0}
    return value


@given(st.lists(WORD, min_size=1, max_size=4))
def test_any_command_is_read_back_word_for_word_or_refused(argv: list[str]) -> None:
    made = render({"p": pool(tuple(argv))}, {}, {})
    if made.refused:
        assert any("\n" in word or "\r" in word or not word.isprintable() for word in argv)
    else:
        program, *rest = shlex.split(read_back(made.text, "command"))
        if "/" in argv[0] and not argv[0].startswith("/"):  # from `directory`, which is / here
            assert posixpath.normpath(program) == posixpath.normpath("/" + argv[0])
        else:
            assert program == argv[0]
        assert rest == argv[1:]


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True), WORD, max_size=3))
def test_any_environment_is_read_back_or_refused(variables: dict[str, str]) -> None:
    made = render({"p": pool(variables=variables)}, {}, {})
    if made.refused:
        assert any(re.search("[\r\n'\"]", value) or not value.isprintable() for value in variables.values())
    elif variables:
        assert environment(read_back(made.text, "environment")) == variables


@given(TRICKY)
def test_the_path_of_a_log_is_read_back_or_refused(name: str) -> None:
    path = f"/logs/{name}.log"
    made = render({"p": pool(log=path)}, {}, {})
    if not made.refused:
        assert read_back(made.text, "stdout_logfile", times=2) == path


def pools(text: dict[str, object]) -> dict[str, PoolSpec]:
    found, faults = resolve(Settings.model_validate({"programs": text}), Place("/srv", "/srv"))
    assert faults == []
    return found


def test_what_supervisor_has_no_option_for_is_said_and_stands_in_the_file() -> None:
    options = {"nice": 5, "memory_limit": "1GB", "group": "www", "log_prefix": "time", "rlimits": {"nofile": 10}}
    made = render(pools({"mail": options}), {}, {})
    assert made.lost == (("mail", "group, nice, rlimits, memory_limit, log_prefix and log_format"),)
    assert "; Supervisor has no option for: group, nice" in made.text


def test_a_program_stands_in_the_first_of_its_groups() -> None:
    made = render(pools({"a": {}, "b": {"priority": 7}}), {"one": ("a",), "two": ("a", "b")}, {})
    assert "[group:one]\nprograms=a\n" in made.text
    assert "[group:two]\nprograms=b\npriority=7\n" in made.text


def test_home_and_user_are_given_where_queuepool_would_give_them() -> None:
    made = render(pools({"a": {"user": "www-data"}}), {}, {"www-data": "/var/www"})
    assert 'environment=HOME="/var/www",USER="www-data"\n' in made.text
    made = render(pools({"a": {"user": "www-data", "clear_env": False}}), {}, {"www-data": "/var/www"})
    assert "HOME" not in made.text


def test_what_a_shell_starts_is_stopped_with_it() -> None:
    made = render(pools({"a": {"command": ["sh", "-c", "sleep 1; sleep 2"]}, "b": {"command": "sleep 1"}}), {}, {})
    shell, plain = made.text.split("[program:b]")
    assert "stopasgroup=true\nkillasgroup=true\n" in shell
    assert "stopasgroup" not in plain


def test_parts_of_seconds_are_rounded_up() -> None:
    made = render(pools({"a": {"stopwaitsecs": 90.5, "startsecs": 0.5}}), {}, {})
    assert "stopwaitsecs=91\n" in made.text
    assert "startsecs" not in made.text  # 1 is Supervisor's own default
