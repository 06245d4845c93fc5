import errno
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from replay import bag_segments
from replay.bag import Bag, BagWriter, NoRoom
from replay.opening import open_recording
from replay.verify import Verification
from streams.batch import RawBatch
from streams.errors import Mend
from streams.records import Asset, Period

TOPIC = "city.sensor.readings"
START = 1_700_000_000_000


def batch(first: int, n: int, partition: int = 0, headers: bool = False) -> RawBatch:
    rows = range(first, first + n)
    values: list[bytes | None] = [b'{"sensor_id":"S1","ts":%d,"metric":"ph","value":7}' % (START + i * 1000) for i in rows]
    return RawBatch(
        TOPIC,
        partition,
        list(rows),
        [START + i * 1000 + 5 for i in rows],
        values,
        [b"S1"] * n,
        [[("ce_id", b"%d" % i)] if i % 2 else [] for i in rows] if headers else None,
    )


def everything(path: Path, topic: str = TOPIC, partition: int = 0) -> list[RawBatch]:
    return list(open_recording(path).read(topic, partition))


def written(folder: Path, **settings: int) -> Path:
    with BagWriter(folder / "bag", **settings) as writer:  # type: ignore[arg-type]
        writer.registry([Asset("S1", "sensor", [Period(from_=0, lat=31.8, lon=117.2)])], revision=7)
        for first in range(0, 100, 10):
            writer.write(batch(first, 10, headers=True))
        writer.write(batch(0, 3, partition=1))
        writer.close(until=START + 200_000)
    return folder / "bag"


def test_a_bag_gives_back_what_was_written(tmp_path: Path) -> None:
    read = everything(written(tmp_path))
    assert [o for one in read for o in one.offsets] == list(range(100))
    assert read[0].values[3] == batch(3, 1).values[0]
    assert read[0].keys[0] == b"S1"
    assert read[0].arrivals[:2] == [START + 5, START + 1005]


def test_headers_survive(tmp_path: Path) -> None:
    headers = everything(written(tmp_path))[0].headers
    assert headers is not None
    assert [list(one) for one in headers[:2]] == [[], [("ce_id", b"1")]]


def test_a_partition_without_headers_has_none(tmp_path: Path) -> None:
    assert everything(written(tmp_path), partition=1)[0].headers is None


def test_many_small_segments_read_like_one(tmp_path: Path) -> None:
    path = written(tmp_path, segment_rows=20)
    assert len(Bag(path).manifest.segments) == 6
    assert [o for one in everything(path) for o in one.offsets] == list(range(100))


def full_after(monkeypatch: pytest.MonkeyPatch, segments: int, more: int = 0) -> None:
    """The disk takes so many segments, of the next one a part, and then so many more: what is kept free for that."""
    write, fits = bag_segments.write_segment, iter([True] * segments + [False] + [True] * more)

    def limited(path: Path, tables: Any) -> None:
        write(path, tables)
        if not next(fits, False):
            path.write_bytes(path.read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bag_segments, "write_segment", limited)


def test_a_full_disk_leaves_a_bag_of_what_had_been_written_up_to_one_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_after(monkeypatch, 3, more=1)
    writer = BagWriter(tmp_path / "bag", segment_rows=20)
    writer.registry([Asset("S1", "sensor", [Period(from_=0)])])
    writer.write(batch(0, 45, partition=1))
    writer.write(batch(0, 30))
    writer.write(batch(30, 20))
    writer.write(batch(45, 15, partition=1))  # held, and written in what was kept free
    with pytest.raises(NoRoom, match="No space left on device; make room"):
        writer.write(batch(50, 20))
    assert writer.close_cut(START + 10**9) == START + 50_004
    found = Bag(tmp_path / "bag")
    assert found.verify() == 5
    assert [o for one in found.read(TOPIC, 0) for o in one.offsets] == list(range(50))
    assert [o for one in found.read(TOPIC, 1) for o in one.offsets] == list(range(50))
    assert (found.manifest.counts, found.manifest.until) == ({TOPIC: 100}, found.manifest.cut_ts)
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["manifest.json", "registry.jsonl", "segments"]


def test_a_bag_is_cut_where_a_partition_had_not_been_read_any_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_after(monkeypatch, 1)
    writer = BagWriter(tmp_path / "bag", segment_rows=20)
    writer.write(batch(0, 20))
    with pytest.raises(NoRoom):
        writer.write(batch(20, 20))
    assert writer.close_cut(START + 7_005) == START + 7_005
    found = Bag(tmp_path / "bag")
    assert [o for one in found.read(TOPIC, 0) for o in one.offsets] == list(range(8))
    with pytest.raises(Mend, match="was cut where the disk was full"):
        Verification(found, [])


def test_a_full_disk_in_front_of_the_first_record_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_after(monkeypatch, 0)
    writer = BagWriter(tmp_path / "bag")
    writer.write(batch(0, 20))
    with pytest.raises(NoRoom):
        writer.close()
    assert writer.close_cut(START + 10**9) is None
    assert not list(tmp_path.iterdir())


def test_the_manifest_counts_and_spans(tmp_path: Path) -> None:
    manifest = Bag(written(tmp_path)).manifest
    assert manifest.counts == {TOPIC: 103}
    assert (manifest.first_arrival_ts, manifest.last_arrival_ts) == (START + 5, START + 99_005)
    assert (manifest.first_event_ts, manifest.last_event_ts) == (START, START + 99_000)
    assert manifest.until == START + 200_000


def test_the_registry_snapshot_comes_back(tmp_path: Path) -> None:
    bag = Bag(written(tmp_path))
    assert [asset.asset_id for asset in bag.registry()] == ["S1"]
    assert bag.manifest.registry_revision == 7


def test_two_bags_of_the_same_records_have_the_same_bytes(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_hashes_are_verified(tmp_path: Path) -> None:
    assert Bag(written(tmp_path)).verify() == 3


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = written(tmp_path)
    segment = next((path / "segments").iterdir())
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(Mend, match="SHA-256"):
        Bag(path).verify()


def test_a_truncated_segment_is_found_on_opening(tmp_path: Path) -> None:
    path = written(tmp_path)
    segment = next((path / "segments").iterdir())
    segment.write_bytes(segment.read_bytes()[:-10])
    with pytest.raises(Mend, match="truncated"):
        open_recording(path)


def test_a_missing_segment_is_found_on_opening(tmp_path: Path) -> None:
    path = written(tmp_path)
    next((path / "segments").iterdir()).unlink()
    with pytest.raises(Mend, match="missing"):
        open_recording(path)


def test_a_manifest_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    (path / "manifest.json").write_text('{"format": 1, "seg')
    with pytest.raises(Mend, match=r"manifest\.json"):
        open_recording(path)


def test_a_manifest_cannot_point_outside_of_its_bag(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace("segments/city", "../../segments/city"))
    with pytest.raises(Mend, match="outside"):
        open_recording(path)


def test_a_newer_format_asks_for_a_newer_citywatch(tmp_path: Path) -> None:
    path = written(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(Mend, match="newer"):
        open_recording(path)


def test_an_unfinished_bag_is_called_unfinished(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.write(batch(0, 1))
    with pytest.raises(Mend, match="not finished"):
        open_recording(tmp_path / "bag")


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as writer:
        writer.write(batch(0, 1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_not_written_over_another(tmp_path: Path) -> None:
    with pytest.raises(Mend, match="there already"):
        BagWriter(written(tmp_path))


def test_any_parquet_reader_reads_a_segment(tmp_path: Path) -> None:
    table = pq.read_table(next((written(tmp_path) / "segments").glob("*-0000-*")))
    assert table.column("topic")[0].as_py() == TOPIC
    assert str(table.schema.field("arrival_ts").type) == "timestamp[ms, tz=UTC]"


# --- directories of JSON lines ---------------------------------------------------------------------------------------------


def lines(folder: Path, name: str, *rows: object) -> Path:
    folder.mkdir(exist_ok=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode() + b"\n"
    path = folder / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return folder


def reading(ts: object, sensor: str = "S1", **more: object) -> dict[str, object]:
    return {"sensor_id": sensor, "ts": ts, "metric": "ph", "value": 7.0, **more}


@pytest.mark.parametrize("name", ["sensor.readings.jsonl", "city.sensor.readings.jsonl", "city.sensor.readings.jsonl.gz"])
def test_a_file_is_a_topic_by_its_name(tmp_path: Path, name: str) -> None:
    recording = open_recording(lines(tmp_path / "d", name, reading(START)))
    assert recording.partitions() == [(TOPIC, 0)]


def test_lines_are_sorted_by_arrival(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", reading(START + 2), reading(START), reading(START + 1))
    read = everything(folder)[0]
    assert read.arrivals == [START, START + 1, START + 2]
    assert read.offsets == [0, 1, 2]


def test_arrival_beside_the_fields_wins_over_event_time(tmp_path: Path) -> None:
    folder = lines(
        tmp_path / "d", "sensor.readings.jsonl", reading(START, arrival_ts="2023-11-14T22:13:29Z"), reading(START + 1)
    )
    assert everything(folder)[0].arrivals == [START + 1, START + 9000]


def test_equal_arrivals_keep_their_order(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", *(reading(START, f"S{i}") for i in range(9)))
    assert everything(folder)[0].keys == [b"S%d" % i for i in range(9)]


def test_a_line_that_is_not_json_arrives_with_the_line_before(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", reading(START), "{broken", reading(START + 5))
    read = everything(folder)[0]
    assert read.values[1] == b"{broken"
    assert read.arrivals == [START, START, START + 5]


def test_an_event_time_in_nanoseconds_is_no_arrival(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", reading(START), reading(START * 10**6))
    assert everything(folder)[0].arrivals == [START, START]


def test_a_broken_first_line_arrives_with_the_first_that_has_a_time(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", "oops", reading(START))
    assert everything(folder)[0].arrivals == [START, START]


def test_an_array_arrives_with_its_last_reading_and_bears_its_gateway(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", [reading(START, "A"), reading(START + 9, "B")])
    lines(folder, "registry.jsonl", {"asset_id": "A", "kind": "sensor", "periods": [{"from": 0, "gateway": "GW1"}]})
    read = everything(folder)[0]
    assert (read.arrivals, read.keys) == ([START + 9], [b"GW1"])


def test_one_entity_stays_in_one_partition(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", *(reading(START + i, f"S{i % 7}") for i in range(70)))
    recording = open_recording(folder, partitions=4)
    homes = {key: p for _, p in recording.partitions() for one in recording.read(TOPIC, p) for key in one.keys}
    assert len(homes) == 7
    assert sum(len(one) for _, p in recording.partitions() for one in recording.read(TOPIC, p)) == 70


def test_a_broken_registry_line_is_named_with_its_number(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl", reading(START))
    lines(folder, "registry.jsonl", {"asset_id": "A", "kind": "sensor", "periods": []}, {"kind": "sensor"})
    with pytest.raises(Mend, match=r"registry\.jsonl:2"):
        open_recording(folder)


def test_a_directory_without_records_says_how_to_name_them(tmp_path: Path) -> None:
    with pytest.raises(Mend, match=r"sensor\.readings\.jsonl"):
        open_recording(tmp_path)


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    folder = lines(tmp_path / "d", "sensor.readings.jsonl.gz", *(reading(START + i) for i in range(500)))
    file = folder / "sensor.readings.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Mend, match=r"readings\.jsonl\.gz"):
        open_recording(folder)
