"""FATAL is no end: after `fatal_retry` a program is tried again by itself."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import Queuepool


def test_what_is_fatal_runs_without_any_command_once_its_cause_is_gone(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    text = f"""
programs:
  w:
    type: command
    command: [sh, -c, '[ -e {missing} ] || {{ echo no {missing.name}; exit 3; }}; exec sleep 100']
    startretries: 0
    startsecs: 0.3
    fatal_retry: 0.5
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        view = qp.state("w:0", "FATAL")
        assert "no missing" in view["reason"]
        assert qp.try_("status").returncode == 3
        missing.touch()
        assert qp.state("w:0", "RUNNING")["restarts"] >= 1
        assert qp.try_("status").returncode == 0
