"""One pass over the evidence finds what each question by itself would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streams.records import Signal
from tests.acceptance.timeline import BOOK, Timeline, alarm
from topologies.happening import Happening, Piece, severity
from topologies.incident_settings import IncidentSettings
from topologies.life_cycle import piece_of
from topologies.rule_facts import RuleTable
from topologies.weighed import best_place, weigh


def _one() -> Piece:
    record = Timeline().record(0, alarm("gas-well", "W1"))
    assert isinstance(record, Signal)
    return piece_of(record, RuleTable(BOOK, IncidentSettings()).of(record), None)


_PIECES = st.lists(
    st.builds(
        lambda **fields: structs.replace(_ONE, **fields),
        stream=st.sampled_from(["hotline", "sensor", "group", "video"]),
        level=st.integers(1, 4),
        first_ts=st.integers(0, 3),
        radius_m=st.sampled_from([10.0, 50.0]),
        lat=st.sampled_from([None, 31.0]),
        active=st.booleans(),
        lends=st.booleans(),
        historical=st.booleans(),
        silent_since=st.integers(0, 1),
    ),
    max_size=6,
)
_ONE = _one()


@given(_PIECES, st.booleans())
def test_one_pass_finds_what_each_question_finds(drawn: list[Piece], late: bool) -> None:
    pieces = {f"k{n}": structs.replace(piece, key=f"k{n}") for n, piece in enumerate(drawn)}
    weighed = weigh(Happening("id", "340100", "gas", "gas", False, late, 0, 0, pieces))
    ranked = sorted(pieces.values(), key=lambda one: (one.level, one.first_ts, one.key))
    live = [piece for piece in ranked if late or not piece.historical]
    active = [piece for piece in live if piece.active]
    own = [piece for piece in active if not piece.lends]
    assert (weighed.ranked, weighed.live, weighed.active, weighed.own) == (ranked, live, active, own)
    assert weighed.kinds == sorted({"sensor" if one.stream == "group" else one.stream for one in active})
    assert weighed.silent == sum(1 for one in active if one.silent_since)


@given(_PIECES)
def test_the_best_place_is_the_most_severe_then_a_device_then_the_most_precise(drawn: list[Piece]) -> None:
    pieces = [structs.replace(piece, key=f"k{n}") for n, piece in enumerate(drawn)]
    placed = [one for one in pieces if one.lat is not None]
    ranked = sorted(placed, key=lambda one: (one.level, one.stream == "hotline", one.radius_m, one.first_ts, one.key))
    assert best_place(sorted(pieces, key=severity)) is (ranked[0] if ranked else None)
