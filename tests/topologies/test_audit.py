"""The outsider's account: what stands in the topics, however often it stands there."""

from __future__ import annotations

import orjson

from streams.kafka import LogRecord
from topologies.audit import Audit, quantile, rows_of


def log(base: str, value: object, offset: int = 0) -> LogRecord:
    body = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return LogRecord(f"city.{base}", 0, offset, 0, None, body, ())


def incident(revision: int = 1, event: str = "opened", title: str = "t", stream: str = "sensor") -> dict[str, object]:
    evidence = {"stream": stream, "entity": "e", "ts": 1, "source": "s/0/1", "rule": "r", "level": 3}
    return {
        "schema_version": 1,
        "incident_id": "340100-1",
        "revision": revision,
        "event": event,
        "hazard": "GAS-01",
        "category": "gas",
        "level": 3,
        "colour": "yellow",
        "status": "open",
        "title": title,
        "city": "340100",
        "grid_code": None,
        "location": None,
        "radius_m": 1.0,
        "first_event_ts": 1,
        "opened_ts": 1,
        "updated_ts": 1_000,
        "evidence": [evidence],
        "rule": {"name": "r", "version": "1", "reason": "x"},
        "priority": {"score": 1, "because": []},
        "dispatch": {"lead": "gas"},
        "counts": {"signals": 1, "sources": 1},
        "historical": False,
        "exercise": False,
    }


def tick(outcomes: dict[str, int], topic: str = "city.sensor.readings") -> dict[str, object]:
    source = {"topic": topic, "partition": 0, "offset": sum(outcomes.values())}
    return {"schema_version": 1, "control": "tick", "city": "340100", "arrival_ts": 1, "source": source, "outcomes": outcomes}


def test_an_array_counts_as_its_elements_and_anything_else_as_one() -> None:
    assert [rows_of(v) for v in (b'{"a":1}', b"[1,2,3]", b" [1]", b"[", b"[]", None, b"")] == [1, 3, 1, 1, 1, 1, 1]


def test_a_revision_is_news_once() -> None:
    audit = Audit()
    assert audit.take(log("incidents", incident())) is not None
    assert audit.take(log("incidents", incident())) is None
    assert (audit.revisions, audit.repeated, audit.conflicts) == (1, 1, [])


def test_two_bodies_under_one_revision_are_a_conflict() -> None:
    audit = Audit()
    audit.take(log("incidents", incident()))
    audit.take(log("incidents", incident(title="other")))
    assert audit.conflicts == ["340100-1 revision 1"]


def test_latency_is_what_a_subscriber_sees_of_raising_revisions() -> None:
    audit = Audit()
    audit.take(log("incidents", incident()), received_ms=1_040.0)
    audit.take(log("incidents", incident(2, "resolved")), received_ms=9_000.0)
    assert audit.latency() == {"p50": 40.0, "p99": 40.0}


def test_accounts_settle_when_they_add_up_to_the_rows() -> None:
    audit = Audit()
    audit.take(log("sensor.readings", b"[1,2]"))
    audit.take(log("sensor.readings", b"{}"))
    assert not audit.settled
    audit.take(log("signals", tick({"processed": 2, "dead_letter": 1})))
    assert audit.settled and audit.outcomes["dead_letter"] == 1


def test_an_older_account_that_is_repeated_changes_nothing() -> None:
    audit = Audit()
    audit.take(log("signals", tick({"processed": 9})))
    audit.take(log("signals", tick({"processed": 4})))
    assert audit.outcomes["processed"] == 9


def test_internal_groups_are_not_counted_as_input() -> None:
    audit = Audit()
    audit.take(log("sensor.groups", b"{}"))
    audit.take(log("signals", tick({"processed": 1}, "city.sensor.groups")))
    assert audit.summary()["records"] == 0 and audit.outcomes["processed"] == 0


def test_an_incident_counts_under_every_stream_of_its_evidence() -> None:
    audit = Audit()
    audit.take(log("incidents", incident(stream="hotline")))
    assert audit.by_stream() == {"sensor": 0, "vehicle": 0, "video": 0, "hotline": 1}


def test_quantiles_are_nearest_ranks() -> None:
    assert [quantile(list(range(1, 101)), q) for q in (0.5, 0.99)] == [50, 99]


def test_an_array_counts_by_its_elements_only_where_the_stream_may_send_arrays_and_somebody_reads_it() -> None:
    large = b"[" + b"1," * 600_000 + b"1]"
    assert [rows_of(b"[1,2]", "hotline"), rows_of(large), rows_of(b'[NaN, {"a": 1}]'), rows_of(b'["\xff", 2]')] == [1, 1, 2, 2]
