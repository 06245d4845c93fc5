from __future__ import annotations

import msgspec
import pytest

from streams.errors import Mend
from tests.acceptance.timeline import BOOK, CITY, Assets
from topologies.incident import IncidentStage
from topologies.incident_state import from_bytes, to_bytes


def test_a_damaged_state_is_refused_with_the_mend() -> None:
    with pytest.raises(Mend, match="rebuild-from"):
        from_bytes(b"\xff\x00broken")


def test_a_state_that_lacks_a_part_is_refused() -> None:
    with pytest.raises(Mend, match="lacks parts"):
        from_bytes(msgspec.msgpack.encode({"format": 1}))


def test_a_state_of_another_format_is_refused() -> None:
    saved = IncidentStage(CITY, BOOK, Assets()).snapshot() | {"format": 99}
    with pytest.raises(Mend, match="format 99"):
        from_bytes(to_bytes(saved))


def test_a_fresh_stage_goes_through_bytes() -> None:
    saved = IncidentStage(CITY, BOOK, Assets()).snapshot()
    assert to_bytes(from_bytes(to_bytes(saved))) == to_bytes(saved)
