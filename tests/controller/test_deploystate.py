from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from queuepool.config.load import load
from queuepool.controller.deploystate import DeployStore, Saved, Settings
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
