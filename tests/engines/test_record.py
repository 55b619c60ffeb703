from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from queuepool.engines.record import Entry, Record


def entry(life: int, **values: object) -> Entry:
    return Entry("w:0", life, f"/p/{life}", None, "fp", 0, **values)  # type: ignore[arg-type]


def reread(path: Path, boot: str = "boot-1") -> Record:
    record = Record(str(path), boot)
    record.load()
    return record


def test_what_was_put_changed_and_dropped_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "record"
    record = Record(str(path), "boot-1")
    for life in (1, 2, 3):
        record.put(entry(life))
    record.change(2, pid=77, birth="b")
    record.drop(1)
    record.change(1, pid=1)
    record.close()
    again = reread(path)
    assert again.entries == record.entries
    assert again.entries[2].pid == 77
    assert set(again.entries) == {2, 3}
    assert again.damage == ""


def test_a_torn_last_line_is_dropped_and_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "record"
    record = Record(str(path), "boot-1")
    record.put(entry(1))
    record.put(entry(2))
    record.close()
    text = path.read_bytes()
    path.write_bytes(text[:-10])
    assert set(reread(path).entries) == {1}
    assert reread(path).damage == ""
    path.write_bytes(text.replace(b'"life":1', b'"life":', 1))
    assert set(reread(path).entries) == {2}
    assert "not a record" in reread(path).damage


def test_nothing_is_believed_of_another_boot(tmp_path: Path) -> None:
    path = tmp_path / "record"
    record = Record(str(path), "boot-1")
    record.put(entry(1))
    record.close()
    assert reread(path, "boot-2").entries == {}


def test_the_file_stays_small_through_many_lives(tmp_path: Path) -> None:
    path = tmp_path / "record"
    record = Record(str(path), "boot-1")
    for life in range(5000):
        record.put(entry(life))
        if life >= 10:
            record.drop(life - 10)
    record.close()
    assert len(reread(path).entries) == 10
    assert path.stat().st_size < 400_000


def test_what_cannot_be_written_is_told_once_and_leaves_no_half_line_and_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "record"
    said: list[str] = []
    again: list[Callable[[], None]] = []
    record = Record(
        str(path),
        "boot-1",
        complain=said.append,
        recovered=lambda text, file: said.append(f"{file}: no more: {text}"),
        later=lambda seconds, call: again.append(call),
    )
    record.put(entry(1))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, limits[1]))  # there is room for half a line
    try:
        record.put(entry(2))
        record.put(entry(3))
        record.drop(1)
        assert path.read_bytes() == before.replace(b'"behind":0', b'"behind":1')
        assert (set(reread(path).entries), reread(path).behind, reread(path).damage) == ({1}, True, "")
        again.pop()()
        assert (len(said), len(again)) == (1, 1)
        assert said[0] == (
            f"cannot save {path}: No space left on device; make room there (`df {tmp_path}`): until then, workers "
            "started from now on may be replaced if the daemon crashes"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    again.pop()()
    assert said[1:] == [f"{path}: no more: {said[0]}"]
    assert again == []
    assert (set(reread(path).entries), reread(path).behind) == ({2, 3}, False)
    record.put(entry(4))
    record.close()
    assert set(reread(path).entries) == {2, 3, 4}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_exception(tmp_path_factory: object, data: bytes) -> None:
    path = tmp_path_factory.mktemp("r") / "record"  # type: ignore[attr-defined]
    path.write_bytes(b'{"boot":"boot-1"}\n' + data + b"\n")
    reread(path)


def test_a_missing_or_unreadable_record_is_empty(tmp_path: Path) -> None:
    assert reread(tmp_path / "none").entries == {}
    (tmp_path / "directory").mkdir()
    assert "cannot read" in reread(tmp_path / "directory").damage
