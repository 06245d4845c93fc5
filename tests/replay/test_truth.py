from pathlib import Path
from typing import Any

import pytest

from replay.truth import Hazard, judge, read_truth
from streams.errors import Mend
from streams.records import Counts, Dispatch, Evidence, Incident, Point, Priority, RuleReason

START = 1_700_000_000_000
LAT, LON = 31.82, 117.23
M = 1 / 111_195  # degrees of latitude per metre


def hazard(name: str = "H1", **other: Any) -> Hazard:
    given = {"category": "gas", "lat": LAT, "lon": LON, "radius_m": 50.0, "from_ts": START, "to_ts": START + 60_000}
    return Hazard(hazard_id=name, **{**given, **other})


def incident(name: str = "I1", opened: int = START + 30_000, north_m: float = 0.0, **other: Any) -> Incident:
    given: dict[str, Any] = {
        "incident_id": name,
        "revision": 1,
        "event": "opened",
        "hazard": "GAS-03",
        "category": "gas",
        "level": 2,
        "colour": "orange",
        "status": "open",
        "title": "t",
        "city": "340100",
        "grid_code": None,
        "location": Point((LON, LAT + north_m * M)),
        "radius_m": 10.0,
        "first_event_ts": opened,
        "opened_ts": opened,
        "updated_ts": opened,
        "evidence": [Evidence(stream="sensor", entity="G1", ts=opened, source="t/0/0", rule="r", level=2)],
        "rule": RuleReason(name="r", version="1", reason=""),
        "priority": Priority(score=1, because=[]),
        "dispatch": Dispatch(lead="d"),
        "counts": Counts(signals=1, sources=1),
        "historical": False,
        "exercise": False,
    }
    return Incident(**{**given, **other})


def test_an_incident_at_the_place_and_time_finds_the_hazard_with_its_delay() -> None:
    verdict = judge([hazard()], [incident()])
    assert (verdict.found, verdict.false, verdict.hazards_found[0].delay_s) == (1, 0, 30.0)


@pytest.mark.parametrize(("north_m", "found"), [(149, 1), (151, 0)])
def test_the_place_may_be_a_hundred_metres_off(north_m: float, found: int) -> None:
    assert judge([hazard()], [incident(north_m=north_m)]).found == found


@pytest.mark.parametrize(("after", "found"), [(-1, 0), (0, 1), (660_000, 1), (660_001, 0)])
def test_it_may_open_from_the_beginning_to_ten_minutes_after_the_end(after: int, found: int) -> None:
    assert judge([hazard()], [incident(opened=START + after)]).found == found


def test_another_category_is_a_false_incident() -> None:
    verdict = judge([hazard()], [incident(category="water")])
    assert (verdict.missed, verdict.false) == (["H1"], 1)


def test_a_second_incident_of_one_hazard_is_a_duplicate_not_false() -> None:
    verdict = judge([hazard()], [incident("I1"), incident("I2", opened=START + 40_000)])
    assert (verdict.found, verdict.duplicates, verdict.false) == (1, ["I2"], 0)


def test_two_hazards_at_one_place_take_an_incident_each() -> None:
    verdict = judge([hazard("H1"), hazard("H2")], [incident("I1"), incident("I2")])
    assert (verdict.found, verdict.duplicate) == (2, 0)


def test_one_incident_may_find_two_hazards() -> None:
    verdict = judge([hazard("H1"), hazard("H2")], [incident("I1")])
    assert (verdict.found, verdict.duplicate, verdict.false) == (2, 0, 0)


def test_revisions_of_one_incident_are_one_incident() -> None:
    verdict = judge([hazard()], [incident(), incident(revision=2, event="updated")])
    assert (verdict.found, verdict.duplicate, verdict.incidents) == (1, 0, 1)


def test_a_merged_incident_speaks_for_the_one_it_went_into() -> None:
    far = incident("I2", north_m=5000)
    merged = incident("I1", status="merged", merged_into="I2")
    verdict = judge([hazard()], [incident("I1"), far, merged])
    assert (verdict.found, verdict.duplicate, verdict.false) == (1, 0, 0)


def test_historical_and_exercise_incidents_are_never_false() -> None:
    assert judge([], [incident(historical=True), incident("I2", exercise=True)]).false == 0


def test_without_a_place_the_entities_decide() -> None:
    truth = [hazard("H1", lat=None, lon=None, entities=["G1"]), hazard("H2", lat=None, lon=None, entities=["G2"])]
    assert judge(truth, [incident()]).missed == ["H2"]


def test_precision_and_recall() -> None:
    verdict = judge(
        [hazard("H1"), hazard("H2", from_ts=START + 10**9, to_ts=START + 10**9)], [incident(), incident("I2", category="fire")]
    )
    assert (verdict.recall, verdict.precision) == (0.5, 0.5)


def test_truth_as_lines_and_as_a_table_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "truth.jsonl").write_text(
        '{"hazard_id":"H1","category":"gas","lat":31.8,"lon":117.2,"radius_m":50,"from_ts":"2023-11-14T22:13:20Z",'
        '"to_ts":1700000060000,"level":2,"entities":["A","B"],"note":"n"}\n'
    )
    (tmp_path / "labels.csv").write_text(
        "hazard_id,category,lat,lon,radius_m,from_ts,to_ts,level,entities,note\nH1,gas,31.8,117.2,50,1700000000000,2023-11-14T22:14:20Z,2,A;B,n\n"
    )
    assert read_truth(tmp_path / "truth.jsonl") == read_truth(tmp_path / "labels.csv")


@pytest.mark.parametrize("line", ["{", '{"hazard_id":"H1"}', '{"hazard_id":"H","category":"gas","from_ts":"then","to_ts":1}'])
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "truth.jsonl").write_text('{"hazard_id":"H0","category":"gas","from_ts":1,"to_ts":2}\n' + line + "\n")
    with pytest.raises(Mend, match=r"truth\.jsonl:2"):
        read_truth(tmp_path / "truth.jsonl")
