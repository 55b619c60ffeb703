from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from queuepool.config.explain import MASK, explain
from queuepool.config.load import read


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def show(text: str, environ: dict[str, str] | None = None) -> dict[str, Any]:
        Path("queuepool.yml").write_text(text)
        return explain(read("queuepool.yml", environ or {})).to_json()

    return show


def test_every_value_says_where_it_came_from(shown: Any) -> None:
    Path("a.yml").write_text("defaults: {nice: 5}\nprograms: {x: {}}\n")
    found = shown(
        "user: www-data\ninclude: a.yml\ndefaults:\n  tries: 5\n  umask: 022\nprograms:\n  w:\n    timeout: 1m\n"
        "    stopsignal: quit\n  c: {command: date, priority: 3}\ngroups:\n  g: {programs: [w], priority: 7}\n"
    )
    w, c, x = (found["programs"][name]["values"] for name in ("w", "c", "x"))
    assert w["timeout"] == {"value": 60, "from": "queuepool.yml:8"}
    assert w["tries"] == {"value": 5, "from": "defaults (queuepool.yml:4)"}
    assert w["umask"] == {"value": "022", "from": "defaults (queuepool.yml:5)"}
    assert w["stopsignal"] == {"value": "QUIT", "from": "queuepool.yml:9"}
    assert w["user"] == {"value": "www-data", "from": "queuepool.yml:1"}
    assert w["stopwaitsecs"] == {"value": 78, "from": "built-in"}
    assert w["priority"] == {"value": 7, "from": "queuepool.yml:12"}
    assert w["stdout_logfile_maxbytes"] == {"value": "50MB", "from": "built-in"}
    assert c["type"] == {"value": "command", "from": "built-in"}
    assert c["command"] == {"value": ["date"], "from": "queuepool.yml:10"}
    assert c["priority"]["value"] == 3
    assert "tries" not in c
    assert x["nice"] == {"value": 5, "from": "defaults (a.yml:1)"}
    assert x["tries"] == {"value": 5, "from": "defaults (queuepool.yml:4)"}
    assert found["programs"]["w"]["argv"] == ["php", "artisan", "queue:work", "--tries=5", "--timeout=60", "-v"]
    assert found["groups"]["g"]["from"] == "queuepool.yml:12"


def test_no_secret_is_shown_wherever_it_got_to(shown: Any) -> None:
    Path(".env").write_text("APP_KEY=base64:abcdef\n")
    found = json.dumps(shown(
        "env_file: .env\nhttp: {username: admin, password: '${MY_PASSWORD}'}\nenvironment: {MAIL_PASSWORD: hunter3}\n"
        "programs:\n  a:\n    command: 'x --pass=${MY_PASSWORD} redis://u:hunter5@h/0 ${VISIBLE}'\n"
        "    environment: {STRIPE_SECRET: hunter4, URL: 'mysql://u:hunter6@h', PLAIN: shown}\n",
        {"MY_PASSWORD": "hunter2", "VISIBLE": "seen"},
    ))  # fmt: skip
    assert "hunter" not in found
    assert "abcdef" not in found
    assert MASK in found
    assert "seen" in found
    assert "shown" in found


def test_what_a_set_logfile_and_limits_look_like(shown: Any) -> None:
    values = shown(
        "programs:\n  a: {stderr_logfile: e.log, rlimits: {nofile: '1:2', core: unlimited}, fatal_retry: never, "
        "autorestart: unexpected, stdout_logfile: off, env_file: []}\n"
    )["programs"]["a"]["values"]
    assert values["rlimits"]["value"] == {"nofile": "1:2", "core": "unlimited"}
    assert (values["fatal_retry"]["value"], values["autorestart"]["value"]) == ("never", "unexpected")
    assert (values["stdout_logfile"]["value"], values["redirect_stderr"]["value"]) == ("NONE", False)
    assert values["stderr_logfile"]["value"].endswith("/e.log")
    assert values["stderr_logfile_backups"]["value"] == 10
