"""The file of `engine: supervisord`: what is written is read back, by us and by the real parser of Supervisor."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.config.load import load
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, PoolSpec, ProcessSpec
from queuepool.domain.supervised import section_name
from queuepool.formats.supervisor_export import CannotExport
from queuepool.formats.supervisor_slots import Entry, entry, from_json, owner_of, read, render, to_json
from tests.support.supervisor import debian_python, pypi_python, understood

OWNER = "/srv/app/queuepool.yml"


def pools_of(directory: Path, text: str) -> dict[str, PoolSpec]:
    (directory / "queuepool.yml").write_text("engine: supervisord\n" + text)
    return load(str(directory / "queuepool.yml"), os.environ).pools


def entries_of(pool: PoolSpec, count: int) -> dict[str, Entry]:
    found = {}
    for slot in range(count):
        spec = pool.process(slot)
        one = entry(section_name(spec), pool, spec, slot, "/srv/app/releases/7", {})
        found[one.section] = one
    return found


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> PoolSpec:
    return pools_of(tmp_path_factory.mktemp("mail"), "programs: {mail: {queue: mail, tries: 3}}\n")["mail"]


def test_what_is_written_is_read_back(mail: PoolSpec) -> None:
    entries = entries_of(mail, 3)
    entries["mail_01"] = replace(entries["mail_01"], runs=False)
    text = render(OWNER, entries.values())
    found = read(text)
    assert found is not None
    assert (found.owner, dict(found.entries), found.whole) == (OWNER, entries, True)
    assert from_json(to_json(entries.values())) == entries
    assert text.startswith(f"; written by queuepool from {OWNER}; do not edit\n")
    assert "[program:mail_01]\n" in text
    assert text.count("autostart=false\n") == 1


def test_each_process_is_a_program_of_its_own_with_a_log_of_its_own(mail: PoolSpec) -> None:
    logs = [mail.process(slot).stdout.path or "" for slot in range(3)]
    assert [os.path.basename(path) for path in logs] == ["mail_00.log", "mail_01.log", "mail_02.log"]
    assert mail.strategy.limits(4) == (0, 1)


@given(data=st.data())
def test_an_edit_by_hand_is_noticed(data: st.DataObject, mail: PoolSpec) -> None:
    text = render(OWNER, entries_of(mail, 2).values())
    at = data.draw(st.integers(text.index("\n\n") + 2, len(text) - 1))
    edited = text[:at] + data.draw(st.sampled_from(["x", "\n", "[a]"])) + text[at:]
    found = read(edited)
    assert found is not None
    assert not found.whole


def test_a_file_of_somebody_else_is_none_of_ours() -> None:
    for text in ("", "[program:mail]\ncommand=x\n", "; written by hand\n"):
        assert read(text) is None
        assert owner_of(text) is None


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=20)


@given(words=st.lists(_TEXT, max_size=4), value=_TEXT)
@settings(max_examples=150)
def test_whatever_is_in_a_command_can_be_written_and_read_or_is_refused(
    words: list[str], value: str, mail: PoolSpec
) -> None:
    launch = Launch(("/bin/x", *words), "/srv", environment=(("V", value),))
    spec: ProcessSpec = replace(mail.process(0), launch=launch)
    try:
        one = entry("mail_00", mail, spec, 0, None, {})
    except CannotExport:
        return
    found = read(render(OWNER, [one]))
    assert found is not None
    assert found.whole
    assert found.entries == {"mail_00": one}


@pytest.mark.parametrize("python", [debian_python, pypi_python], ids=["debian", "4.3.0"])
def test_supervisor_reads_the_same_command_lines(python: object, tmp_path: Path, mail: PoolSpec) -> None:
    path = python()  # type: ignore[operator]
    if path is None:
        pytest.skip("Supervisor is not installed")
    words = [
        ["a b", "c;d", "e ; f", "g # h", "100%", "%(x)s"], ["'", '"', "\\", "it's"], ["a\nb"], ["--x=y z", "", "é"],
        ["$HOME", "`id`", "a'b\"c"], ["[program:x]", "; x"],
    ]  # fmt: skip
    entries, wanted = [], {}
    for number, more in enumerate(words):
        argv = ("/bin/echo", *more)
        environment = (("PERCENT", "5%"), ("SEMI", "a ; b"), ("QUOTE", "it's"))
        spec = replace(
            mail.process(number), launch=Launch(argv, str(tmp_path), environment=environment), stdout=_nowhere(mail)
        )
        one = entry(f"mail_{number:02d}", mail, spec, number, None, {})
        entries.append(replace(one, name=ProcessName("mail", number), runs=number != 1))
        wanted[one.section] = (argv, dict(environment), number != 1)
    file = tmp_path / "ours.conf"
    file.write_text(render(OWNER, entries))
    main = tmp_path / "supervisord.conf"
    main.write_text(f"[supervisord]\nlogfile={tmp_path}/l\npidfile={tmp_path}/p\n[include]\nfiles=ours.conf\n")
    [answer] = understood(path, [main], {})
    assert "refused" not in answer, answer
    import shlex

    seen = {one["name"]: one for one in answer["processes"]}
    assert {name: one["group"] for name, one in seen.items()} == {name: name for name in wanted}
    for name, (argv, environment, runs) in wanted.items():
        assert tuple(shlex.split(seen[name]["command"])) == argv
        assert environment.items() <= seen[name]["environment"].items()
        assert seen[name]["autostart"] is runs
        assert (seen[name]["autorestart"], seen[name]["stopwaitsecs"]) == ("true", 78)


def _nowhere(pool: PoolSpec):  # type: ignore[no-untyped-def]
    return replace(pool.process(0).stdout, path=None)
