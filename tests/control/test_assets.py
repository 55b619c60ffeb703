"""The files of the page: small, complete in both languages, and nothing in them that its policy would refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from starlette.requests import Request

from queuepool.control.dashboard_assets import TYPES, answer, load
from queuepool.domain.exits import meaning
from queuepool.domain.rollout import PHASES, Look, Phase, Rollout, Turn, waits_for, why_held

ASSETS = Path(load.__wrapped__.__code__.co_filename).parent / "assets"
PACKAGE = ASSETS.parents[1]
OWN = sorted(path for path in ASSETS.iterdir() if path.suffix in (".js", ".html", ".css") and "uPlot" not in path.name)
SCRIPTS = [path for path in OWN if path.suffix == ".js"]
ENGLISH, CHINESE = (json.loads((ASSETS / name).read_text()) for name in ("en.json", "zh-CN.json"))


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


def test_everything_together_is_below_200_kb() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 200_000


def test_both_languages_have_the_same_words_with_the_same_blanks() -> None:
    assert list(ENGLISH) == list(CHINESE) == sorted(ENGLISH)
    for key, words in ENGLISH.items():
        forms = [
            form for each in (words, CHINESE[key]) for form in (each.values() if isinstance(each, dict) else [each])
        ]
        blanks = {frozenset(re.findall(r"\{(\w+)\}", form)) for form in forms}
        assert len(blanks) == 1, (key, blanks)


def test_what_the_daemon_says_of_processes_and_deploys_is_known_in_chinese_as_it_says_it() -> None:
    """A sentence that is written anew in the code has to be written anew in said-zh-CN.json."""
    known: dict[str, str] = json.loads((ASSETS / "said-zh-CN.json").read_text())
    blank = re.compile(r"\{(\w+)\}")
    code = "\n".join(
        path.read_text()
        for part in ("domain", "controller", "control", "engines", "laravel")
        for path in (PACKAGE / part).glob("*.py")
    )
    for sentence, into in known.items():
        assert sorted(blank.findall(sentence)) == sorted(blank.findall(into)), sentence
        for part in blank.sub("{}", sentence).split("{}"):
            assert part.strip(" :;()") in code, sentence
    patterns = [re.compile(re.escape(blank.sub("BLANK", sentence)).replace("BLANK", ".+")) for sentence in known]
    said = {*(meaning(code) for code in (1, 12, 126, 127, 255, -1, -9, -11, -15, None)), meaning(-9, oom=True)}
    said |= {*PHASES.values(), why_held(Turn((0,), (), 1, was="/r/7")), waits_for(Rollout({}, Phase.REST), Look({}))}
    assert [sentence for sentence in said if not any(pattern.fullmatch(sentence) for pattern in patterns)] == []


def test_every_word_that_is_used_exists_and_every_one_that_exists_is_used() -> None:
    texts = {path.name: path.read_text() for path in OWN}
    everything = "\n".join(texts.values())
    used = set(re.findall(r"""\bt\("([\w.]+)\"""", everything)) | set(
        re.findall(r'data-t(?:-label)?="([\w.]+)"', everything)
    )
    assert sorted(used - set(ENGLISH)) == []
    stems = {stem.replace("${", "").rstrip(".") for stem in re.findall(r"\bt\(`([\w.]+\.)\$\{", everything)}
    unused = [
        key
        for key in ENGLISH
        if key not in used and f'"{key}"' not in everything and not any(key.startswith(f"{stem}.") for stem in stems)
    ]
    assert unused == []


def test_every_file_is_in_the_wheel() -> None:
    root = Path(__file__).parents[2]
    shipped = {file.relative_path for file in WheelBuilder(str(root)).recurse_included_files()}
    missing = [path.name for path in ASSETS.iterdir() if str(path.relative_to(root)) not in shipped]
    assert missing == []
    assert "queuepool/control/dashboard.py" in shipped


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_becomes_html_and_nothing_is_inline(path: Path) -> None:
    text = path.read_text()
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in text, forbidden
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=\"", text), "inline"
    assert not re.search(r"""(?:src|href|url)\(?=?["'(]/|https?://(?!html\.spec)(?!www\.w3\.org)""", text), (
        "not relative"
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_module_that_is_imported_is_there_and_gives_what_is_taken(path: Path) -> None:
    for names, module in re.findall(r"import \{([^}]*)\} from \"\./([^\"]+)\"", path.read_text()):
        given = (ASSETS / module).read_text()
        for name in (each.strip() for each in names.split(",") if each.strip()):
            assert re.search(rf"export (?:async )?(?:function|class|const|let) {name}\b", given), (name, module)
            uses = len(re.findall(rf"\b{name}\b", path.read_text()))
            assert uses > 1, f"{name} is imported and not used"


def test_every_file_that_a_page_names_can_be_had() -> None:
    for page in ("index.html", "login.html"):
        for name in re.findall(r'(?:src|href)="assets/([^"]+)"', (ASSETS / page).read_text()):
            got = answer(request(), name)
            assert (got.status_code, got.media_type) == (200, TYPES[name.rpartition(".")[2]])


def test_a_browser_that_has_a_file_is_told_that_it_is_still_the_same() -> None:
    first = answer(request(), "app.js")
    again = answer(request(if_none_match=first.headers["etag"]), "app.js")
    assert (again.status_code, again.body) == (304, b"")
    small = answer(request(accept_encoding="gzip, br"), "app.js")
    assert small.headers["content-encoding"] == "gzip"
    assert len(small.body) < len(first.body) / 2


@pytest.mark.parametrize(
    "name",
    ["../dashboard.py", "README.md", "index.html", "login.html", "uPlot.LICENSE", "no.js", "", ".", "a.js/", "%2e"],
)
def test_nothing_else_can_be_had(name: str) -> None:
    assert answer(request(), name).status_code == 404
