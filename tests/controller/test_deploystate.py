from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from queuepool.config.load import load
from queuepool.controller.deployhistory import KEPT, DeployHistory
from queuepool.controller.deploystate import DeployStore, Saved, Settings
from queuepool.controller.deployview import report_of
from queuepool.domain.plan import PoolPlan
from queuepool.domain.pool import Loaded
from queuepool.domain.rollout import Failure, Outcome, Phase, Rollout, Turn

TEXT = """
programs:
  w: {numprocs: 2, environment: {SECRET: "hush-%(process_num)d"}, rlimits: {nofile: 64}, startsecs: 2}
  s: {command: [sleep, 5], exitcodes: "0,2", autorestart: unexpected, stderr_logfile: e.log}
deploy: {before: [php artisan migrate], check: "true"}
"""
SAVED = Saved(
    "1",
    12.5,
    Rollout(
        {"w": Turn((0, 1), (1,), 1, ran=frozenset({0}), was="/r/1", now="/r/2")}, Phase.FIRST, outcome=Outcome.DONE,
        failure=Failure("crash", "x", "w:0", 255, "why", ("line",)), hooks=frozenset({"before"}),
    ),
    (PoolPlan("w", restarted=((0, "why"),), forced=frozenset({0})),),
    held=frozenset({"w"}),
    carried={"other": None},
)  # fmt: skip


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "artisan").touch()
    (tmp_path / "queuepool.yml").write_text(TEXT)
    return load(str(tmp_path / "queuepool.yml"), {})


def test_a_deploy_is_read_back_as_it_was_saved(tmp_path: Path, loaded: Loaded) -> None:
    store = DeployStore(str(tmp_path))
    assert store.load() is None
    store.save_settings("1", Settings(loaded.pools, {}, loaded.deploy))
    store.save(SAVED)
    found = store.load()
    assert found is not None
    saved, settings = found
    assert saved == SAVED
    assert settings is not None
    assert (settings.former, settings.target, settings.deployment) == (loaded.pools, {}, loaded.deploy)
    for name, spec in loaded.pools.items():
        assert settings.former[name].process(7) == spec.process(7)


def test_deploys_that_ended_are_kept_the_last_first_and_no_more_than_enough(tmp_path: Path) -> None:
    said: list[str] = []
    history = DeployHistory(str(tmp_path), said.append)
    assert history.rows() == []
    for number in range(KEPT + 3):
        ended = replace(SAVED, id=str(number), begun=float(number), ended=number + 2.5, who="ann")
        history.add(ended, report_of(ended, 0.0))
    history.add(ended, report_of(ended, 0.0))  # a daemon that was killed right after it had saved says so again
    rows = DeployHistory(str(tmp_path)).rows()
    assert rows == history.rows()
    assert [row["id"] for row in rows] == [str(number) for number in range(KEPT + 2, 2, -1)]
    assert (rows[0]["who"], rows[0]["seconds"], rows[0]["failure"], rows[0]["programs"]) == ("ann", 2.5, "x", ["w"])
    path = Path(history.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for wrong in ("{", "7", "[7]"):
        path.write_text(wrong)
        broken = DeployHistory(str(tmp_path), said.append)
        assert broken.rows() == []
        assert "going on without the earlier deploys" in said[-1]
    path.unlink()
    Path(f"{path}.new").mkdir()
    broken = DeployHistory(str(tmp_path), said.append)
    broken.add(ended, report_of(ended, 0.0))
    assert "would forget this deploy" in said[-1]
    assert [row["id"] for row in broken.rows()] == [ended.id], "it is known as long as the daemon lives"


def test_settings_hold_secrets_and_are_for_their_owner_alone(tmp_path: Path, loaded: Loaded) -> None:
    store = DeployStore(str(tmp_path))
    store.save_settings("1", Settings(loaded.pools, {}, loaded.deploy))
    store.save(SAVED)
    assert stat.S_IMODE(os.stat(store.settings_path).st_mode) == 0o600
    assert "hush" not in Path(store.path).read_text()
    assert "hush" not in repr(Settings(loaded.pools, {}, loaded.deploy))
    store.forget_settings()
    assert not os.path.exists(store.settings_path)


def test_what_cannot_be_read_is_complained_of_and_counts_as_none(tmp_path: Path, loaded: Loaded) -> None:
    said: list[str] = []
    store = DeployStore(str(tmp_path), said.append)
    Path(store.path).write_text('{"id": 1')
    assert store.load() is None
    store.save(SAVED)
    Path(store.settings_path).write_text("{}")
    assert store.load() == (SAVED, None)
    assert len(said) == 2
    assert all("cannot read" in text for text in said)


def test_settings_of_another_deploy_are_not_taken(tmp_path: Path, loaded: Loaded) -> None:
    store = DeployStore(str(tmp_path))
    store.save_settings("2", Settings(loaded.pools, {}, loaded.deploy))
    store.save(SAVED)
    assert store.load() == (SAVED, None)


def test_a_deploy_that_is_over_matters_only_where_it_was_rolled_back(tmp_path: Path) -> None:
    store = DeployStore(str(tmp_path))
    assert not store.matters()
    store.save(SAVED)
    assert store.matters(), "it goes on"
    over = replace(SAVED, ended=13.0, held=frozenset(), carried={})
    store.save(over)
    assert not store.matters()
    store.save(replace(over, state=replace(over.state, rolled_back=True)))
    assert store.matters()
    Path(store.path).write_text("[]")
    assert store.matters(), "so that it is read, and complained of"


def test_a_full_disk_is_complained_of(tmp_path: Path) -> None:
    said: list[str] = []
    DeployStore(str(tmp_path / "gone"), said.append).save(SAVED)
    assert "cannot save" in said[0]
