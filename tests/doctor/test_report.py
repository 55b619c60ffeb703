"""Which findings are told, in which order, and how the report reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.cli import doctor_report
from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.base import Check, Checks
from queuepool.doctor.examine import LOOKS, needed
from queuepool.doctor.facts import Facts, Unseen
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.finding import (
    Finding,
    GiveTo,
    MakeDirectory,
    Note,
    RemoveStale,
    RunCommand,
    SetMode,
    Severity,
    as_command,
)
from queuepool.doctor.junit import to_xml
from queuepool.doctor.report import Report, UnknownCheck, choose, named, report
from queuepool.domain.pool import Launch

PROGRAMS = tuple(ProgramFacts(name, "worker", 1, ("php",), "/srv/app") for name in ("mail", "import"))
FACTS = Facts(now=0.0, uid=0, file=FileFacts("/srv/queuepool.yml"), programs=PROGRAMS)


def check(id_: str, *notes: Note, severity: Severity = Severity.ERROR, **more: object) -> Check:
    return Check(id_, severity, f"{id_} is well", f"About {id_}.", lambda facts: notes, **more)  # type: ignore[arg-type]


def note(what: str = "is broken", subject: str = "application /srv/app", **more: object) -> Note:
    return Note(subject, what, ("seen: nothing",), "mend it", **more)  # type: ignore[arg-type]


def shown(found: Report, width: int = 80) -> list[str]:
    return [click.unstyle(line) for line in doctor_report.lines(found, width)]


def test_the_worst_comes_first_and_each_subject_is_named_once() -> None:
    found = report(FACTS, [
        check("a.slow", note("is slow", "redis"), severity=Severity.WARNING),
        check("b.tip", note("may be tuned", "redis"), severity=Severity.INFO),
        check("c.down", note("is down", "program mail", programs=("mail",))),
    ])  # fmt: skip
    lines = shown(found)
    assert [line for line in lines if line in ("redis", "program mail")] == ["program mail", "redis"]
    assert lines.index("  error: is down") < lines.index("  warning: is slow") < lines.index("  info: may be tuned")
    assert lines[-1] == "1 error, 1 warning, 1 thing worth knowing: mail suffers"


@pytest.mark.parametrize(
    ("ids", "programs", "sentence"),
    [
        (["application.boots"], ("mail",), "1 error: mail cannot run"),
        (["application.boots", "php.found"], (), "2 errors: mail and import cannot run"),
        (["redis.full"], ("import", "mail"), "1 error: mail and import suffer"),
        (["redis.full", "application.boots"], ("mail",), "2 errors: mail cannot run"),
    ],
)
def test_the_verdict_names_who_suffers(ids: list[str], programs: tuple[str, ...], sentence: str) -> None:
    assert report(FACTS, [check(id_, note(id_, programs=programs)) for id_ in ids]).sentence() == sentence


def test_who_runs_is_not_said_to_be_unable_to() -> None:
    found = report(FACTS, [check("file.valid", note())])
    assert replace(found, running=frozenset({"mail"})).sentence() == "1 error: import cannot run"
    assert replace(found, running=frozenset({"mail", "import"})).sentence() == "1 error: mail and import suffer"


def test_a_healthy_report_is_one_line_with_the_number_of_checks() -> None:
    assert shown(report(FACTS, [check("a.b"), check("a.c")])) == ["healthy: 2 checks found nothing wrong"]


def test_infos_alone_are_no_bad_verdict() -> None:
    found = report(FACTS, [check("a.b", note(), severity=Severity.INFO)])
    assert found.verdict is Severity.OK
    assert shown(found)[-1] == "healthy: 1 check found nothing wrong, and 1 thing worth knowing"


def test_what_another_finding_explains_of_the_same_program_is_not_said() -> None:
    cause = check("php.found", note("is not there", programs=("mail",)))
    follows = check("app.boots", note("does not boot", programs=("mail",)), note("too", programs=("import",)),
                    unless=("php.*",))  # fmt: skip
    assert [finding.what for finding in report(FACTS, [follows, cause]).findings] == ["too", "is not there"]


def test_the_same_about_several_programs_is_said_once() -> None:
    found = report(FACTS, [check("a.b", note(programs=("mail",)), note(programs=("import",)))])
    assert [finding.programs for finding in found.findings] == [("mail", "import")]


def test_a_check_that_fails_is_a_finding_and_hides_nothing_else() -> None:
    def fails(facts: Facts) -> Iterator[Note]:
        yield note("found before")
        raise ValueError("the password is hunter2")

    found = report(FACTS, [replace(check("a.b"), find=fails), check("c.d", note("found after"))])
    assert {finding.what for finding in found.findings} >= {"found before", "found after"}
    [defect] = [finding for finding in found.findings if finding.id == "doctor.defect"]
    assert defect.severity is Severity.WARNING
    assert re.fullmatch(r"ValueError at test_report.py:\d+", defect.evidence[0])
    assert "--skip a.b" in defect.remedy
    assert "hunter2" not in str(defect)


def test_what_could_not_be_seen_is_a_warning() -> None:
    facts = replace(FACTS, unseen=(Unseen("queues and Redis", "it took longer than 25 s"),))
    [finding] = report(facts, CHECKS).findings
    assert (finding.id, finding.severity) == ("doctor.unseen", Severity.WARNING)
    assert finding.evidence == ("it took longer than 25 s",)
    assert finding.remedy


# --- how it looks -----------------------------------------------------------------------------------------------------

text = st.text(max_size=300)


@given(subject=text, what=text, evidence=st.lists(text, max_size=4), remedy=text, width=st.integers(1, 300))
def test_no_line_is_wider_than_the_screen_but_for_words_and_commands(
    subject: str, what: str, evidence: list[str], remedy: str, width: int
) -> None:
    one = Finding("a.b", Severity.ERROR, subject, what, tuple(evidence), remedy)
    for line in shown(Report((one,), (), ("mail",)), width):
        longest = max((len(word) for word in line.split()), default=0)
        assert len(line) <= min(max(width, 40), 80) or longest > 20 or line.startswith("    -> "), line
        assert line.isprintable() or "\t" in line or "\u00a0" in line


def test_a_command_to_copy_is_never_broken_and_prose_is() -> None:
    path = "/srv/" + "/".join(["directory"] * 12)
    command = f"chown -R www-data: {path} {path}"
    prose = "give the program a `retry_after` above its time-out, in config/queue.php, and then run config:cache again"
    for remedy, lines in ((command, 1), (prose, 2)):
        found = Report((Finding("a.b", Severity.ERROR, "it", "is so", (), remedy),))
        after = shown(found)[2:]
        assert after[0].startswith("    -> ")
        assert after.index("    (a.b)") == lines
        assert "".join(after[:lines]).replace(" ", "") == ("->" + remedy).replace(" ", "")


@pytest.mark.parametrize(
    "remedy",
    ["chmod 640 /srv/.env", "cd /srv/app && php artisan up", "queuepool restart --stale", "/usr/bin/php8.3 artisan up",
     "sudo queuepool startup", "systemctl start redis", "php artisan config:clear", "kill 1234"],
)  # fmt: skip
def test_commands_are_known(remedy: str) -> None:
    assert doctor_report.is_command(remedy)


@pytest.mark.parametrize(
    "remedy",
    ["install the redis extension of PHP", "set `queue:` at queuepool.yml:4", "mend it", "", "queuepool.yml:4: set it",
     "/srv/app is not there: look for it"],
)  # fmt: skip
def test_prose_is_no_command(remedy: str) -> None:
    assert not doctor_report.is_command(remedy)


def test_a_path_in_a_sentence_is_never_broken() -> None:
    path = "/srv/some-app-with-hyphens/releases/2026-11-29-04-15-00/storage/logs/laravel.log"
    found = Report((Finding("a.b", Severity.ERROR, "it", f"www-data cannot write to its log {path}", (), "mend it"),))
    assert f"    {path}" in shown(found)


def test_control_characters_do_not_reach_the_screen() -> None:
    found = Report((Finding("a.b", Severity.ERROR, "it", "clears\x1b[2J the screen", ("\x07",), "rm \x1b[0m"),))
    assert all("\x1b" not in line and "\x07" not in line for line in shown(found))


# --- choosing ---------------------------------------------------------------------------------------------------------


def ids(*only: str, skip: tuple[str, ...] = ()) -> list[str]:
    checks = [check(name) for name in ("php.found", "php.pcntl", "redis.full", "doctor.unseen")]
    return [chosen.id for chosen in choose(only, skip, checks)]


def test_checks_are_chosen_by_id_group_and_glob_and_the_doctors_own_stay() -> None:
    assert ids("php") == ["php.found", "php.pcntl", "doctor.unseen"]
    assert ids("*.f*") == ["php.found", "redis.full", "doctor.unseen"]
    assert ids("php.pcntl", "redis", skip=("redis.full", "doctor")) == ["php.pcntl"]
    assert ids(skip=("php.*",)) == ["redis.full", "doctor.unseen"]


@pytest.mark.parametrize(("typed", "near"), [("php.foundd", "php.found"), ("pcntl", "php.pcntl"), ("redsi", "redis")])
def test_a_check_that_does_not_exist_is_answered_with_the_nearest(typed: str, near: str) -> None:
    with pytest.raises(UnknownCheck) as caught:
        ids(typed)
    assert caught.value.near == near


def test_every_check_has_an_id_of_its_own_a_title_and_an_explanation() -> None:
    assert len({one.id for one in CHECKS}) == len(CHECKS)
    for one in CHECKS:
        assert re.fullmatch(r"[a-z]+\.[a-z_0-9]+", one.id)
        assert named(one.id) is one
        assert one.title
        assert not one.title.endswith(".")
        assert len(one.explanation) > 60, one.id
        assert set(one.needs or ()) <= set(LOOKS), one.id


def test_only_the_looks_that_the_chosen_checks_need_are_done() -> None:
    assert needed(choose(["file"], ())) == ()
    assert needed([check("a.b", needs=("host",)), check("a.c", needs=())]) == ("host",)
    assert needed([check("a.b")]) == tuple(LOOKS)


def test_a_module_of_checks_may_say_what_all_of_them_need() -> None:
    checks = Checks("a", needs=("host",))

    @checks.add("b", Severity.INFO, "It is so")
    def b(facts: Facts) -> Iterator[Note]:
        """Why."""
        yield from ()

    @checks.add("c", Severity.INFO, "It is so", needs=())
    def c(facts: Facts) -> Iterator[Note]:
        """Why."""
        yield from ()

    assert [one.needs for one in checks] == [("host",), ()]


# --- for programs -----------------------------------------------------------------------------------------------------

FIXES = {
    MakeDirectory("/srv/a b", "www-data", "web", 0o750): "install -d -m 750 -o www-data -g web '/srv/a b'",
    GiveTo(("/srv/a", "/srv/b"), "www-data", recursive=True): "chown -R www-data: /srv/a /srv/b",
    GiveTo(("/srv/a",), "www-data", "web", add_mode=0o600): "chown www-data:web /srv/a && chmod u+rw /srv/a",
    SetMode("/srv/.env", 0o640): "chmod 640 /srv/.env",
    RemoveStale("/run/x.sock"): "rm /run/x.sock",
    RunCommand(Launch(("php",), "/"), "php artisan config:clear"): "php artisan config:clear",
}


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: type(fix).__name__)
def test_a_fix_is_shown_as_the_command_that_does_the_same(fix: object) -> None:
    assert as_command(fix) == FIXES[fix]  # type: ignore[arg-type, index]


def test_the_json_has_everything_and_the_fix_as_a_command() -> None:
    found = report(FACTS, [check("a.b", note(fix=SetMode("/x", 0o640), programs=("mail",))), check("c.d")])
    assert json.loads(json.dumps(found.to_json())) == {
        "verdict": "error",
        "findings": [
            {
                "id": "a.b", "severity": "error", "subject": "application /srv/app", "what": "is broken",
                "evidence": ["seen: nothing"], "remedy": "mend it", "doc": "docs/doctor.md#a.b", "programs": ["mail"],
                "fix": "chmod 640 /x",
            }
        ],
        "passed": ["c.d"],
    }  # fmt: skip


def test_junit_has_a_case_per_check_and_counts_what_failed() -> None:
    def fails(facts: Facts) -> Iterator[Note]:
        raise ValueError

    checks = [
        check("a.bad", note("is bad"), note("is bad too", "it")),
        check("a.well"),
        check("b.slow", note("is <slow> & \x00 \x1b \ud800"), severity=Severity.WARNING),
        check("b.tip", note("may be tuned"), severity=Severity.INFO),
        replace(check("b.defect"), find=fails),
    ]
    root = ElementTree.fromstring(to_xml(report(FACTS, checks), checks, 1.5))
    must_be_junit(root)
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("time")) == ("5", "2", "1", "1.500")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["a.bad", "a.well", "b.slow", "b.tip", "b.defect"]
    bad = cases["a.bad"].find("failure")
    assert bad is not None
    assert bad.get("message") == "application /srv/app: is bad, and 1 more"
    assert "error: it: is bad too\n    seen: nothing\n    -> mend it" in str(bad.text)
    assert len(cases["a.well"]) == 0
    slow = cases["b.slow"].find("failure")
    assert slow is not None
    assert slow.get("type") == "warning"
    assert [child.tag for child in cases["b.tip"]] == ["system-out"]
    assert [child.tag for child in cases["b.defect"]] == ["error"]


@given(what=text, evidence=text, seconds=st.floats(allow_nan=False))
def test_junit_is_well_formed_whatever_is_found(what: str, evidence: str, seconds: float) -> None:
    checks = [check("a.b", Note(what, what, (evidence,), evidence))]
    must_be_junit(ElementTree.fromstring(to_xml(report(FACTS, checks), checks, seconds)))


SCHEMA = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}, {"name"}),
    "testsuite": (
        {"testcase"}, {"name", "tests", "failures", "errors", "skipped", "time"},
        {"name", "tests", "failures", "errors"},
    ),
    "testcase": ({"failure", "error", "system-out"}, {"name", "classname", "time"}, {"name", "classname"}),
    "failure": (set(), {"type", "message"}, {"type"}),
    "error": (set(), {"type", "message"}, {"type"}),
    "system-out": (set(), set(), set()),
}  # fmt: skip
"""Element -> its children, its attributes, and those of them that must be there: what Jenkins' junit-10.xsd and the
Ant task's own schema have in common, as far as it is used."""


def must_be_junit(root: ElementTree.Element) -> None:
    assert root.tag == "testsuites"
    for element in root.iter():
        children, attributes, required = SCHEMA[element.tag]
        assert {child.tag for child in element} <= children
        assert required <= set(element.attrib) <= attributes
        for name in {"tests", "failures", "errors", "skipped"} & set(element.attrib):
            assert element.attrib[name].isdecimal()
        if "time" in element.attrib:
            assert float(element.attrib["time"]) >= 0
    for suite in (root, *root.iter("testsuite")):
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert suite.attrib[name] == str(sum(1 for _ in suite.iter(tag)))
    for case in root.iter("testcase"):
        assert len(case) <= 1
