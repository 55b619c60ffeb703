from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.config.load import load
from queuepool.domain.command import OPTIONS
from queuepool.domain.places import key_of
from queuepool.domain.pool import Loaded
from queuepool.domain.spec import Program, Settings
from queuepool.errors import ConfigError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _load(text: str | bytes, environ: dict[str, str] | None = None) -> Loaded:
    Path("queuepool.yml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load("queuepool.yml", environ or {})


def _problems(text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, environ)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def test_a_file_becomes_pools_in_its_order(here: Path) -> None:
    loaded = _load("programs:\n  b: {numprocs: 3}\n  a: {command: date}\n  c:\ngroups: {g: [a, b]}\n")
    assert list(loaded.pools) == ["b", "a", "c"]
    assert [pool.source for pool in loaded.pools.values()] == ["queuepool.yml:2", "queuepool.yml:3", "queuepool.yml:4"]
    assert loaded.groups == {"g": ("a", "b")}
    assert (loaded.path, loaded.app, loaded.problems, loaded.broken) == (str(here / "queuepool.yml"), str(here), (), ())
    assert loaded.pools["a"].app is None  # no artisan here


def test_every_problem_is_told_at_once_with_its_line(here: Path) -> None:
    assert _problems(
        "usr: www-data\nprograms:\n  mail:\n    numproc: 3\n    timeout: abc\n    scale: {min: 1}\n"
        "  mail: {}\n  a b: {}\n"
        "  c: {command: 'x \"', stopsignal: FOO}\n  d: {command: x, queue: y}\n  e: {depends_on: maill}\n"
        "groups: {g: [nope]}\nhttp: {listen: '0.0.0.0:1'}\nengine: systemd\n"
    ) == [
        "queuepool.yml:1: usr: unknown key (did you mean user?)",
        "queuepool.yml:4: programs.mail.numproc: unknown key (did you mean numprocs?)",
        "queuepool.yml:5: programs.mail.timeout: `abc` is not a duration such as 60, 90s or 1h30m",
        "queuepool.yml:6: programs.mail.scale: autoscaling is not in this version; use numprocs",
        "queuepool.yml:7: programs.mail: is given twice, first in line 3",
        "queuepool.yml:8: programs.a b: cannot be a name: one is made of letters, digits, _ . @ - and does not begin "
        "with . @ or -",
        "queuepool.yml:9: programs.c.command: has an unclosed quote",
        "queuepool.yml:9: programs.c.stopsignal: `FOO` is not a signal of this system, such as TERM, QUIT or USR2",
        "queuepool.yml:10: programs.d.queue: has no meaning for a command "
        "(remove it, or remove `command`: then it is a worker)",
        "queuepool.yml:11: programs.e.depends_on: names 'maill', which is no program (did you mean mail?)",
        "queuepool.yml:12: groups.g: names 'nope', which is no program",
        "queuepool.yml:13: http: listens on 0.0.0.0:1, which others can reach: give username and password",
        "queuepool.yml:14: engine: `systemd` is an engine that is not in this version; there are local and supervisord",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "queuepool.yml:1: is empty (`queuepool init` writes a file to begin with)"),
        ("# nothing\n", "queuepool.yml:1: is empty"),
        ("app: .\n", "queuepool.yml:1: holds no programs"),
        ("hello", "queuepool.yml:1: holds no `key: value` lines"),
        ("- a\n", "queuepool.yml:1: holds no `key: value` lines"),
        ("a: b: c\n", "queuepool.yml:1: this is not valid YAML: there is a colon where none can be"),
        (b"a: 1\nb: \xff\n", "queuepool.yml:1: is not UTF-8: line 2 holds the byte 0xff"),
        ("programs: [a]\n", "queuepool.yml:1: programs: the value is not a mapping"),
        ("programs: {a: 3}\n", "queuepool.yml:1: programs.a: `3` is not a mapping"),
        ("notify: {}\nprograms: {}\n", "queuepool.yml:1: notify: unknown key (did you mean notifications?)"),
        ("programs:\n a: {envs: {}}\n", "queuepool.yml:2: programs.a.envs: unknown key (did you mean env"),
        ("numprocs: 3\nprograms: {}\n", "queuepool.yml:1: numprocs: unknown key (put it below `defaults:`"),
        ("programs:\n a: {max-jobs: 3}\n", "queuepool.yml:2: programs.a.max-jobs: unknown key (did you mean max_jobs?"),
        ("programs:\n a: {serverurl: x}\n", "queuepool.yml:2: programs.a.serverurl: is an option of Supervisor"),
        ("programs:\n a: {type: workr}\n", "queuepool.yml:2: programs.a.type: `workr` is not one of worker, listen"),
        ("programs:\n a: {numprocs: -1}\n", "queuepool.yml:2: programs.a.numprocs: `-1` is less than 0"),
        ("programs:\n a: {autostart: maybe}\n", "queuepool.yml:2: programs.a.autostart: `maybe` is neither true nor"),
        ("programs:\n a: {queue: [[x]]}\n", "queuepool.yml:2: programs.a.queue: the value is not a list"),
        ("programs:\n a: {user: [x]}\n", "queuepool.yml:2: programs.a.user: the value is not text"),
        ("programs:\n a: {tries: '${X}'}\n", "queuepool.yml:2: programs.a.tries: needs the environment variable X"),
        ("programs:\n a:\n  - b\n", "queuepool.yml:2: programs.a: the value is not a mapping"),
        ("programs:\n a: {env_file: .no}\n", "queuepool.yml:2: programs.a.env_file: names .no, which cannot be read"),
        ("programs: {a: }\ninclude: 3: 4\n", "queuepool.yml:2: this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_says_why(here: Path, text: str | bytes, problem: str) -> None:
    assert _problems(text)[0].startswith(problem)


def test_a_file_that_cannot_be_read_says_why(here: Path) -> None:
    Path("dir").mkdir()
    os.mkfifo("fifo")
    for name, why in (("dir", "is a directory"), ("nope.yml", "no such file"), ("fifo", "regular"), ("a\0b", "name")):
        with pytest.raises(ConfigError) as caught:
            load(name, {})
        assert why in caught.value.problems[0]


@pytest.mark.root
def test_a_file_without_permission_says_so(here: Path) -> None:
    here.chmod(0o755)
    Path("queuepool.yml").write_text("programs: {}")
    Path("queuepool.yml").chmod(0)
    code = (
        "import os; os.setuid(65534)\nfrom queuepool.config.reading import read_text\n"
        "try: read_text('queuepool.yml')\nexcept ValueError as error: print(error, error.hint, sep='; ')"
    )
    # imported before the user changes, since the checkout may be private
    code = "import queuepool.config.reading\n" + code
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=here)
    why, _, remedy = said.stdout.strip().partition("; ")
    assert why == "cannot be read: permission denied"
    assert remedy.startswith("`namei -l queuepool.yml` ")


def test_a_second_horizon_is_said_with_file_and_line_and_runs_nevertheless(here: Path) -> None:
    Path("b.yml").write_text("programs:\n  more:\n    type: horizon\n")
    loaded = _load("programs: {horizon: {type: horizon}}\ninclude: b.yml\n")
    assert list(loaded.pools) == ["horizon", "more"]
    assert [text.partition(" (")[0] for text in loaded.problems] == [
        "b.yml:3: programs.more.type: is a second Horizon of this application, beside horizon: each master starts all "
        "the workers"
    ]


def test_a_second_scheduler_is_said_with_file_and_line_and_runs_nevertheless(here: Path) -> None:
    loaded = _load("programs:\n  cron:\n    command: php artisan schedule:work\n    numprocs: 2\n")
    assert list(loaded.pools) == ["cron"]
    assert [text.partition(": each")[0] for text in loaded.problems] == [
        "queuepool.yml:4: programs.cron.numprocs: starts several schedulers"
    ]


def test_a_bad_included_file_takes_down_only_itself(here: Path) -> None:
    Path("conf.d").mkdir()
    Path("conf.d/a.yml").write_text("programs:\n  a: {numproc: 1}\n  a2: {}\n")
    Path("conf.d/b.yml").write_text("programs: {b: {depends_on: a}}\ngroups: {g: [b, a2]}\n")
    Path("conf.d/c.yml").write_text("programs: {c: {command: '%(nope)s'}}\n")
    Path("conf.d/d.yml").write_text("a: b: c")
    Path("conf.d/e.yml").write_text("")
    Path("conf.d/f.yml").write_text("engine: local\n")
    loaded = _load("programs: {m: {}}\ninclude: [conf.d/*.yml, extra.yml]\n")
    assert list(loaded.pools) == ["m", "b"]
    assert loaded.pools["b"].depends_on == ()
    assert loaded.groups == {"g": ("b",)}
    assert set(loaded.broken) == {"conf.d/a.yml", "conf.d/c.yml", "conf.d/d.yml", "conf.d/f.yml", "extra.yml"}
    said = [text.partition(" (")[0] for text in loaded.problems]
    assert said[:2] == [
        "conf.d/b.yml:1: programs.b.depends_on: names 'a', which is no program",
        "conf.d/b.yml:2: groups.g: names 'a2', which is no program",
    ]
    assert "conf.d/a.yml:2: programs.a.numproc: unknown key" in said
    assert "conf.d/f.yml:1: engine: can only be set in the main file" in said
    assert "extra.yml:1: cannot be read: no such file or directory" in said


def test_a_program_that_two_files_give_is_named_with_both(here: Path) -> None:
    Path("a.yml").write_text("programs:\n  x: {}\n")
    Path("b.yml").write_text("programs:\n\n  x: {}\n  y: {}\n")
    loaded = _load("programs: {m: {}}\ninclude: [a.yml, b.yml]\n")
    assert list(loaded.pools) == ["m", "x"]
    assert loaded.broken == ("b.yml",)
    assert loaded.problems == ("b.yml:3: programs.x: is given twice, first in a.yml:2 (rename one of them)",)


def test_an_included_file_cannot_include(here: Path) -> None:
    Path("a.yml").write_text("include: b.yml\nprograms: {a: {}}\n")
    loaded = _load("programs: {m: {}}\ninclude: a.yml\n")
    assert loaded.problems == ("a.yml:1: include: can only be set in the main file",)


def test_a_file_that_includes_itself_is_read_once(here: Path) -> None:
    assert list(_load("programs: {m: {}}\ninclude: ['*.yml']\n").pools) == ["m"]


def test_circles_of_waiting_across_files_are_refused(here: Path) -> None:
    Path("a.yml").write_text("programs: {a: {depends_on: m}}\n")
    assert _problems("programs:\n  m: {depends_on: a}\ninclude: a.yml\n") == [
        "queuepool.yml:2: programs.m.depends_on: waits for itself: m -> a -> m (one of them has to start first)"
    ]


def test_variables_come_from_the_environment_and_the_files_own_env_file(here: Path) -> None:
    Path(".env").write_text('N=3\nB="x ${N} ${X}"\nX=file\nP=50%(x)s\n')
    loaded = _load(
        "env_file: .env\nx-free: ${NOPE\nprograms:\n  a:\n    numprocs: ${N}\n    queue: ${X:-none}\n"
        "    environment: {A: '${B}', D: $$, E: }\n",
        {"X": "real"},
    )
    pool = loaded.pools["a"]
    assert (pool.numprocs, pool.queues) == (3, ("real",))
    assert dict(pool.process(0).launch.environment) == {
        "A": "x 3 real", "B": "x 3 real", "D": "$$", "E": "", "N": "3", "X": "file", "P": "50%(x)s",
    }  # fmt: skip


def test_a_bad_line_of_an_env_file_is_named_without_its_content(here: Path) -> None:
    Path(".env").write_text("A=1\n\nhunter2 x\n")
    assert _problems("programs: {a: {env_file: .env}}") == [
        "queuepool.yml:1: programs.a.env_file: names .env, where line 3 is not of the form NAME=value"
    ]


def test_no_problem_shows_a_secret(here: Path) -> None:
    said = _problems(
        "environment: {A: [hunter2]}\nhttp: {username: a, password: [hunter2]}\n"
        "programs:\n  a: {tries: '${P}', timeout: '${P}', environment: hunter2}\n",
        {"P": "hunter2"},
    )
    assert len(said) == 5
    assert "hunter2" not in str(said)


def test_paths_are_seen_from_the_file_that_says_them(here: Path) -> None:
    Path("conf.d").mkdir()
    Path("app").mkdir()
    Path("app/artisan").touch()
    Path("conf.d/a.yml").write_text("programs:\n  a: {stdout_logfile: a.log}\n  b: {command: date}\n")
    loaded = _load("app: app\nprograms: {m: {stdout_logfile: ~/m.log}}\ninclude: conf.d/*\n")
    assert loaded.pools["a"].process(0).stdout.path == str(here / "conf.d/a.log")
    assert loaded.pools["b"].process(0).stdout.path == str(here / "app/storage/logs/b.log")
    assert loaded.pools["m"].process(0).stdout.path == os.path.expanduser("~/m.log")
    assert {pool.app for pool in loaded.pools.values()} == {str(here / "app")}


def test_a_current_symlink_is_not_resolved(here: Path) -> None:
    Path("releases/1").mkdir(parents=True)
    Path("current").symlink_to("releases/1")
    Path("current/queuepool.yml").write_text("programs: {a: {}}")
    loaded = load(str(here / "current/queuepool.yml"), {})
    assert loaded.pools["a"].process(0).launch.directory == str(here / "current")


def test_the_digest_changes_with_what_the_file_means(here: Path) -> None:
    text = "programs: {a: {queue: '${Q:-x}'}}\n"
    one = _load(text).digest
    assert _load(text).digest == one
    assert _load(text, {"Q": "y"}).digest != one
    assert _load("programs: {a: {queue: y}}\n").digest != one


def test_reading_again_gives_equal_pools(here: Path) -> None:
    text = "programs: {a: {numprocs: 2, environment: {A: 1}}, b: {command: date}}\n"
    assert _load(text).pools == _load(text).pools


def test_ten_thousand_programs_take_ten_times_as_long_as_a_thousand(here: Path) -> None:
    """How long that is stands in no test: it depends on what else runs here."""

    def seconds(count: int) -> float:
        keys = "connection: redis\n    queue: [high, default]\n    numprocs: 4\n    tries: 3\n    timeout: 60\n"
        text = "programs:\n" + "".join(f"  p{n}:\n    {keys}" for n in range(count))
        before = time.process_time()
        loaded = _load(text)
        assert len(loaded.pools) == count
        assert loaded.pools[f"p{count - 1}"].process(3).display == f"p{count - 1}:p{count - 1}_03"
        return time.process_time() - before

    assert any(seconds(10_000) < 20 * seconds(1_000) for _ in range(3))


def test_many_mistakes_are_counted_rather_than_listed(here: Path) -> None:
    said = _problems("programs:\n" + "".join(f"  p{n}: {{nope: 1}}\n" for n in range(1000)))
    assert len(said) == 201
    assert said[-1].startswith("queuepool.yml: and ")


def test_a_file_that_is_too_large_is_refused(here: Path) -> None:
    assert "larger than 16 MB" in _problems(b"# " + b"x" * 17_000_000)[0]


_KEYS = st.sampled_from(
    [key_of(name) for name in {**Settings.model_fields, **Program.model_fields}]
    + list(OPTIONS)
    + ["a", "b", "<<", "x-a"]
)
_TELLING = ("1", "-1", "0", "a", "a,b", "yes", "worker", "command", "${A}", "${", "%(x)s", "%(process_num)d", "1m", "~")
_TEXTS = st.text(max_size=6) | st.text(min_size=200, max_size=300)
_SCALARS = st.sampled_from((*_TELLING, "'", '"x', "0.0.0.0:80", "*.yml", ".", "a:b", "\x7f")) | _TEXTS
_OF_YAML = st.floats() | st.dates() | st.datetimes() | st.binary(max_size=20)
_TREES = st.recursive(
    _SCALARS | st.none() | st.integers() | st.booleans() | _OF_YAML,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS, inner, max_size=4)
        | inner.map(lambda twice: [twice, twice])  # written as an anchor and an alias
    ),
    max_leaves=20,
)
_FILES = st.dictionaries(_KEYS, _TREES, max_size=5) | st.fixed_dictionaries(
    {
        "programs": st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.dictionaries(_KEYS, _TREES, max_size=4), max_size=3
        )
    },
    optional={"defaults": st.dictionaries(_KEYS, _TREES, max_size=3), "groups": _TREES, "user": _TREES, "app": _TREES},
)


@settings(max_examples=200, deadline=None)
@given(_FILES)
def test_any_yaml_loads_or_is_refused_with_problems(here: Path, tree: object) -> None:
    import yaml

    _only_config_errors(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


_VALID = b"""\
x-base: &base {numprocs: 2, stopwaitsecs: 1.5, environment: {A: "${A}", B: !!str 2026-01-31}}
x-more: &more
  <<: *base
  autostart: false
user: ~
programs:
  a: {<<: *base, command: sleep 1, startsecs: 0}
  b:
    <<: [*base, *more]
    command: [sh, -c, "exit 0"]
    stdout_logfile: |-
      logs/%(program_name)s.log
  c: {type: worker, queue: [high, default], tries: 3, timeout: 1m}
groups: {both: [a, b]}
"""
_TOKENS = (
    *(b"*base", b"*none", b"&a ", b"&a [*a]", b"<<: *base", b"<<: 3", b"<<: [1]", b"? ", b"? [a]\n: b", b"=", b"!a b"),
    *(b"!!binary YQ==", b"!!binary '", b"!!python/object:os.system x", b"!!set {a}", b"!!timestamp x", b"!!int x"),
    *(b".nan", b"-.inf", b"1e999", b"!!float x", b"0b", b"0x", b"1:99", b"2026-01-31", b"2026-99-99", b"9" * 5000),
    *(b"2026-01-31T00:00:00+99:99", b"---\n", b"...\n", b"%YAML 9.9\n---\n", b"%TAG ! x\n", b"\t", b"\r", b"\n", b"\0"),
    *(b"\xc2\x85", b"\xef\xbb\xbf", b"\xff", b"\xf0\x9f\x92\xa9", b"- ", b": ", b"{", b"}", b"[", b"]", b"'", b'"'),
    *(b"|", b">-\n", b"#", b"[" * 900),
)
_BYTES = (
    st.binary(max_size=60)
    | st.binary(min_size=3500, max_size=4096)
    | st.text("programs:a{}[],\n -&*!%$'\"0", max_size=60).map(str.encode)
    | st.lists(st.sampled_from(_TOKENS), max_size=4).map(b"".join)
)


def _mixed(valid: bytes) -> st.SearchStrategy[bytes]:
    """A valid file in which a piece was replaced by anything, also twice."""

    def put(pieces: list[tuple[int, int, bytes]]) -> bytes:
        text = valid
        for at, length, piece in pieces:
            text = text[:at] + piece + text[at + length :]
        return text

    piece = st.tuples(st.integers(0, len(valid)), st.integers(0, 12), _BYTES)
    return st.lists(piece, min_size=1, max_size=2).map(put)


def test_what_is_mixed_with_anything_was_valid(here: Path) -> None:
    assert list(_load(_VALID, {"A": "1"}).pools) == ["a", "b", "c"]


@settings(max_examples=250, deadline=None)
@given(_BYTES | _mixed(_VALID))
def test_any_bytes_load_or_are_refused_with_problems(here: Path, content: bytes) -> None:
    _only_config_errors(content)


@settings(max_examples=100, deadline=None)
@given(_BYTES | _mixed(_VALID))
def test_any_bytes_in_an_included_file_take_down_only_that_file(here: Path, content: bytes) -> None:
    Path("more.yml").write_bytes(content)
    loaded = _load("programs: {mine: {command: date}}\ninclude: [more.yml]\n", {"A": "1"})
    assert "mine" in loaded.pools
    assert all(re.match(r".+:\d+: ", text, re.DOTALL) for text in loaded.problems)


@settings(max_examples=100, deadline=None)
@given(_BYTES | _mixed(b"A=1\nexport B='x y'\nC=\"${A}\\n\"\n# no\nD=\n"))
def test_any_bytes_in_an_env_file_load_or_are_refused_with_problems(here: Path, content: bytes) -> None:
    Path(".more").write_bytes(content)
    _only_config_errors(b"programs: {mine: {command: 'date ${A}', env_file: .more}}\n")


def _only_config_errors(content: bytes) -> None:
    try:
        loaded = _load(content, {"A": "1"})
    except ConfigError as error:
        problems = error.problems
    else:
        problems = ("queuepool.yml:1: ",)
        for pool in loaded.pools.values():
            assert pool.process(0).launch.argv
            pool.process(pool.numprocs)
    assert problems
    assert all(re.match(r".+:\d+: ", text, re.DOTALL) for text in problems)
