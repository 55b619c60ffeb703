"""What the files of an application tell the doctor, without PHP."""

from __future__ import annotations

import os
from pathlib import Path

from queuepool.doctor.looks.files import look
from queuepool.laravel.secondhand import second_hand


def application(root: Path) -> Path:
    root.mkdir(parents=True)
    (root / "artisan").write_text("")
    return root


def test_the_newest_release_is_offered_where_current_dangles(tmp_path: Path) -> None:
    for number, moment in ((6, 100), (10, 300), (8, 200)):
        os.utime(application(tmp_path / f"releases/{number}"), (moment, moment))
    (tmp_path / "releases/11").mkdir()  # has no artisan
    (tmp_path / "current").symlink_to("releases/12")
    found = look(str(tmp_path / "current"), None, {})
    assert (found.there, found.dangling) == (False, "releases/12")
    assert found.beside == tuple(str(tmp_path / f"releases/{number}") for number in (10, 8, 6))


def cached(root: Path, text: str) -> tuple[str, ...]:
    (root / "bootstrap/cache").mkdir(parents=True, exist_ok=True)
    (root / "bootstrap/cache/config.php").write_text(f"<?php return [{text}];")
    return look(str(root), second_hand(str(root), {}), {}).foreign


def test_paths_of_a_shared_storage_are_not_foreign_and_those_of_another_release_are(tmp_path: Path) -> None:
    root = application(tmp_path / "releases/2")
    (tmp_path / "shared/storage/framework/views").mkdir(parents=True)
    (root / "storage").symlink_to(tmp_path / "shared/storage")
    (tmp_path / "current").symlink_to(root)
    own = f"'{root}/storage/logs/laravel.log', '{tmp_path}/shared/storage/framework/views'"
    assert cached(tmp_path / "current", own) == ()
    other = f"'{tmp_path}/releases/1/storage/logs/laravel.log'"
    assert cached(tmp_path / "current", f"{own}, {other}, 'https://x/storage/app'") == (
        f"{tmp_path}/releases/1/storage/logs",
    )


def test_env_is_only_found_where_it_is_called_in_code(tmp_path: Path) -> None:
    root = application(tmp_path / "app")
    (root / "app").mkdir()
    (root / "app/A.php").write_text(
        "<?php\n// env('A')\n/* env('B')\n */\n$x = $this->env('C');\nputenv('D');\n\\env(\"E\");\nEnv::env('F');\n"
    )
    (root / "routes").mkdir()
    (root / "routes/console.php").write_text("<?php return env( 'G', 1);")
    cached(root, "")
    found = look(str(root), second_hand(str(root), {}), {})
    assert found.env_calls == ("app/A.php:7: env('E')", "routes/console.php:1: env('G')")


def test_env_is_open_when_its_mode_and_all_directories_above_let_everybody_in(tmp_path: Path) -> None:
    root = application(tmp_path / "app")
    (root / ".env").write_text("")
    (root / ".env").chmod(0o640)
    assert not look(str(root), None, {}).environment_open
    (root / ".env").chmod(0o644)
    root.chmod(0o750)
    assert not look(str(root), None, {}).environment_open
