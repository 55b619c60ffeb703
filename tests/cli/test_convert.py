"""`import supervisor` and `export supervisor` from the shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.cli.convert import read_files
from queuepool.errors import QueuepoolError

from .calling import Place, call

WORKER = "[program:worker]\ncommand=php /srv/shop/artisan queue:work redis --tries=3\nuser=www-data\nnumprocs=2\n"
NAMED = "process_name=%(program_name)s_%(process_num)02d\n"
SAMPLES = Path(__file__).parents[1] / "formats" / "supervisor"


@pytest.fixture(autouse=True)
def empty(place: Place) -> None:
    """There is no queuepool.yml yet."""
    place.config.unlink()


def test_it_writes_the_file_reports_and_says_what_is_next(tmp_path: Path) -> None:
    (tmp_path / "w.conf").write_text(WORKER + NAMED + "numproc=3\n")
    done = call("import", "supervisor", "w.conf")
    assert (done.returncode, done.stderr) == (0, "")
    assert "worker  2 x worker of the default queue on redis in /srv/shop" in done.stdout
    assert "  w.conf:6: [program:worker] numproc: is no option" in done.stdout
    assert "\nnext: queuepool config check\nbefore `queuepool up`, stop these programs in Supervisor" in done.stdout
    text = (tmp_path / "queuepool.yml").read_text()
    assert "app: /srv/shop\nuser: www-data\n" in text
    assert (tmp_path / "queuepool.yml").stat().st_mode & 0o007 == 0
    assert call("config", "check").returncode == 0


def test_it_overwrites_nothing_and_prints(tmp_path: Path) -> None:
    (tmp_path / "w.conf").write_text(WORKER + NAMED)
    (tmp_path / "queuepool.yml").write_text("mine")
    done = call("import", "supervisor", "w.conf")
    assert done.returncode == 2
    assert "it is there already" in done.stderr
    done = call("import", "supervisor", "w.conf", "--print")
    assert done.returncode == 0
    assert done.stdout.startswith("# Imported from Supervisor: w.conf")
    assert "changed" in done.stderr
    assert (tmp_path / "queuepool.yml").read_text() == "mine"
    done = call("import", "supervisor", "w.conf", "--output", "other/q.yml")
    assert done.stdout.splitlines()[1] == f"wrote {tmp_path}/other/q.yml"
    assert f"\nnext: queuepool -c {tmp_path}/other/q.yml config check\n" in done.stdout


def test_the_file_is_searched_where_supervisor_searches(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "supervisord.conf").write_text("[include]\nfiles=conf.d/*.conf nothing/*\n")
    (tmp_path / "etc" / "conf.d").mkdir()
    (tmp_path / "etc" / "conf.d" / "w.conf").write_text(WORKER + NAMED)
    done = call("import", "supervisor")
    assert done.stdout.startswith("read etc/supervisord.conf and 1 more\n")
    assert "etc/supervisord.conf:2: [include] files: `nothing/*` matches no file" in done.stdout
    assert "etc/conf.d/w.conf:1" in done.stdout


def test_a_directory_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.conf").write_text(WORKER + NAMED)
    (tmp_path / "d" / "b.ini").write_text("[program:b]\ncommand=/bin/cat\n")
    assert call("import", "supervisor", "d").returncode == 0
    done = call("config", "check")
    assert "2 programs, 3 processes" in done.stdout


def test_an_application_each_gets_a_file_each(tmp_path: Path) -> None:
    done = call("import", "supervisor", str(SAMPLES / "several-apps.conf"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "user: nobody" in (tmp_path / "queuepool.d" / "blog.yml").read_text()
    assert "4 programs, 5 processes" in call("config", "check").stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\1\2\xff", "is not a text file"),
        (b"", "holds no [section]"),
        (b"hello", "holds no [section]"),
        (b"\xff\xfe[\n", "holds no [section]"),
        (b"[supervisord]\n", "no program in it"),
        (b"[program:x]\n", "no program in it"),
        (None, "No such file"),
    ],
)
def test_what_is_no_configuration_is_refused_with_a_reason(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "x.conf").write_bytes(content)
    done = call("import", "supervisor", "x.conf")
    assert done.returncode == 2
    assert words in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "queuepool.yml").exists()


def test_a_file_that_needs_something_says_what(tmp_path: Path) -> None:
    (tmp_path / "w.conf").write_text("[program:x]\ncommand=/bin/echo %(ENV_QP_NOT_SET)s\n")
    done = call("import", "supervisor", "w.conf")
    assert done.returncode == 3
    assert "programs.x.command: needs the environment variable QP_NOT_SET" in done.stdout


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "w.conf").write_bytes(b"; f\xfcr\n" + (WORKER + NAMED).encode())
    assert "w.conf:1: is not UTF-8" in call("import", "supervisor", "w.conf").stdout


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.conf").write_bytes(content)
    try:
        found = read_files([str(tmp_path / "x.conf")], {})
    except QueuepoolError as error:
        assert error.hint  # noqa: PT017 - either is right
    else:
        assert found.sources


def test_export_prints_sections_and_says_what_is_lost(place: Place, tmp_path: Path) -> None:
    place.config.write_text(
        "app: /srv/shop\nuser: www-data\nprograms:\n  mail:\n    queue: mail\n    numprocs: 2\n    nice: 5\n"
        "  odd:\n    command: [sh, -c, \"a \\n b\"]\n"
    )  # fmt: skip
    done = call("export", "supervisor")
    assert done.returncode == 1
    assert "[program:mail]\ncommand=php artisan queue:work --queue=mail -v\n" in done.stdout
    assert "process_name=mail_%(process_num)02d\nnumprocs=2\n" in done.stdout
    assert 'environment=HOME="/var/www",USER="www-data"\n' in done.stdout
    assert "[program:odd]" not in done.stdout
    assert "not carried: mail: Supervisor has no option for nice" in done.stderr
    assert "left out: odd: its command holds lines" in done.stderr
    assert "warning: Supervisor refuses a log in /srv/shop/storage/logs, which is not here" in done.stderr


def test_export_writes_a_section_per_slot(place: Place, tmp_path: Path) -> None:
    place.config.write_text("programs:\n  mail:\n    queue: mail\n    numprocs: 2\n")
    done = call("export", "supervisor", "--per-slot", "--output", "mail.conf")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "mail.conf").read_text()
    assert [line for line in text.splitlines() if line.startswith("[")] == ["[program:mail_00]", "[program:mail_01]"]
    assert call("export", "supervisor", "--output", "mail.conf").returncode == 2
