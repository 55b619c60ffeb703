from __future__ import annotations

import pytest

from queuepool.domain.events import Event, Kind


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (Event(0, Kind.EXITED, "w:0", {"code": 1, "reason": "exit 1"}), "w:0 ended: exit 1"),
        (Event(0, Kind.STARTED, "w:0", {"pid": 7}), "w:0 started, pid 7"),
        (Event(0, Kind.STOPPED, "w:0", {"reason": None}), "w:0 stopped"),
        (Event(0, Kind.OPERATION, "", {"asked": "scale 4"}), 'event=operation asked="scale 4"'),
    ],
)
def test_an_event_is_a_sentence_for_people(event: Event, sentence: str) -> None:
    assert event.sentence() == sentence


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_line_and_a_sentence_without_its_facts(kind: Kind) -> None:
    event = Event(0, kind, "w:0")
    assert event.line().startswith(f"event={kind.value}")
    assert "{" not in event.sentence()
