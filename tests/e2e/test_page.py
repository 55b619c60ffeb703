"""The page in a real browser, before a real daemon that runs real Laravel workers."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, expect

from queuepool.control.feed import State, difference
from tests.support.browser import LIMIT, SCREENSHOTS, Tab, chromium
from tests.support.daemon import Queuepool
from tests.support.horizon import stand_in
from tests.support.laravel import LaravelApp
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.releases import LaravelSite
from tests.support.wait import eventually

pytestmark = pytest.mark.browser
expect.set_options(timeout=LIMIT)


class Site(LaravelSite):
    """Releases of the example application, a daemon with a page, and its URL."""

    def __init__(self, root: Path, server: RedisServer) -> None:
        super().__init__(root, server)
        self.app.hold().unlink()  # until a test wants that jobs go on
        self.make("2")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.qp = Queuepool(
            root,
            f"""
app: current
programs:
  laravel-worker: {{connection: redis, queue: [high, default], numprocs: 4, tries: 3, sleep: 0.2, startsecs: 0.3}}
  mail: {{connection: redis, queue: mail, sleep: 0.2, startsecs: 0.3}}
  broken: {{type: command, command: "sh -c 'echo no such table; exit 3'", startretries: 0}}
  crowd: {{type: command, command: sleep 1000, numprocs: 20, startsecs: 0}}
deploy: {{observe: 0.1s}}
http:
  listen: 127.0.0.1:{port}
  users: {{admin: {{password: secret, role: operator}}, eve: {{password: secret, role: viewer}}}}
""",
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with TemporaryDirectory(prefix="shop-") as root, RedisServer() as server:
        made = Site(Path(root) / "shop", server)
        with made.qp as qp:
            qp.up()
            qp.running("laravel-worker", 4)
            eventually(lambda: "listening" in qp.journal(), what="it listens", show=qp.story)
            yield made


@pytest.fixture(scope="module")
def app(site: Site) -> LaravelApp:
    return site.app


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Tab]:
    """Logged in as an operator; the browser has nothing to complain of in the end."""
    with Tab(browser, site.url) as opened:
        opened.log_in()
        yield opened
        assert opened.complaints == []


def test_the_form_leads_where_one_wanted_to_go_and_says_what_is_wrong(browser: Browser, site: Site) -> None:
    with Tab(browser, site.url) as tab:
        page = tab.page
        page.goto(f"{site.url}#/queues")
        expect(page.locator("form.login")).to_be_visible()
        tab.picture("login")
        assert tab.flaws() == []
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", "wrong")
        page.click("button")
        expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        assert [said for said in tab.complaints if "401" not in said] == []
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", "secret")
        page.click("button")
        expect(page.get_by_role("heading", name="redis:mail")).to_be_visible()
        assert page.url == f"{site.url}#/queues"
        page.click("text=Log out")
        expect(page.locator("form.login")).to_be_visible()
        page.goto(site.url)
        expect(page.locator("form.login")).to_be_visible()


def test_jobs_are_seen_while_they_are_done(tab: Tab, app: LaravelApp) -> None:
    page = tab.page
    pool = page.get_by_role("article", name="laravel-worker")
    held = app.hold()
    app.dispatch("Ledger", 150, ms=150)
    expect(pool.get_by_text(re.compile("^Ledger$")).first).to_be_visible()
    expect(page.locator(".figures div", has_text="Workers busy").locator(".value")).to_have_text(re.compile("[1-4]"))
    held.unlink()
    expect(pool.get_by_text(re.compile("[1-9][0-9]* jobs done"))).to_be_visible()
    expect(page.locator(".figures div", has_text="Jobs ready").locator(".more")).to_have_text(re.compile("^wait [0-9]"))
    tab.go("queues")
    queue = page.get_by_role("article", name="redis:default")
    expect(queue.locator("canvas")).to_have_count(2)
    expect(queue.locator(".big .value")).to_have_text("0")  # when all is done
    queue.get_by_role("img").first.hover()
    expect(queue.locator(".legend .at").first).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    page.get_by_text("Workers", exact=True).first.click()
    expect(queue.get_by_role("img", name=re.compile("Workers 4, Busy"))).to_be_visible()


def test_what_does_not_run_is_said_with_the_reason_and_its_last_words(tab: Tab) -> None:
    page = tab.page
    expect(page.get_by_role("region", name="Not as it should be")).to_contain_text("broken")
    page.get_by_role("button", name="broken: 1 of 1 cannot run").click()
    expect(page.get_by_role("article", name="broken")).to_be_focused()
    expect(page.get_by_role("article", name="broken")).to_be_in_viewport()
    page.get_by_role("button", name="broken", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Last exit code")
    expect(dialog.locator("pre")).to_have_text("no such table")
    expect(dialog.get_by_role("button", name="Pause")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="broken", exact=True)).to_be_focused()


def test_a_pool_is_scaled_and_restarted_from_the_page(tab: Tab, site: Site) -> None:
    page, qp = tab.page, site.qp
    pool = page.get_by_role("article", name="mail")
    pool.get_by_role("button", name="Scale").click()
    page.get_by_role("spinbutton").fill("3")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("mail: 1 -> 3")  # first: it does not stay
    expect(pool.locator("tbody tr")).to_have_count(3)
    expect(pool).to_contain_text("3 of 3 running")
    expect(pool).to_contain_text("the file says 1")
    before = qp.running("mail", 3)
    [asked] = [e for e in qp.events() if e["fields"].get("asked") == "scale 3"]
    assert asked["fields"]["who"] == "admin"
    pool.get_by_role("button", name="Restart").click()
    dialog = page.get_by_role("dialog", name="Restart mail?")
    dialog.get_by_role("button", name="Cancel").click()
    assert qp.running("mail", 3) == before
    pool.get_by_role("button", name="Restart").click()
    dialog.get_by_role("button", name="Restart").click()
    expect(page.locator(".toast").last).to_contain_text("3 restarted")
    assert not set(before.values()) & set(qp.running("mail", 3).values())
    pool.get_by_role("button", name="Scale").click()
    page.get_by_text("As many as the file says: 1").click()
    qp.running("mail", 1)
    expect(pool.locator("tbody tr")).to_have_count(1)


def test_what_the_daemon_refuses_is_said_with_what_to_do(tab: Tab) -> None:
    page = tab.page
    page.evaluate(
        "import('./assets/actions.js').then(it => it.ask('scale', {name: 'maill', count: 2}).catch(it.refuse))"
    )
    said = page.get_by_role("alert").locator(".toast")
    expect(said).to_contain_text("cannot scale maill: there is no such program")
    expect(said).to_contain_text("did you mean mail?")
    said.get_by_role("button", name="Close").click()
    expect(said).to_have_count(0)
    tab.complaints.clear()  # the browser says that the answer was not 200


def test_a_log_is_followed_and_holds_the_lines_of_that_process_alone(tab: Tab, site: Site, app: LaravelApp) -> None:
    page = tab.page
    page.get_by_role("button", name="laravel-worker:laravel-worker_02").click()
    page.get_by_role("dialog").get_by_role("link", name="Log").click()
    expect(page.get_by_label("Process")).to_have_value("laravel-worker:2")
    lines = page.get_by_role("log")
    expect(page.get_by_text("laravel-worker.log")).to_be_visible()
    app.dispatch("Sleeping", 40, ms=100)  # long enough for each worker to get some
    own = page.locator(".log .rule ~ div, .log:not(:has(.rule)) > div")
    expect(own.filter(has_text="Processed").first).to_be_visible()
    eventually(lambda: not any(p["job"] for p in site.qp.processes("laravel-worker")), what="all is done")
    expect(lines).to_contain_text("Sleeping")
    told = [line for line in own.all_inner_texts() if "Processed" in line]
    whole = Path(site.qp.processes("laravel-worker")[0]["log"]).read_text()
    assert 0 < len(told) < whole.count("Processed")
    page.get_by_label("Filter lines").fill("nothing like this")
    expect(lines.locator("div:visible")).to_have_count(0)
    page.get_by_label("Filter lines").fill("")
    tab.picture("log")


def test_the_doctor_is_asked_and_the_events_are_searched(tab: Tab) -> None:
    page = tab.page
    tab.go("doctor")
    page.get_by_role("button", name="Ask the doctor").click()
    expect(page.locator(".finding", has_text="processes.failing")).to_be_visible()
    tab.go("events")
    page.get_by_label("Search events").fill("broken FATAL")
    expect(page.locator(".events li").first).to_contain_text("no such table")
    page.get_by_label("Search events").fill("")
    expect(page.locator(".events li.tone-ok").first).to_be_visible()
    page.get_by_label("Only what is wrong").check()
    expect(page.locator(".events li.tone-ok")).to_have_count(0)
    expect(page.locator(".events li.tone-bad").filter(has_text="broken:0 is FATAL").first).to_be_visible()


def test_a_guest_sees_everything_may_do_nothing_and_is_back_by_himself(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    text = f"""
programs: {{w: {{type: command, command: sleep 1000, startsecs: 0}}}}
http: {{listen: 127.0.0.1:{port}, root_path: /queues/pool}}
"""
    with Queuepool(tmp_path, text) as qp, Tab(browser, f"http://127.0.0.1:{port}/queues/pool") as tab:
        qp.up()
        page = tab.page
        eventually(lambda: "listening" in qp.journal(), what="it listens")
        page.goto(tab.url)
        assert page.url == f"{tab.url}/"  # its own paths are relative to that
        tab.live()
        pid = qp.running("w", 1)["w:0"]
        expect(page.locator("#visitor")).to_have_text("guest")
        expect(page.get_by_role("article", name="w")).to_contain_text("1 of 1 running")
        assert page.locator("main button", has_text=re.compile("Scale|Restart|Stop")).count() == 0
        expect(page.locator("nav").get_by_text("Doctor")).to_be_hidden()
        assert tab.complaints == []
        qp.kill()
        expect(page.locator("#banner")).to_be_visible()
        qp.up()
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.get_by_text("adopted")).to_be_visible()
        assert qp.running("w", 1)["w:0"] == pid


def test_horizon_is_shown_with_its_supervisors_and_what_is_wrong_with_it(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    with RedisServer() as server:
        app = stand_in(tmp_path / "app", server.port)
        text = f"app: {app}\nphp: [sh]\nprograms: {{horizon: {{type: horizon}}}}\nhttp: {{listen: 127.0.0.1:{port}}}\n"
        with Queuepool(tmp_path / "qp", text) as qp, Tab(browser, f"http://127.0.0.1:{port}/") as tab:
            qp.up()
            eventually(lambda: "listening" in qp.journal(), what="it listens")
            page = tab.page
            page.goto(tab.url)
            tab.live()
            pool = page.get_by_role("article", name="horizon")
            expect(pool).to_contain_text("Horizon is running, with 3 workers")
            row = pool.get_by_role("table", name="Supervisors of Horizon").locator("tbody tr")
            expect(row).to_have_count(1)
            expect(row.get_by_role("rowheader")).to_have_text("one")
            expect(row.get_by_role("cell").nth(0)).to_have_text("default")
            expect(row.get_by_role("cell").nth(1)).to_have_text("default: 3")
            expect(row.get_by_role("cell").nth(2)).to_contain_text("1–4")
            assert tab.flaws() == []
            page.set_viewport_size({"width": 360, "height": 740})
            assert tab.too_wide() <= 0
            (app / "paused").touch()  # as `php artisan horizon:pause` by hand
            expect(pool).to_contain_text("Horizon is paused")
            expect(page.get_by_role("region", name="Not as it should be")).to_contain_text("paused")
            expect(pool.locator("tbody").last).to_contain_text("Paused")
            server.stop()
            expect(page.get_by_role("region", name="Not as it should be")).to_contain_text("refuses connections")
            expect(row).to_have_count(0)
            assert tab.complaints == []


PICTURES = ("overview", "queues")
VIEWS = ("overview", "queues", "deploys", "events", "logs/laravel-worker%3A0")


def test_nothing_keeps_people_from_using_it_by_light_and_in_the_dark(tab: Tab, app: LaravelApp) -> None:
    app.dispatch("Ledger", 1500 if SCREENSHOTS else 60, ms=100)
    app.dispatch("Ledger", 40, ms=400, queue="mail", delay=2)
    page = tab.page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for view in VIEWS:
            tab.go(view)
            page.wait_for_timeout(300 if view not in PICTURES or not SCREENSHOTS else 12_000)
            assert tab.flaws() == [], (scheme, view)
            if view in PICTURES:
                tab.picture(f"{view}-{scheme}")
        tab.go("overview")
        page.get_by_role("article", name="laravel-worker").get_by_role("button", name="Scale").click()
        assert tab.flaws() == [], scheme
        page.keyboard.press("Escape")


def test_it_fits_a_phone_of_360_pixels(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 740})
    for view in VIEWS:
        tab.go(view)
        tab.page.wait_for_timeout(300)
        assert tab.too_wide() <= 0, view
        if view in PICTURES:
            tab.picture(f"{view}-phone")
    tab.go("overview")
    assert tab.flaws() == []
    tab.page.get_by_role("button", name="laravel-worker:laravel-worker_00").click()
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    assert tab.too_wide() <= 0


def test_the_page_makes_of_changes_what_the_daemon_means_by_them(tab: Tab) -> None:
    chance = random.Random(7)

    def table() -> dict[str, dict[str, int]]:
        keys = chance.sample(["a", "b", "10", "2", "c", "__proto__"], chance.randint(0, 6))
        return {
            key: {field: chance.randint(0, 2) for field in chance.sample("xyz", chance.randint(0, 3))} for key in keys
        }

    cases = []
    for _ in range(500):
        before, after = State({"t": table()}, {}), State({"t": table()}, {})
        told = difference(before, after).get("t", {})
        cases.append([list(before.tables["t"].items()), told, list(after.tables["t"].items())])
    wrong = tab.page.evaluate(
        """async cases => {
            const { changed } = await import('./assets/store.js');
            const plain = rows => JSON.stringify(rows.map(([key, row]) => [key, Object.entries(row).sort()]));
            return cases.filter(([before, told, after]) => plain([...changed(new Map(before), told)]) !== plain(after));
        }""",
        cases,
    )
    assert wrong == []


def test_it_is_used_by_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("document.activeElement.closest('main') !== null")
    assert inside, page.evaluate("document.activeElement.outerHTML")
    unfold = page.get_by_role("button", name="Show processes")
    unfold.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="crowd").locator("tbody tr")).to_have_count(20)
    expect(page.get_by_role("button", name="Hide processes")).to_have_attribute("aria-expanded", "true")


SAID = {
    "scaled by an operator; held at release 1: a deploy was rolled back": "由操作员调整了数量；停在版本 1：部署已回滚",
    "waiting for redis at 127.0.0.1:6379 (exit 1: a; b)": "等待 redis at 127.0.0.1:6379（退出码 1：a; b）",
    "exit 1: x: y; restarting too often, waits": "退出码 1：x: y；重启过于频繁，等待中",
    "killed by the kernel: out of memory: App\\Jobs\\Mail": "被内核结束：内存不足：App\\Jobs\\Mail",
    "anything else; as it is": "anything else; as it is",
    "": "",
}


def test_it_speaks_chinese_to_who_prefers_it_and_keeps_what_was_chosen(browser: Browser, site: Site) -> None:
    with Tab(browser, site.url, locale="zh-CN") as tab:
        page = tab.page
        page.goto(site.url)
        expect(page.locator("form.login button")).to_have_text("登录")
        tab.log_in()
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.get_by_role("link", name="概览")).to_be_visible()
        expect(page.get_by_role("article", name="laravel-worker")).to_contain_text("运行 4 / 4")
        expect(page.get_by_role("article", name="broken")).to_contain_text("退出码 3：no such table")
        expect(page.locator(".problems")).to_contain_text("broken: 1 个中有 1 个无法运行：退出码 3：no such table")
        tab.picture("overview-zh")
        page.get_by_label("语言").select_option("en")
        expect(page.get_by_role("link", name="Overview")).to_be_visible()
        expect(page.locator(".problems")).to_contain_text("broken: 1 of 1 cannot run: exit 3: no such table")
        said = page.evaluate(
            """async texts => {
                const { said, speak } = await import('./assets/i18n.js');
                await speak('zh-CN');
                return texts.map(said);
            }""",
            list(SAID),
        )
        assert said == list(SAID.values())
        page.reload()
        expect(page.get_by_role("link", name="Overview")).to_be_visible()
        assert tab.complaints == []


def test_a_deploy_is_planned_begun_and_watched(tab: Tab, site: Site) -> None:
    page, qp = tab.page, site.qp
    before = qp.running("laravel-worker", 4)
    qp.write(re.sub("  broken:.*\n", "", qp.file.read_text()))
    site.app.dispatch("Sleeping", 4, ms=1500)  # so that there is something to wait for
    site.switch("2")
    expect(page.get_by_text("stale").first).to_be_visible()
    tab.go("deploys")
    page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy?")
    expect(dialog).to_contain_text("laravel-worker: 4 to restart")
    expect(dialog).to_contain_text("broken: removed")
    dialog.get_by_role("button", name="Deploy").click()
    bar = page.get_by_role("progressbar", name="laravel-worker")
    expect(bar).to_be_visible()
    tab.picture("deploy")
    expect(page.locator(".deploy header")).to_contain_text("done")
    expect(bar).to_have_attribute("aria-valuenow", "4")
    expect(page.locator(".story")).to_contain_text("the first batch")
    after = qp.running("laravel-worker", 4)
    assert not set(before.values()) & set(after.values())
    assert {os.path.basename(p["release"]) for p in qp.processes("laravel-worker")} == {"2"}
    expect(page.locator(".deploy .notes").first).to_contain_text("1 → 2 · by admin")
    qp("deploy", "--force", "mail")
    earlier = page.get_by_role("region", name="Earlier deploys").locator("li")
    expect(earlier).to_have_count(1)
    expect(earlier).to_contain_text("done")
    expect(earlier).to_contain_text(re.compile("by admin · took [0-9.]+s · .*restarted"))
    qp.write(qp.file.read_text().replace("observe: 0.1s", 'before: ["false"]'))
    assert qp.try_("deploy", "--force", "mail").returncode == 1
    expect(page.locator(".deploy header")).to_contain_text("rolled back")
    expect(page.get_by_role("progressbar")).to_have_count(0)  # nothing went forward
    expect(page.locator(".failure")).to_contain_text("`false` ended with 1")
    qp.write(qp.file.read_text().replace('before: ["false"]', "observe: 0.1s"))
    qp("deploy", "--force", "mail")
    expect(earlier.first).to_contain_text("`false` ended with 1")
    tab.picture("deploys")
    tab.go("events")
    page.get_by_label("Search events").fill("rolled")
    expect(page.locator(".events li.tone-bad")).to_have_count(1)
    tab.go("deploys")
    assert tab.flaws() == []


def test_the_page_says_that_the_daemon_was_killed_and_finds_the_next_one(browser: Browser, site: Site) -> None:
    with Tab(browser, site.url) as tab:
        tab.log_in(view="#/events")
        page, qp = tab.page, site.qp
        qp.kill()
        expect(page.get_by_text("The connection to the daemon is lost, trying again")).to_be_visible()
        expect(page.locator("#live")).to_have_text("connection lost")
        qp.up()
        expect(page.locator("#banner")).to_be_hidden()
        tab.live()
        assert page.url.endswith("#/events")
        expect(page.locator(".events")).to_contain_text("laravel-worker:0 was found running")
        tab.go("overview")
        pool = page.get_by_role("article", name="mail")
        pool.get_by_role("button", name="Restart").click()
        page.get_by_role("dialog", name="Restart mail?").get_by_role("button", name="Restart").click()
        expect(page.locator(".toast").last).to_contain_text("1 restarted")  # one is still logged in
        (Path(qp.run.state) / "sessions.json").unlink()
        qp.kill()
        qp.up()
        link = page.get_by_role("alert").get_by_role("link", name="Log in")
        expect(link).to_be_visible()
        link.click()
        page.fill("[name=username]", "admin")
        page.fill("[name=password]", "secret")
        page.click("form.login button")
        tab.live()
        assert page.url.endswith("#/overview")
        assert {said for said in tab.complaints if "ERR_" not in said and "401" not in said} == set()


def test_nothing_is_asked_of_the_daemon_when_the_page_is_closed(tab: Tab, site: Site) -> None:
    """The stream ends, and with the last one the daemon's looking."""
    tab.page.goto("about:blank")

    def open_streams() -> int:
        pid = site.qp.run.pid()
        inodes = set()
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(os.readlink(fd))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port = f"{int(site.url.rstrip('/').rpartition(':')[2]):04X}"
        return sum(row[1].endswith(f":{port}") and row[3] == "01" and f"socket:[{row[9]}]" in inodes for row in rows)

    eventually(lambda: open_streams() == 0, what="no connection is left", show=lambda: open_streams())
