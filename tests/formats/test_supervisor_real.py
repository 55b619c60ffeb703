"""Configurations through the real Supervisor and through the import: what differs is what the report says."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from queuepool.cli.convert import Found, read_files
from queuepool.config.load import load
from queuepool.domain import command
from queuepool.domain.pool import Loaded, LogPolicy, PoolSpec, ProcessSpec
from queuepool.formats import supervisor_export
from queuepool.formats.supervisor_import import Drafts, draft
from queuepool.formats.supervisor_remarks import REFUSES, Remark, Verdict
from queuepool.formats.supervisor_yaml import render
from tests.support import supervisor

SAMPLES = Path(__file__).parent / "supervisor"
ENVIRON = {"QP_OUTER": "outer", "HOME": "/root", "QP_WORKERS": "3", "QP_RUN": "false", "QP_USER": "www-data"}
VERSIONS = {"debian": supervisor.debian_python, "4.3.0": supervisor.pypi_python}


@dataclass
class Case:
    """One configuration, at a place where all that it names is there."""

    name: str
    file: Path
    found: Found
    drafts: Drafts
    loaded: Loaded
    files: dict[str, str]

    @property
    def remarks(self) -> list[Remark]:
        return [*self.found.remarks, *self.drafts.remarks]


def place(sample: Path, folder: Path) -> Path:
    """A sample below `folder`, whose /srv is there instead; the main file."""
    for name in ("shop/storage/logs", "logs", "blog/current"):
        (folder / "srv" / name).mkdir(parents=True)
    for root in ("shop", "blog/current"):
        (folder / "srv" / root / "artisan").touch()
    files = [sample] if sample.is_file() else sorted(p for p in sample.rglob("*") if p.is_file())
    for file in files:
        target = folder / (file.name if sample.is_file() else str(file.relative_to(sample)))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text().replace("/srv/", f"{folder}/srv/")
        if "[supervisord]" not in text and file.suffix == ".conf" and file.parent.name != "conf.d":
            text += "\n[supervisord]\nnodaemon=true\n"
        target.write_text(text)
    return folder / (sample.name if sample.is_file() else "supervisord.conf")


def imported(name: str, file: Path, beside: Path, environ: Mapping[str, str] = ENVIRON) -> Case:
    found = read_files([str(file)], ENVIRON)
    drafts = draft(found.config, found.around)
    files = render(drafts, str(beside), [source.path for source in found.sources], found.config.servers)
    for part, text in files.items():
        (beside / part).parent.mkdir(exist_ok=True)
        (beside / part).write_text(text)
    return Case(name, file, found, drafts, load(str(beside / "queuepool.yml"), environ), files)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    made = []
    for sample in sorted([*SAMPLES.glob("*.conf"), SAMPLES / "include"]):
        folder = tmp_path_factory.mktemp(sample.stem.replace("-", "_"))
        made.append(imported(sample.stem, place(sample, folder), folder))
    return made


@pytest.fixture(scope="module", params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """The Python of one real Supervisor."""
    found = VERSIONS[request.param]()
    if found is None:
        pytest.skip(f"Supervisor {request.param} is not installed")
    return found


def test_there_are_at_least_forty_configurations(cases: list[Case]) -> None:
    assert len(cases) >= 40
    used = {option for case in cases for program in case.found.config.programs for option in program.section.options}
    from queuepool.formats.supervisor_options import PROCESS

    assert used >= PROCESS


def test_what_the_real_supervisor_sees_is_what_runs_or_is_remarked(cases: list[Case], python: str) -> None:
    answers = supervisor.understood(python, [case.file for case in cases], ENVIRON)
    faults = []
    for case, answer in zip(cases, answers, strict=True):
        assert "processes" in answer, (case.name, answer)
        found = list(unexplained(case, answer["processes"]))
        faults += [f"{case.name}: {label} {option}" for label, option, known in found if not known]
        differs = {(label, option) for label, option, _ in found}
        differs |= {(label, name) for label, option in differs for name in CALLED.get(option, ())}
        faults += [
            f"{case.name}: {remark} -- but nothing changed"
            for remark in case.remarks
            if remark.verdict is Verdict.CHANGED
            and remark.option in COMPARED
            and remark.subject in {f"[{one.section.name}]" for one in case.found.config.programs if one.numprocs}
            and (remark.subject, remark.option) not in differs
        ]
    assert faults == []


def test_what_is_imported_and_exported_is_the_same_to_the_real_supervisor(
    cases: list[Case], python: str, tmp_path: Path
) -> None:
    files = []
    for case in cases:
        exported = supervisor_export.render(case.loaded.pools, case.loaded.groups, {})
        assert exported.refused == (), case.name
        files.append(written(tmp_path / f"{case.name}.conf", exported.text))
    before = supervisor.understood(python, [case.file for case in cases], ENVIRON)
    after = supervisor.understood(python, files, {})
    faults = []
    for case, old, new in zip(cases, before, after, strict=True):
        assert "processes" in new, (case.name, new)
        faults += [f"{case.name}: {fault}" for fault in round_trip(case, old["processes"], new["processes"])]
    assert faults == []


def test_a_section_for_each_slot_runs_the_same_processes(cases: list[Case], python: str, tmp_path: Path) -> None:
    whole, single = [], []
    for case in cases:
        for files, per_slot in ((whole, False), (single, True)):
            exported = supervisor_export.render(case.loaded.pools, {}, {}, per_slot=per_slot)
            files.append(written(tmp_path / f"{case.name}.{per_slot}.conf", exported.text))
    answers = supervisor.understood(python, [*whole, *single], {})
    for case, one, each in zip(cases, answers[: len(whole)], answers[len(whole) :], strict=True):
        names = {"group", "name"}
        same = [[{k: v for k, v in p.items() if k not in names} for p in a["processes"]] for a in (one, each)]
        assert sorted(same[0], key=str) == sorted(same[1], key=str), case.name
        assert all(process["group"] == process["name"] for process in each["processes"]), case.name


REFUSED = sorted((SAMPLES / "refused").glob("*.conf"))


def test_what_supervisor_refuses_is_imported_with_a_remark(python: str, tmp_path: Path) -> None:
    files = [place(sample, tmp_path / sample.stem) for sample in REFUSED]
    for file, answer in zip(files, supervisor.understood(python, files, ENVIRON), strict=True):
        assert "refused" in answer, file
        case = imported(file.stem, file, file.parent, ENVIRON | {"QP_NOT_SET": "set now"})
        assert case.loaded.pools, file
        said = [str(remark) for remark in case.remarks if remark.verdict is Verdict.WRONG]
        assert any(REFUSES in text or "is not set" in text for text in said), said
        assert all(text.startswith(str(file)) for text in said)


def test_a_variable_that_supervisor_would_miss_is_said(tmp_path: Path) -> None:
    file = place(SAMPLES / "refused" / "unset-variable.conf", tmp_path)
    found = read_files([str(file)], ENVIRON)
    said = [remark.what for remark in draft(found.config, found.around).remarks]
    assert "needs the environment variable `QP_NOT_SET`, which is not set here" in said


def written(file: Path, sections: str) -> Path:
    """Exported sections as a whole configuration; Supervisor wants the directories of all logs to be there."""
    for path in re.findall(r"_logfile=(/.*)/", sections):
        os.makedirs(path.replace("%%%%", "%"), exist_ok=True)
    file.write_text(sections + "\n[supervisord]\nnodaemon=true\n")
    return file


def explained(case: Case, label: str) -> set[str]:
    """The options of a program that the report has something about, be it as a member of a group."""
    name = label.partition(":")[2].rstrip("]")
    groups = {f"[{g.section.name}]" for g in case.found.config.groups if name in g.programs}
    return {r.option for r in case.remarks if r.subject in {label, *groups, *(["[group:...]"] if groups else [])}}


def unexplained(case: Case, processes: list[dict[str, Any]]) -> Iterator[tuple[str, str, bool]]:
    """The differences between Supervisor's processes and those of the import: the section, the option, and whether
    the report has something about it."""
    labels = {program.program.name: program for program in case.drafts.programs}
    for one in case.found.config.programs:
        label = f"[{one.section.name}]"
        if one.name not in labels:
            assert "" in explained(case, label), label
            continue
        pool = case.loaded.pools[labels[one.name].name]
        groups = {g.name for g in case.found.config.groups if one.name in g.programs} or {one.name}
        theirs = [p for p in processes if p["group"] in groups and p["name"] in {*names_of(pool), one.name}]
        if len(theirs) < one.numprocs:
            theirs = [p for p in processes if p["group"] in groups and shlex_equal(p["command"], pool.process(0))]
        if not theirs and one.numprocs:
            yield label, "no process of Supervisor is like it", False
        for slot, process in enumerate(theirs[: one.numprocs]):
            for option in differences(process, pool, pool.process(slot)):
                yield label, option, bool({option, *CALLED.get(option, ())} & explained(case, label))
        if one.numprocs != pool.numprocs:
            yield label, "numprocs", False


def names_of(pool: PoolSpec) -> set[str]:
    return {pool.process(slot).display.rpartition(":")[2] for slot in range(pool.numprocs)}


def shlex_equal(text: str, spec: ProcessSpec) -> bool:
    try:
        return tuple(shlex.split(text)) == spec.launch.argv
    except ValueError:
        return False


COMPARED = frozenset(
    ["directory", "user", "autostart", "autorestart", "startsecs", "startretries", "stopsignal", "stopwaitsecs",
     "stopasgroup", "killasgroup", "umask", "redirect_stderr", "stdout_logfile", "process_name", "name", "exitcodes"]
)  # fmt: skip
"""Options whose change can be seen in a process."""


def differences(theirs: dict[str, Any], pool: PoolSpec, spec: ProcessSpec) -> Iterator[str]:
    """The options in which a process of Supervisor differs from ours."""
    launch, policy = spec.launch, spec.policy
    group, _, name = spec.display.rpartition(":")
    if theirs["name"] != name:
        yield "process_name"
    if theirs["group"] != (group or name):
        yield "group"
    if not same_command(theirs, launch.argv, launch.directory):
        yield "command"
    expected = {
        "directory": theirs["directory"].rstrip("/") == launch.directory.rstrip("/"),
        "user": theirs["uid"] == ("none" if launch.user is None else uid(launch.user)),
        "process_prio": theirs["process_prio"] == (999 if pool.listening and pool.priority == -1 else pool.priority),
        "autostart": theirs["autostart"] == pool.autostart,
        "autorestart": theirs["autorestart"] == policy.autorestart.value,
        "exitcodes": set(theirs["exitcodes"]) == policy.exitcodes,
        "startsecs": theirs["startsecs"] == policy.startsecs,
        "startretries": theirs["startretries"] == policy.startretries,
        "stopsignal": theirs["stopsignal"] == policy.stopsignal,
        "stopwaitsecs": theirs["stopwaitsecs"] == policy.stop_seconds,
        "stopasgroup": theirs["stopasgroup"] == policy.stopasgroup,
        "killasgroup": theirs["killasgroup"] == policy.killasgroup,
        "umask": theirs["umask"] == launch.umask,
        "environment": theirs["environment"] == dict(launch.environment),
        "redirect_stderr": theirs["redirect_stderr"] == launch.redirect_stderr,
        "stdout_syslog": not theirs["stdout_syslog"],
        "stderr_syslog": not theirs["stderr_syslog"],
        "serverurl": theirs["serverurl"] == "none",
        "stdout_capture_maxbytes": theirs["stdout_capture_maxbytes"] == spec.taps[0].capture,
        "stderr_capture_maxbytes": theirs["stderr_capture_maxbytes"] == spec.taps[1].capture,
        "stdout_events_enabled": theirs["stdout_events_enabled"] == spec.taps[0].events,
        "stderr_events_enabled": theirs["stderr_events_enabled"] == spec.taps[1].events,
        "events": set(theirs["events"]) == set(pool.listening.events if pool.listening else ()),
        "buffer_size": theirs["buffer_size"] == (pool.listening.buffer_size if pool.listening else None),
    }
    yield from (option for option, same in expected.items() if not same)
    yield from log_differences(theirs, "stdout", spec.stdout)
    if not theirs["redirect_stderr"]:
        yield from log_differences(theirs, "stderr", spec.stderr or spec.stdout)


def log_differences(theirs: dict[str, Any], stream: str, ours: LogPolicy) -> Iterator[str]:
    key = f"{stream}_logfile"
    if theirs[key] == "none" and ours.path is None:
        return
    if theirs[key] != ours.path:
        yield key if not theirs[f"{stream}_syslog"] or theirs[key] != "none" else f"{stream}_syslog"
    elif not ours.path.startswith("/dev/"):
        if theirs[f"{key}_maxbytes"] != ours.maxbytes:
            yield f"{key}_maxbytes"
        if theirs[f"{key}_backups"] != ours.backups:
            yield f"{key}_backups"


def same_command(theirs: dict[str, Any], argv: tuple[str, ...], directory: str) -> bool:
    """Equal words; or the same artisan, with the same options, but for `-v`, which queuepool adds."""
    try:
        words = tuple(shlex.split(theirs["command"]))
    except ValueError:
        return False
    if words == argv:
        return True
    old, new = command.parse(words), command.parse(argv)
    if old is None or new is None:
        return False
    quiet = {key: value for key, value in new.options.items() if key != "verbose" or "verbose" in old.options}
    there = theirs["directory"] if theirs["directory"] != "none" else ""
    return (
        (old.kind, dict(old.options), old.extra) == (new.kind, quiet, new.extra)
        and (old.php or ("php",)) == new.php
        and os.path.normpath(os.path.join(there, old.artisan)) == os.path.join(directory, new.artisan)
    )


def uid(user: str) -> int:
    return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid


ROUND = (
    "autostart", "command", "directory", "exitcodes", "group", "group_prio", "killasgroup", "process_prio",
    "redirect_stderr", "serverurl", "startretries", "startsecs", "stderr_capture_maxbytes", "stderr_events_enabled",
    "stderr_logfile", "stderr_logfile_backups", "stderr_logfile_maxbytes", "stderr_syslog", "stdout_capture_maxbytes",
    "stdout_events_enabled", "stdout_logfile", "stdout_logfile_backups", "stdout_logfile_maxbytes", "stdout_syslog",
    "stopasgroup", "stopsignal", "stopwaitsecs", "uid", "umask", "environment", "autorestart", "events", "buffer_size",
)  # fmt: skip
CALLED = {
    "uid": {"user"}, "process_prio": {"priority"}, "group_prio": {"priority"}, "group": {"name"},
    "process_name": {"name"}, "stdout_syslog": {"stdout_logfile"}, "stderr_syslog": {"stderr_logfile"},
}  # fmt: skip
"""Fields of getAllConfigInfo whose option has another name."""


def round_trip(case: Case, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """The fields of getAllConfigInfo that came back otherwise, without a word in the report."""
    carried = {one.program.name: one for one in case.drafts.programs}
    for old in before:
        group = next((g for g in case.found.config.groups if g.name == old["group"]), None)
        ours = [carried[name] for name in (group.programs if group else [old["group"]]) if name in carried]
        near = [n for n in after if any(n["group"] == d.name or n["name"] in names_of(case.loaded.pools[d.name])
                                        for d in ours)]  # fmt: skip
        same = [n for n in near if same_command(old, tuple(shlex.split(n["command"])), n["directory"])]
        new = next((n for n in near if n["name"] == old["name"]), (same or near or [None])[0])
        if new is None:
            if ours:
                yield f"{old['group']}:{old['name']} did not come back"
            continue
        said = set().union(*(explained(case, f"[{one.program.section.name}]") for one in ours))
        for key in ROUND:
            if key == "command":
                if not same_command(old, tuple(shlex.split(new[key])), new["directory"]) and key not in said:
                    yield f"{old['name']} command: {old[key]!r} {new[key]!r}"
            elif old[key] != new[key] and not {key, *CALLED.get(key, ())} & said and not of_no_weight(key, old, new):
                yield f"{old['name']} {key}: {old[key]!r} {new[key]!r}"


def of_no_weight(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether it is a trailing slash, or the rotation of a log that is not written."""
    if key == "directory":
        return str(old[key]).rstrip("/") == str(new[key]).rstrip("/")
    stream, _, rest = key.partition("_logfile")
    if not rest:
        return False
    return old.get(f"{stream}_logfile") in ("none", "auto") or str(old.get(f"{stream}_logfile")).startswith("/dev/")
