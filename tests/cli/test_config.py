from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "queuepool", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environ},
            timeout=60,
            check=False,
        )

    return call


def _write(folder: Path, text: str) -> None:
    (folder / "artisan").touch()
    (folder / "queuepool.yml").write_text(text)


def test_a_good_file_is_ok(run: Run, tmp_path: Path) -> None:
    _write(tmp_path, "programs: {a: {command: sh, numprocs: 3}}\n")
    said = run("config", "check")
    assert (said.returncode, said.stdout, said.stderr) == (0, "queuepool.yml: ok: 1 program, 3 processes\n", "")
    assert json.loads(run("config", "check", "--json").stdout) == {
        "path": str(tmp_path / "queuepool.yml"), "ok": True, "problems": [], "warnings": [], "programs": 1,
        "processes": 3,
    }  # fmt: skip


def test_a_bad_file_exits_with_2_and_every_problem(run: Run, tmp_path: Path) -> None:
    _write(tmp_path, "programs:\n  a: {numproc: 3}\n  b: {timeout: x}\n")
    said = run("config", "check")
    assert (said.returncode, said.stdout) == (2, "")
    assert "queuepool.yml:2: programs.a.numproc: unknown key (did you mean numprocs?)" in said.stderr
    assert "queuepool.yml:3: programs.b.timeout: `x` is not a duration" in said.stderr
    assert "Traceback" not in said.stderr
    found = json.loads((said := run("config", "check", "--json")).stdout)
    assert (said.returncode, found["ok"], len(found["problems"])) == (2, False, 2)


def test_a_bad_included_file_exits_with_2_too(run: Run, tmp_path: Path) -> None:
    _write(tmp_path, "programs: {a: {command: sh}}\ninclude: b.yml\n")
    said = run("config", "check")
    assert said.returncode == 2
    assert "b.yml:1: cannot be read: no such file or directory" in said.stderr


def test_what_is_missing_on_this_machine_is_a_warning(run: Run, tmp_path: Path) -> None:
    _write(
        tmp_path,
        "user: nobody-here\nphp: no-such-php\nprograms:\n  a: {directory: nowhere}\n  b: {group: no-such-group}\n"
        "  c: {command: php artisan queue:work, stdout_logfile: artisan/x.log}\n"
        "  d: {type: eventlistener, command: cat, events: TICK_5, user: nobody}\n",
    )
    said = run("config", "check")
    assert said.returncode == 0
    for text in (
        "queuepool.yml:4: programs.a: the user nobody-here does not exist here",
        f"queuepool.yml:4: programs.a: the directory {tmp_path}/nowhere does not exist here",
        "queuepool.yml:4: programs.a: the program no-such-php is not there, or not executable",
        "queuepool.yml:5: programs.b: the group no-such-group does not exist here",
        "queuepool.yml:6: programs.c: this runs queue:work; with `type: worker`",
        f"{tmp_path}/artisan is not a directory",
        "queuepool.yml:7: programs.d: runs as nobody, who cannot open the daemon's control socket",
    ):
        assert text in said.stderr
    assert said.stderr.count("nobody-here") == 1


def test_an_option_that_the_installed_laravel_lacks_is_refused(run: Run, tmp_path: Path) -> None:
    _write(tmp_path, "php: sh\nprograms: {a: {json: true}}\n")
    (tmp_path / "composer.lock").write_text(
        json.dumps({"packages": [{"name": "laravel/framework", "version": "v10.48.2"}]})
    )
    said = run("config", "check")
    assert said.returncode == 2
    assert "programs.a: `json` needs Laravel 11.27 (this application has 10.48)" in said.stderr


def test_the_file_is_shown_as_understood_and_is_yaml(run: Run, tmp_path: Path) -> None:
    import yaml

    _write(tmp_path, "http: {username: a, password: '${P}'}\nprograms: {a: {queue: 'x', tries: 3}}\ngroups: {g: [a]}\n")
    said = run("config", "show", P="hunter2")
    assert said.returncode == 0
    shown = yaml.safe_load(said.stdout)
    assert shown["programs"]["a"]["tries"] == 3
    assert shown["programs"]["a"]["stopwaitsecs"] == 78
    assert shown["groups"]["g"] == {"programs": ["a"]}
    assert "    tries: 3" in said.stdout
    assert "# queuepool.yml:2" in said.stdout
    assert "# php artisan queue:work --queue=x --tries=3" in said.stdout
    assert "hunter2" not in said.stdout
    assert json.loads(run("config", "show", "--json", P="hunter2").stdout)["programs"]["a"]["values"]["tries"] == {
        "value": 3, "from": "queuepool.yml:2",
    }  # fmt: skip


def test_the_schema_is_json(run: Run) -> None:
    assert "programs" in json.loads(run("config", "schema").stdout)["properties"]


def test_no_file_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    said = run("config", "check", QUEUEPOOL_CONFIG=str(tmp_path / "nope.yml"))
    assert said.returncode == 2
    assert "queuepool init" in said.stderr
