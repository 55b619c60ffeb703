"""What the file says of deploys, and which paths lead to a release instead of the link."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuepool.config.load import load
from queuepool.domain.pool import Launch, Strategy
from queuepool.domain.release import at_release
from queuepool.errors import ConfigError

TEXT = """
user: www-data:queue
environment: {A: 1}
programs:
  w: {strategy: {batch: 50%, pause_between: 2s}}
  h: {type: horizon, strategy: {pause_between: 1}}
deploy:
  before: [php artisan migrate --force, [sh, -c, "a b"]]
  after: php artisan up
  check: ./healthy --all
  observe: 2s
  timeout: 5m
"""


def test_the_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "queuepool.yml").write_text(TEXT)
    (tmp_path / "artisan").touch()
    loaded = load(str(tmp_path / "queuepool.yml"), {})
    deploy = loaded.deploy
    assert deploy.before == (("php", "artisan", "migrate", "--force"), ("sh", "-c", "a b"))
    assert deploy.after == (("php", "artisan", "up"),)
    assert deploy.check == ("./healthy", "--all")
    assert (deploy.observe, deploy.timeout, deploy.on_failure) == (2.0, 300.0, ())
    launch = deploy.launch
    assert (launch.user, launch.group, launch.directory) == ("www-data", "queue", str(tmp_path))
    assert dict(launch.environment) == {"A": "1"}
    assert loaded.pools["w"].strategy == Strategy("25%", 0, "50%", 2.0)
    assert loaded.pools["h"].strategy == Strategy(0, 1, None, 1.0), "two Horizons would do the same work"


@pytest.mark.parametrize(("text", "seconds"), [("true", 30.0), ("false", 0.0), ("90s", 90.0), ("5", 5.0)])
def test_a_canary_has_a_time_or_the_usual_one(tmp_path: Path, text: str, seconds: float) -> None:
    (tmp_path / "queuepool.yml").write_text(TEXT + f"  canary: {text}\n")
    assert load(str(tmp_path / "queuepool.yml"), {}).deploy.canary == seconds


def test_a_canary_belongs_to_the_deploy(tmp_path: Path) -> None:
    (tmp_path / "queuepool.yml").write_text("programs:\n  w: {canary: true}\n")
    with pytest.raises(ConfigError) as refused:
        load(str(tmp_path / "queuepool.yml"), {})
    assert any("programs.w.canary: unknown key (put it below `deploy:`)" in found for found in refused.value.problems)


def test_a_batch_is_what_may_be_replaced_side_by_side_unless_said() -> None:
    assert Strategy().batch_size(10) == 3
    assert Strategy(0, 1).batch_size(10) == 1
    assert Strategy(2, 1).batch_size(10) == 3
    assert Strategy(batch="50%").batch_size(5) == 3
    assert Strategy(batch=0).batch_size(5) == 1


def test_paths_through_the_link_lead_to_the_release() -> None:
    launch = Launch(
        ("php", "/srv/current/artisan", "--path=/srv/current/x", "/srv/currently", "a=/srv/current"), "/srv/current"
    )
    moved = at_release(launch, "/srv/current", "/srv/releases/7")
    assert moved.directory == "/srv/releases/7"
    assert moved.argv == (
        "php",
        "/srv/releases/7/artisan",
        "--path=/srv/releases/7/x",
        "/srv/currently",
        "a=/srv/current",
    )
    assert at_release(launch, "/srv/current", None) is launch
