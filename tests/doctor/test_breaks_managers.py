"""Others that work for the same application: a real supervisord, real processes, and files that set them up."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.daemon import Queuepool
from tests.support.installation import Break, Installation, running
from tests.support.laravel import PHP
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor
WORK = (*PHP, "artisan", "queue:work", "redis", "--queue=elsewhere", "--sleep=1", "--max-time=300")
needs_supervisord = pytest.mark.skipif(shutil.which("supervisord") is None, reason="supervisord is not installed")


def started_by_hand(it: Installation) -> None:
    it.start(*WORK)


def left_behind(it: Installation) -> None:
    command = " ".join(WORK)
    it.start("sh", "-c", f"{command} >/dev/null 2>&1 & echo $!", forks=True)


def in_a_supervisord_that_runs(it: Installation) -> None:
    file = it.root / "supervisord.conf"
    file.write_text(
        f"[supervisord]\nnodaemon=true\npidfile={it.root}/supervisord.pid\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        f"[include]\nfiles = parts/*.conf\n"
    )
    (it.root / "parts").mkdir()
    (it.root / "parts/app.conf").write_text(
        f"[program:laravel-worker]\ncommand={' '.join(WORK)} ; as ever\ndirectory={it.root}/app\nautorestart=true\n"
        f"stdout_logfile=/dev/null\nredirect_stderr=true\n{supervised_user(it)}"
    )
    (it.root / "parts/other.conf").write_text(
        f"[program:other]\ncommand=php artisan queue:work\ndirectory={it.root}/other\nautostart=false\n"
    )
    done = subprocess.Popen(["supervisord", "-c", str(file)], cwd=it.root, stdout=subprocess.DEVNULL)

    def end() -> None:
        done.terminate()  # it ends its worker too
        done.wait(20)

    it.stack.callback(end)
    eventually(
        lambda: "queue:work redis --queue=elsewhere" in processes_of(it),
        60,
        "supervisord's worker runs",
        show=lambda: processes_of(it),
    )


def supervised_user(it: Installation) -> str:
    return f"user={it.user}\n" if it.user == "www-data" else ""


def processes_of(it: Installation) -> str:
    return subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True).stdout


def in_the_files_of_supervisord(it: Installation) -> None:
    command = f"{' '.join(PHP)} {it.root}/app/artisan horizon"
    it.put("/etc/supervisor/conf.d/app.conf", f"; old\n[program:old]\nautostart=true\ncommand={command}\n")


def in_an_enabled_unit(it: Installation) -> None:
    text = f"[Service]\nWorkingDirectory={it.root}/app\nExecStart=/usr/bin/php \\\n  artisan queue:work redis\n"
    unit = it.put("/etc/systemd/system/laravel.service", text)
    wants = unit.parent / "multi-user.target.wants"
    wants.mkdir()
    (wants / "laravel.service").symlink_to(unit)
    it.put("/etc/systemd/system/disabled.service", text)


def in_a_unit_of_the_user(it: Installation) -> None:
    units = it.root / "config/systemd/user"
    (units / "default.target.wants").mkdir(parents=True)
    (units / "horizon@.service").write_text(f"[Service]\nExecStart=-/usr/bin/php {it.root}/app/artisan horizon\n")
    (units / "default.target.wants/horizon@1.service").symlink_to(units / "horizon@.service")
    it.qp.environment["XDG_CONFIG_HOME"] = str(it.root / "config")


def in_a_crontab(it: Installation) -> None:
    it.put(
        "/etc/cron.d/app",
        f"# * * * * * root cd {it.root}/app && php artisan horizon\n"
        f"* * * * * www-data cd {it.root}/app && php artisan schedule:run >> /dev/null 2>&1\n"
        f"*/5 * * * * www-data cd {it.root}/app && php artisan queue:work --stop-when-empty\n"
        f"*/5 * * * * www-data cd {it.root}/app2 && php artisan queue:work --stop-when-empty\n",
    )


def scheduled_twice(it: Installation) -> None:
    it.programs["scheduler"] = {"type": "command", "command": [*PHP, "artisan", "schedule:work"]}
    it.write()
    it.put("/var/spool/cron/crontabs/www-data", f"* * * * * cd {it.root}/app && php artisan schedule:run >/dev/null\n")


def by_a_second_daemon(it: Installation) -> None:
    user = f"user: {it.user}\n" if it.user == "www-data" else ""
    other = Queuepool(
        it.root / "other",
        f"app: {it.root}/app\nphp: {PHP[0]}\n{user}programs:\n  more: {{queue: more, stdout_logfile: {it.root}/l}}\n",
    )
    it.stack.callback(other.close)
    other.up()
    other.running("more", 1)


def ended(it: Installation) -> None:
    for pid in it.others:
        subprocess.run(["kill", str(pid)], check=True)
    eventually(lambda: not any(Path(f"/proc/{pid}/cwd").exists() for pid in it.others), what="it ends")


def removed(it: Installation) -> None:
    shutil.rmtree(it.machine / "etc")


BY_COMMAND = [
    Break("managers.by_hand", started_by_hand, r"pid \d+ of .*artisan queue:work", "warning", mended=ended),
    Break("managers.by_hand", started_by_hand, r"pid \d+ of ", "warning", name="beside", inside=running),
    Break("managers.orphans", left_behind, r"pid \d+ of .*artisan queue:work", "warning"),
    Break("managers.second_daemon", by_a_second_daemon, r"under queuepool \(pid \d+\)", inside=running),
]
"""Of processes, which would be the family of a look from within the test."""
BREAKS = [
    *(replace(broken, command=True) for broken in BY_COMMAND),
    Break("managers.supervisord", in_the_files_of_supervisord, r"app.conf:2: .*horizon", "warning", mended=removed),
    Break("managers.systemd", in_an_enabled_unit, r"/laravel.service:3: .*queue:work", "warning", mended=removed),
    Break("managers.systemd", in_a_unit_of_the_user, r"horizon@.service:2: ", "warning", name="user"),
    Break("managers.cron", in_a_crontab, r"^/.*/cron.d/app:3: .*queue:work", "warning", mended=removed),
    Break("managers.cron", scheduled_twice, r"www-data:1: .*schedule:run", name="twice"),
]


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_another_manager_of_the_application_is_found(broken: Break) -> None:
    broken.prove()


@needs_supervisord
def test_a_supervisord_that_runs_the_application_is_found() -> None:
    Break("managers.supervisord", in_a_supervisord_that_runs, r"parts/app.conf:1: .*queue:work", "warning").prove()
