"""What is kept encoded of a state is what encoding it anew would give, whatever happened in between."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.timeline import (
    BOOK,
    CITY,
    Assets,
    Book,
    Draft,
    Timeline,
    alarm,
    call,
    clear,
    feedback,
    mute,
    rule,
    update,
)
from topologies.checkpoints import Checkpoint, ShardKey, decode, encode
from topologies.incident import IncidentStage
from topologies.incident_state import to_bytes
from topologies.written import Touched, Unchanged

LENDING = Book((*BOOK.rules, rule("trace", "GAS-05", "gas", "gas", opens=False)), BOOK.families)
GATEWAYS = {"G1": ["S0", "S1", "S2"]}
PLACES = [(0.0, 0.0), (150.0, 0.0), (450.0, 100.0), (900.0, 0.0)]


def _calls(n: int, at: tuple[float, float]) -> Draft:
    return call("gas-smell-call", f"c{n}", f"p{n % 7}", at=at)


def _drafts(kind: int, entity: int, where: int, n: int, opened: int) -> Draft | None:
    at, name = PLACES[where], f"W{entity}"
    # Devices behind a gateway, and those whose alarm may stand while they fall silent.
    device, gateway = (f"S{entity}", "G1") if entity < 3 else (name, None)
    simple: list[Draft] = [
        alarm("gas-well", name, at=at, raised=0),
        update("gas-well", name, at=at, raised=0, level=2),
        clear("gas-well", name, at=at, raised=0),
        _calls(n, at),
        alarm("trace", name, at=at, raised=0),
        clear("trace", name, at=at, raised=0),
        alarm("device-silence", device, at=at, raised=0, gateway=gateway),
        clear("device-silence", device, at=at, raised=0, gateway=gateway),
        mute(f"m{entity}", n, n + 40, entity=name),
        alarm("ponding-depth", name, at=at, raised=0, exercise=n % 2 == 0),
    ]
    people = ("acknowledge", "resolve", "reopen", "false_alarm", "note")
    if kind < len(simple):
        return simple[kind]
    return feedback(people[entity], n % opened, note="seen") if opened else None


steps = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 4), st.integers(0, 3), st.sampled_from([1, 7, 65, 700])), max_size=60
)


def _anew(stage: IncidentStage) -> dict[str, Any]:
    """The snapshot of the same stage when nothing is kept encoded."""
    book, bursts = stage._casebook, stage._bursts
    book.written, bursts.written = Touched(book.incidents), Touched(bursts._areas)
    for name in book.incidents:
        book.written.touch(name)
    for area in bursts._areas:
        bursts.written.touch(area)
    stage._outages._written, book._lending._written = Unchanged(), Unchanged()
    stage._mutes._written_mutes, stage._mutes._written_retained = Unchanged(), Unchanged()
    return stage.snapshot()


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(0, 60))
def test_kept_and_fresh_encodings_are_the_same_after_any_sequence_of_happenings(drawn: Any, switch_at: int) -> None:
    city = Timeline(Assets(gateways=GATEWAYS), LENDING, evidence_kept=3, max_open=6, max_lent=4, witnesses_kept=5)
    now = 0.0
    for n, (kind, entity, where, later) in enumerate(drawn):
        now += later
        opened = sum(one.event == "opened" for one in city.incidents)
        draft = _drafts(kind, entity, where, n, opened)
        if draft is not None:
            city._progress(now)
            city._process(city.record(now, draft))
        if n == switch_at:
            city.stage.switch(rules=BOOK, registry=Assets(gateways=GATEWAYS, revision=1))
        if n % 3 == 0:
            city.stage.settle()
        if n % 5 == 0:
            kept = to_bytes(city.stage.snapshot())
            assert kept == to_bytes(city.stage.snapshot())
            # The stage under test keeps its encodings: a twin is encoded anew.
            incidents = city.stage._casebook.incidents.values()
            assert city.stage._casebook.written.bytes() == [msgspec.msgpack.encode(one) for one in incidents]
    kept = to_bytes(city.stage.snapshot())
    assert kept == to_bytes(_anew(city.stage))


def test_a_device_that_speaks_again_is_written_so() -> None:
    city = Timeline()
    for n, draft in enumerate([alarm("gas-well", "W1"), alarm("device-silence", "W1"), clear("device-silence", "W1")]):
        city._process(city.record(float(n), draft))
        city.stage.settle()
    incidents = city.stage._casebook.incidents.values()
    assert [piece.silent_since for one in incidents for piece in one.pieces.values()] == [0]
    assert city.stage._casebook.written.bytes() == [msgspec.msgpack.encode(one) for one in incidents]


def test_a_stage_comes_back_from_a_checkpoint_as_it_was() -> None:
    city = Timeline(Assets(gateways=GATEWAYS), LENDING)
    for n in range(30):
        draft = _drafts(n % 10, n % 5, n % 4, n, 0)
        assert draft is not None
        city._process(city.record(float(n), draft))
    saved = city.stage.snapshot()
    checkpoint = Checkpoint(ShardKey("incident", "city.signals", 0), "c", 1, 1, 7, {"cities": {CITY: saved}})
    state = decode(encode(checkpoint)).state["cities"][CITY]
    restored = IncidentStage.restore(state, LENDING, Assets(gateways=GATEWAYS))
    assert to_bytes(restored.snapshot()) == to_bytes(saved)
    assert restored.open_incidents() == city.stage.open_incidents()


def test_the_layout_of_an_incident_is_that_of_its_format_number() -> None:
    """The encoding is by position: whoever adds, drops or moves a field raises ``incident_state.FORMAT`` and this line."""
    from hashlib import blake2b

    from topologies.bursts import Area, Call
    from topologies.happening import Happening, Piece
    from topologies.incident_state import FORMAT

    names = "|".join(",".join(kind.__struct_fields__) for kind in (Happening, Piece, Area, Call))
    assert (FORMAT, blake2b(names.encode(), digest_size=8).hexdigest()) == (4, "95a700cb2b4d7a8a")


def test_what_was_not_touched_is_not_encoded_again() -> None:
    held: dict[str, list[int]] = {"a": [1]}
    kept: Touched[str] = Touched(held)
    kept.touch("a")
    first = kept.bytes()
    held["a"].append(2)  # an owner that forgets to say so, so that the test sees what is done
    assert kept.bytes() == first
    kept.touch("a")
    assert kept.bytes() == [msgspec.msgpack.encode([1, 2])]


def test_what_is_held_no_more_is_forgotten() -> None:
    held: dict[str, list[int]] = {"a": [1], "b": [2]}
    kept: Touched[str] = Touched(held)
    for name in "ab":
        kept.touch(name)
    kept.settle()
    del held["a"]
    kept.touch("a")
    assert (kept.bytes(), list(kept._kept)) == ([msgspec.msgpack.encode([2])], ["b"])
