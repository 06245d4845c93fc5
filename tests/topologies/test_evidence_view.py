"""What is kept of the evidence between two revisions must be what would be drawn from nothing, whatever came in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.records import Signal
from tests.acceptance.timeline import BOOK, Draft, Timeline, alarm, call
from topologies.evidence_view import EvidenceViews
from topologies.happening import Happening
from topologies.incident_settings import IncidentSettings
from topologies.life_cycle import clear, close, piece_of, take
from topologies.rule_facts import RuleTable
from topologies.weighed import weigh

_TABLE = RuleTable(BOOK, IncidentSettings())


def _draft(who: int, spot: tuple[float, float], level: int, by_phone: bool) -> Draft:
    if by_phone:
        return call("gas-smell-call", f"c{who}", f"p{who}", at=spot)
    return alarm("gas-well", f"W{who}", at=spot, level=level)


_SPOTS = st.tuples(st.floats(-500, 500), st.floats(-500, 500))
#: What may happen to an incident between two revisions, and to the how-manieth of its pieces.
_STEPS = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 5), _SPOTS, st.integers(1, 4), st.booleans()),
    st.tuples(st.sampled_from(["clear", "silent", "speaks", "drop", "stand", "end"]), st.integers(0, 5)),
)


@given(st.lists(st.lists(_STEPS, max_size=4), max_size=8), st.integers(1, 4))
def test_kept_views_are_those_drawn_anew(revisions: list[list[tuple]], at_most: int) -> None:  # type: ignore[type-arg]
    incident = Happening("id", "340100", "gas", "gas", False, False, 0, 0, {})
    city, kept = Timeline(), EvidenceViews(at_most)
    for second, steps in enumerate(revisions):
        for what, who, *more in steps:
            pieces = list(incident.pieces.values())
            if what == "take":
                record = city.record(second, _draft(who, *more))
                assert isinstance(record, Signal)
                take(incident, piece_of(record, _TABLE.of(record), None), 100)
                continue
            if not pieces:
                continue
            piece = pieces[who % len(pieces)]
            if what == "clear":
                ended = city.record(second, alarm("gas-well", piece.entity))
                assert isinstance(ended, Signal)
                clear(incident, piece, ended)
            elif what == "silent":
                piece.silent_since = 1 + second
            elif what == "speaks":
                piece.silent_since = 0
            elif what == "drop":
                del incident.pieces[piece.key]
            elif what == "stand":
                incident.lat, incident.lon = piece.lat, piece.lon
            else:
                close(incident, "resolved", second)
        weighed = weigh(incident)
        assert kept.of(incident, weighed) == EvidenceViews(at_most).of(incident, weighed)


def test_what_is_shown_is_not_shared_as_a_list() -> None:
    """A body is handed on: the next one must not change it."""
    incident = Happening("id", "340100", "gas", "gas", False, False, 0, 0, {})
    record = Timeline().record(0, alarm("gas-well", "W1"))
    assert isinstance(record, Signal)
    take(incident, piece_of(record, _TABLE.of(record), None), 100)
    views, weighed = EvidenceViews(50), weigh(incident)
    first, second = views.of(incident, weighed)[0], views.of(incident, weighed)[0]
    assert first == second
    assert first is not second
    assert first[0] is second[0]


def test_nothing_is_kept_of_what_is_over() -> None:
    incident = Happening("id", "340100", "gas", "gas", False, False, 0, 0, {})
    views = EvidenceViews(50)
    views.of(incident, weigh(incident))
    assert len(views) == 1
    views.over(incident)
    assert len(views) == 0
