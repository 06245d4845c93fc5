import json

from streams.kafka import LogRecord
from streams.registry import Registry
from topologies.worker_registry import applied


def record(offset, key, value):
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return LogRecord("city.registry", 0, offset, 0, key.encode(), raw, ())


def asset(asset_id="S1", city="340100"):
    return {"asset_id": asset_id, "kind": "sensor", "periods": [{"from": 0, "city": city, "lat": 31.8, "lon": 117.2}]}


EMPTY = Registry.from_assets([])


def test_the_last_value_of_an_asset_holds():
    registry = applied(EMPTY, [record(0, "S1", asset()), record(1, "S1", asset(city="340200"))])
    assert registry.at("S1", 1).city == "340200"


def test_a_tombstone_takes_an_asset_out():
    registry = applied(EMPTY, [record(0, "S1", asset()), record(1, "S2", asset("S2")), record(2, "S1", None)])
    assert "S1" not in registry and "S2" in registry


def test_the_revision_is_the_offset_behind_the_last_record_readable_or_not():
    assert applied(EMPTY, [record(3, "S1", asset()), record(9, "S1", b"{")]).revision == 10


def test_an_unreadable_value_leaves_the_asset_as_it_was():
    registry = applied(applied(EMPTY, [record(0, "S1", asset())]), [record(1, "S1", b"no asset")])
    assert registry.at("S1", 1).city == "340100"


def test_changes_in_pieces_and_at_once_give_the_same_registry():
    records = [record(0, "S1", asset()), record(1, "S2", asset("S2")), record(2, "S1", None), record(3, "S3", asset("S3"))]
    at_once = applied(EMPTY, records)
    piece_by_piece = applied(applied(EMPTY, records[:2]), records[2:])
    assert (at_once.fingerprint, at_once.revision) == (piece_by_piece.fingerprint, piece_by_piece.revision)
