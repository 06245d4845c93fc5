"""Recordings through the real stages: order, cutting, groups, registry changes, and the same answer again by verify."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detectors.rulebook import RuleBook
from replay.bag import BagWriter
from replay.diff import compare, diff
from replay.opening import open_recording
from replay.run import Run, run
from replay.stages import StageSettings, shard
from replay.verify import Verified, verify
from streams.batch import RawBatch
from streams.codec import encode
from streams.errors import Mend
from streams.records import Asset, Control, Incident, Period, Signal
from streams.registry import Registry

START = 1_700_000_000_000
READINGS, FIXES = "city.sensor.readings", "city.vehicle.positions"


@pytest.fixture(scope="module")
def rules() -> RuleBook:
    return RuleBook.default()


def well(sensor: str = "GAS-1", group: str | None = None) -> Asset:
    period = Period(from_=0, lat=31.82, lon=117.22, city="340100", metric="ch4", unit="%LEL", interval_s=10, group=group)
    return Asset(sensor, "sensor", [period])


def reading(at_s: float, value: float, sensor: str = "GAS-1", **more: Any) -> dict[str, Any]:
    return {"sensor_id": sensor, "ts": START + round(at_s * 1000), "metric": "ch4", "value": value, "unit": "%LEL", **more}


def gas(minutes: int = 40, leak_from_s: int = 600, leak_to_s: int = 1500) -> list[dict[str, Any]]:
    """A well that is quiet, then at 30 %LEL, then quiet."""
    return [reading(t, 30.0 if leak_from_s <= t < leak_to_s else 0.5 + t % 7 / 100) for t in range(0, minutes * 60, 10)]


def folder(path: Path, rows: list[dict[str, Any]], assets: list[Asset] | None = None, **files: list[dict[str, Any]]) -> Path:
    path.mkdir(parents=True)
    (path / "sensor.readings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "registry.jsonl").write_bytes(b"".join(encode(asset) + b"\n" for asset in assets or [well()]))
    for name, lines in files.items():
        (path / f"{name.replace('_', '.')}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    return path


def told(path: Path, rules: RuleBook, **options: Any) -> list[bytes]:
    partitions = options.pop("partitions", 1)
    one = Run(open_recording(path, partitions=partitions), rules, **options)
    return [encode(incident) for _, incidents in one.revisions() for incident in incidents]


def test_a_leak_becomes_an_incident_that_ends(tmp_path: Path, rules: RuleBook) -> None:
    summary, _ = run(open_recording(folder(tmp_path / "in", gas(minutes=90))), rules, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "incidents.jsonl").read_text().splitlines()]
    leak = [line for line in lines if line["category"] == "gas"]
    assert leak[0]["event"] == "opened"
    assert leak[-1]["status"] == "resolved"
    assert START + 600_000 <= leak[0]["opened_ts"] <= START + 700_000
    assert summary.revisions == len(lines)


def test_outcomes_add_up_to_the_readings(tmp_path: Path, rules: RuleBook) -> None:
    path = folder(tmp_path / "in", gas())
    with (path / "sensor.readings.jsonl").open("a") as file:
        file.write('{broken\n{"sensor_id":"GAS-1"}\n' + json.dumps(gas()[0]) + "\n")
    summary, _ = run(open_recording(path), rules, tmp_path / "out")
    assert sum(summary.total().values()) == sum(summary.records.values()) == 243
    assert summary.total()["dead_letter"] == 2


def test_two_runs_write_the_same_bytes(tmp_path: Path, rules: RuleBook) -> None:
    path = folder(tmp_path / "in", gas())
    for out in ("a", "b"):
        run(open_recording(path), rules, tmp_path / out)
    for name in ("incidents.jsonl", "incidents.parquet", "signals.parquet", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("chunk_rows", [1, 7, 100])
def test_the_size_of_chunks_changes_nothing(tmp_path: Path, rules: RuleBook, chunk_rows: int) -> None:
    calls = [
        {
            "call_id": f"C{i}",
            "ts": START + 620_000 + i * 1000,
            "line": "12345",
            "text": "煤气味很大",
            "lat": 31.8201,
            "lon": 117.2201,
        }
        for i in range(4)
    ]
    path = folder(tmp_path / "in", gas(), hotline_calls=calls)
    assert told(path, rules, chunk_rows=chunk_rows) == told(path, rules)


def test_a_bag_and_the_lines_it_was_made_of_give_the_same(tmp_path: Path, rules: RuleBook) -> None:
    path = folder(tmp_path / "in", gas())
    recording = open_recording(path)
    with BagWriter(tmp_path / "bag") as writer:
        writer.registry(recording.registry())
        for home in recording.partitions():
            for batch in recording.read(*home):
                writer.write(batch)
    assert told(tmp_path / "bag", rules) == told(path, rules)


def test_time_goes_on_after_the_last_record(tmp_path: Path, rules: RuleBook) -> None:
    rows = gas(minutes=20)  # ends in the middle of the leak
    path = folder(tmp_path / "in", rows)
    closed = [json.loads(body)["event"] for body in told(path, rules, drain_s=86_400.0)]
    assert len(closed) > len(told(path, rules))


def test_grouped_readings_reach_the_group_stage(tmp_path: Path, rules: RuleBook) -> None:
    assets = [well("A", "WELL-1"), well("B", "WELL-1"), well("C")]
    rows = [reading(t, 0.5, sensor) for t in range(0, 300, 10) for sensor in ("A", "B", "C")]
    one = Run(open_recording(folder(tmp_path / "in", rows, assets)), rules)
    assert list(one.revisions())
    assert sum(one.summary.outcomes["city.sensor.groups"].values()) == 60


def test_a_change_of_the_registry_holds_from_its_own_arrival(tmp_path: Path, rules: RuleBook) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(RawBatch("city.registry", 0, [0], [START + 300_000], [encode(well())], [b"GAS-1"]))
        rows = gas()
        values: list[bytes | None] = [json.dumps(row).encode() for row in rows]
        writer.write(RawBatch(READINGS, 0, list(range(len(rows))), [row["ts"] for row in rows], values, [b"GAS-1"] * len(rows)))
    one = Run(open_recording(tmp_path / "bag"), rules)
    incidents = [incident for _, found in one.revisions() for incident in found]
    assert one.summary.controls["registry"] >= 1
    assert next(one for one in incidents if one.category == "gas").location is not None


def test_a_mute_in_the_recording_keeps_its_signals_from_becoming_incidents(tmp_path: Path, rules: RuleBook) -> None:
    mute = {
        "mute_id": "M1", "kind": "silence", "matchers": {"category": "gas"}, "from": START, "to": START + 7_200_000,
        "author": "t",
        "arrival_ts": START,
    }  # fmt: skip
    path = folder(tmp_path / "in", gas(), mutes=[mute])
    assert not [body for body in told(path, rules) if json.loads(body)["category"] == "gas"]


# --- verify: what a worker would have left in city.signals and city.incidents ------------------------------------------------


def live_bag(path: Path, rules: RuleBook, *, spoil: str = "", committed: int | None = None) -> Path:
    """A bag with inputs, signals and incidents, as a recorder would have taken it from a worker's topics."""
    source = open_recording(folder(path.with_name(path.name + "-in"), gas()))
    one = _Listening(source, rules)
    incidents = [incident for _, found in one.revisions() for incident in found]
    signals = [encode(record) for record in one.said]
    bodies = [encode(incident) for incident in incidents]
    first = next(i for i, record in enumerate(one.said) if isinstance(record, Signal))
    if spoil == "lost signal":
        del signals[first]
    elif spoil == "other value":
        signals[first] = signals[first].replace(b'"value":30.0', b'"value":31.0')
    elif spoil == "lost revision":
        del bodies[-1]
    elif spoil == "repeated":
        signals.insert(first + 1, signals[first])
        bodies.append(bodies[-1])
    with BagWriter(path, rule_fingerprint=rules.fingerprint) as writer:
        writer.registry(source.registry())
        if committed is not None:
            writer.manifest.committed["city.signals/0"] = committed
        for home in source.partitions():
            for batch in source.read(*home):
                writer.write(batch)
        for topic, values in (("city.signals", signals), ("city.incidents", bodies)):
            given: list[bytes | None] = list(values)
            n = len(given)
            writer.write(RawBatch(topic, 0, list(range(n)), [START] * n, given, [b"k"] * n))
    return path


class _Listening(Run):
    """A run that keeps what went into the incident stage, in its order."""

    def revisions(self) -> Iterator[tuple[list[Signal], list[Incident]]]:
        self.said: list[Signal | Control] = []
        process = self._cities.process

        def listen(records: Any) -> list[Incident]:
            self.said += records
            return process(records)

        self._cities.process = listen  # type: ignore[method-assign]
        return super().revisions()


def verified(tmp_path: Path, rules: RuleBook, spoil: str = "") -> Verified:
    return verify(open_recording(live_bag(tmp_path / "bag", rules, spoil=spoil)), [rules])


def test_a_faithful_recording_verifies_without_a_difference(tmp_path: Path, rules: RuleBook) -> None:
    found = verified(tmp_path, rules)
    assert found.differences == []
    assert found.signals > 0
    assert found.incidents > 0


def test_repetitions_are_no_difference(tmp_path: Path, rules: RuleBook) -> None:
    found = verified(tmp_path, rules, "repeated")
    assert (found.same, found.repeated) == (True, 1)


@pytest.mark.parametrize(
    ("spoil", "kind", "what"),
    [("lost signal", "missing", "signal"), ("other value", "different", "signal"), ("lost revision", "missing", "incident")],
)
def test_what_was_lost_or_altered_is_listed(tmp_path: Path, rules: RuleBook, spoil: str, kind: str, what: str) -> None:
    found = verified(tmp_path, rules, spoil)
    assert (kind, what) in {(one.kind, one.what) for one in found.differences}


def test_what_the_worker_had_yet_to_decide_is_not_lost(tmp_path: Path, rules: RuleBook) -> None:
    """A worker ends between two of its stages: signals are in the log that nobody has made incidents of yet."""
    early = verify(open_recording(live_bag(tmp_path / "early", rules, spoil="lost revision", committed=0)), [rules])
    assert (early.same, early.beyond) == (True, 1)
    late = verify(open_recording(live_bag(tmp_path / "late", rules, spoil="lost revision", committed=10**6)), [rules])
    assert [(one.kind, one.what) for one in late.differences] == [("missing", "incident")]


def test_an_altered_value_is_named_with_both_sides(tmp_path: Path, rules: RuleBook) -> None:
    difference = verified(tmp_path, rules, "other value").differences[0]
    assert difference.fields["value"] == (31.0, 30.0)


def test_a_recording_without_decisions_cannot_be_verified(tmp_path: Path, rules: RuleBook) -> None:
    with pytest.raises(Mend, match=r"city\.signals"):
        verify(open_recording(folder(tmp_path / "in", gas())), [rules])


@pytest.mark.parametrize("changes", [0, 1, 2, 3])
@pytest.mark.parametrize("given_first", [True, False])
def test_rules_that_change_and_change_back_before_the_first_record_are_followed(
    tmp_path: Path, rules: RuleBook, changes: int, given_first: bool
) -> None:
    """Whichever of them the group began with."""
    without = RuleBook.of([rule for rule in rules if rule.category != "gas"], rules.families)
    source = open_recording(folder(tmp_path / "in", gas()))
    one = shard((READINGS, 0), "city.", 1, rules, Registry.from_assets(source.registry()), StageSettings())
    said: list[Signal | Control] = []
    for number in range(changes):
        said += one.switch(rules=rules if number % 2 else without).signals
    with BagWriter(tmp_path / "bag") as writer:
        writer.registry(source.registry())
        for batch in source.read(READINGS, 0):
            writer.write(batch)
            said += one.process(batch).signals
        values: list[bytes | None] = [encode(record) for record in said]
        n = len(values)
        writer.write(RawBatch("city.signals", 0, list(range(n)), [START] * n, values, [b"k"] * n))
    found = verify(open_recording(tmp_path / "bag"), [rules, without] if given_first else [without, rules])
    assert [one for one in found.differences if one.what == "signal"] == []
    assert any(isinstance(record, Signal) and record.category == "gas" for record in said) == (changes in (0, 2))


def test_other_rules_than_the_recorded_ones_are_refused(tmp_path: Path, rules: RuleBook) -> None:
    fewer = RuleBook.of([rule for rule in rules if rule.category == "gas"], rules.families)
    with pytest.raises(Mend, match="decided with rules"):
        verify(open_recording(live_bag(tmp_path / "bag", rules)), [fewer])


# --- diff -------------------------------------------------------------------------------------------------------------------


def test_a_rule_set_does_not_differ_from_itself(tmp_path: Path, rules: RuleBook) -> None:
    found = diff(open_recording(folder(tmp_path / "in", gas())), rules, rules)
    assert not found.differs
    assert found.unchanged > 0


def test_without_the_gas_rules_the_leak_vanishes(tmp_path: Path, rules: RuleBook) -> None:
    fewer = RuleBook.of([rule for rule in rules if rule.category != "gas"], rules.families)
    found = diff(open_recording(folder(tmp_path / "in", gas())), rules, fewer)
    assert {one.category for one in found.vanished} == {"gas"}


def test_the_same_happening_under_another_id_is_earlier_not_new(tmp_path: Path, rules: RuleBook) -> None:
    _, incidents = run(open_recording(folder(tmp_path / "in", gas())), rules, tmp_path / "out")
    leak = [one for one in incidents if one.category == "gas"]
    import msgspec

    moved = [msgspec.structs.replace(one, incident_id="other", opened_ts=one.opened_ts - 5000) for one in leak]
    found = compare(leak, moved)
    assert (len(found.earlier), found.appeared, found.vanished) == (1, [], [])
    assert found.earlier[0].by_s == -5.0
