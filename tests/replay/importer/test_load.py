"""Imports of small tables that the tests write themselves."""

import gzip
import io
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest

from replay.importer.load import Importer, Summary
from replay.importer.mapping import load, parse, shipped
from replay.opening import open_recording
from streams.errors import Mend

BASE = """
name = "t"
about = "t"
[source]
format = "csv"
{source}
[time]
columns = ["time"]
{time}
{more}
[[readings]]
sensor = "S"
metric = "ph"
column = "v"
"""


def run(folder: Path, mapping: str, *files: Path) -> tuple[Summary, list[dict[str, Any]]]:
    importer = Importer(parse(mapping.encode(), "t.toml"))
    summary = importer.read(list(files))
    importer.to_bag(folder / "out.bag")
    recording = open_recording(folder / "out.bag")
    rows = [
        msgspec.json.decode(value)
        for topic, partition in recording.partitions()
        for batch in recording.read(topic, partition)
        for value in batch.values
        if value is not None
    ]
    return summary, rows


def table(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def simple(
    folder: Path, text: str, *, source: str = "", time: str = "", more: str = ""
) -> tuple[Summary, list[dict[str, Any]]]:
    return run(folder, BASE.format(source=source, time=time, more=more), table(folder, text))


def test_a_row_becomes_a_reading(tmp_path: Path) -> None:
    _, rows = simple(tmp_path, "time,v\n2024-05-01 08:00:00,7.2\n", time='zone = "+08:00"')
    assert rows == [{"sensor_id": "S", "ts": 1714521600000, "metric": "ph", "value": 7.2}]


def test_every_row_is_used_or_skipped_for_a_reason(tmp_path: Path) -> None:
    text = "time,v\n2024-05-01,1\n2024-05-02\n2024-05-03,2,3\nyesterday,4\n2024-05-05,x\n2024-05-06,NA\n,7\n"
    summary, rows = simple(tmp_path, text)
    assert summary.rows == summary.rows_used + sum(summary.rows_skipped.values()) == 7
    assert dict(summary.rows_skipped) == {"short_row": 1, "long_row": 1, "time_unreadable": 1, "no_value": 2, "time_missing": 1}
    assert dict(summary.values_skipped) == {"not_a_number": 1, "missing": 1}
    assert len(rows) == 1


def test_a_trailing_delimiter_is_not_a_column(tmp_path: Path) -> None:
    summary, _ = simple(tmp_path, "time,v,\n2024-05-01,1\n2024-05-02,2,\n")
    assert summary.rows_used == 2


def test_lines_before_the_header_are_passed_over(tmp_path: Path) -> None:
    assert simple(tmp_path, "logger 7\ntime,v\n2024-05-01,1\n", source="skip_lines = 1")[0].rows_used == 1


def test_a_decimal_comma_is_read(tmp_path: Path) -> None:
    _, rows = simple(tmp_path, "time;v\n2024-05-01;7,25\n", source='delimiter = ";"\ndecimal = ","')
    assert rows[0]["value"] == 7.25


def test_rows_of_several_files_are_sorted_by_time(tmp_path: Path) -> None:
    a, b = table(tmp_path, "time,v\n2024-05-02,2\n", "a.csv"), table(tmp_path, "time,v\n2024-05-01,1\n", "b.csv")
    _, rows = run(tmp_path, BASE.format(source="", time="", more=""), a, b)
    assert [row["value"] for row in rows] == [1.0, 2.0]


def test_the_hour_that_exists_twice_is_told_apart_by_order(tmp_path: Path) -> None:
    text = "time,v\n" + "".join(f"2021-10-31 {hour},0\n" for hour in ("01:00", "02:00", "02:00", "03:00"))
    _, rows = simple(tmp_path, text, time='zone = "Europe/Rome"')
    assert [b["ts"] - a["ts"] for a, b in pairwise(rows)] == [3_600_000] * 3


def test_minutes_of_the_second_hour_follow_those_of_the_first(tmp_path: Path) -> None:
    hours = ("02:00", "02:30", "02:00", "02:30", "03:00")
    text = "time,v\n" + "".join(f"2021-10-31 {hour},0\n" for hour in hours)
    _, rows = simple(tmp_path, text, time='zone = "Europe/Rome"')
    assert [b["ts"] - a["ts"] for a, b in pairwise(rows)] == [1_800_000] * 4


@pytest.mark.parametrize(("fold", "hour"), [("first", 0), ("second", 1)])
def test_fold_can_be_said(tmp_path: Path, fold: str, hour: int) -> None:
    _, rows = simple(tmp_path, "time,v\n2021-10-31 02:30,0\n", time=f'zone = "Europe/Rome"\nfold = "{fold}"')
    assert rows[0]["ts"] == 1635640200000 + hour * 3_600_000


def test_the_hour_that_does_not_exist_is_skipped_by_name(tmp_path: Path) -> None:
    summary, _ = simple(tmp_path, "time,v\n2021-03-28 01:30,0\n2021-03-28 02:30,0\n", time='zone = "Europe/Rome"')
    assert dict(summary.rows_skipped) == {"nonexistent_time": 1}


def test_a_swapped_day_and_month_is_put_right_by_the_date_in_the_name(tmp_path: Path) -> None:
    time = 'formats = ["%Y-%m-%d %H:%M", "%Y-%d-%m %H:%M"]\n'
    time += 'agrees = { pattern = "\\\\d{4}-\\\\d\\\\d-\\\\d\\\\d", format = "%Y-%m-%d" }'
    path = table(tmp_path, "time,v\n2022-11-04 08:00,1\n2022-05-05 08:00,2\n", "run_2022-04-11.csv")
    summary, rows = run(tmp_path, BASE.format(source="", time=time, more=""), path)
    assert rows[0]["ts"] == 1649664000000
    assert dict(summary.rows_skipped) == {"time_disagrees": 1}


def test_several_columns_make_one_time(tmp_path: Path) -> None:
    mapping = BASE.replace('["time"]', '["y", "m", "d", "h"]').format(source="", time='formats = ["%Y %m %d %H"]', more="")
    _, rows = run(tmp_path, mapping, table(tmp_path, "y,m,d,h,v\n2024,5,1,3,1\n"))
    assert rows[0]["ts"] == 1714532400000


@pytest.mark.parametrize(("form", "cell"), [("epoch_s", "1714521600.250"), ("epoch_ms", "1714521600250")])
def test_epochs_are_read(tmp_path: Path, form: str, cell: str) -> None:
    _, rows = simple(tmp_path, f"time,v\n{cell},1\n", time=f'formats = ["{form}"]')
    assert rows[0]["ts"] == 1714521600250


def test_a_counter_gives_differences(tmp_path: Path) -> None:
    text = "time,v\n2024-05-01 00:00,10\n2024-05-01 01:00,14\n2024-05-01 01:30,15\n2024-05-01 02:00,3\n"
    mapping = BASE.format(source="", time="", more="") + "counter = true\nper_s = 3600\n"
    summary, rows = run(tmp_path, mapping, table(tmp_path, text))
    assert [row["value"] for row in rows] == [4.0, 2.0]
    assert dict(summary.values_skipped) == {"counter_first": 1, "counter_reset": 1}


def test_a_counter_can_be_divided_by_another(tmp_path: Path) -> None:
    text = "time,v,w\n2024-05-01 00:00,100,1\n2024-05-01 01:00,220,3\n2024-05-01 02:00,220,3\n"
    mapping = BASE.format(source="", time="", more="") + 'counter = true\nper_counter = "w"\n'
    summary, rows = run(tmp_path, mapping, table(tmp_path, text))
    assert [row["value"] for row in rows] == [60.0]
    assert summary.values_skipped["counter_at_rest"] == 1


def test_distance_down_to_the_water_becomes_stage(tmp_path: Path) -> None:
    mapping = BASE.format(source="", time="", more="") + "scale = -0.01\noffset = 5.0\n"
    _, rows = run(tmp_path, mapping, table(tmp_path, "time,v\n2024-05-01,370\n"))
    assert rows[0]["value"] == pytest.approx(1.3)


def test_a_sentinel_is_handed_on_unscaled_for_the_gate_to_name(tmp_path: Path) -> None:
    mapping = BASE.format(source="", time="", more="") + "scale = 2.0\nasset = { sentinels = [-200.0] }\n"
    _, rows = run(tmp_path, mapping, table(tmp_path, "time,v\n2024-05-01,-200\n2024-05-02,3\n"))
    assert [row["value"] for row in rows] == [-200.0, 6.0]
    assert open_recording(tmp_path / "out.bag").registry()[0].periods[0].sentinels == [-200.0]


def test_one_pattern_makes_a_sensor_of_each_column(tmp_path: Path) -> None:
    mapping = BASE.format(source="", time="", more="").replace('column = "v"', "columns = '^DMA (?P<d>\\d+)'")
    mapping = mapping.replace('sensor = "S"', 'sensor = "DMA-{d}"')
    _, rows = run(tmp_path, mapping, table(tmp_path, "time,DMA 1,DMA 2,rain\n2024-05-01,1,2,3\n"))
    assert {row["sensor_id"]: row["value"] for row in rows} == {"DMA-1": 1.0, "DMA-2": 2.0}


def test_rows_can_be_left_out_with_a_reason(tmp_path: Path) -> None:
    more = '[[skip]]\ncolumn = "kind"\nmatches = "^test$"\nreason = "self_test"\n'
    summary, _ = simple(tmp_path, "time,v,kind\n2024-05-01,1,test\n2024-05-02,1,real\n", more=more)
    assert dict(summary.rows_skipped) == {"self_test": 1}


def test_the_registry_knows_place_and_first_sight(tmp_path: Path) -> None:
    mapping = BASE.format(source="", time="", more="[places]\nroof = { lat = 31.8, lon = 117.2 }\n")
    run(
        tmp_path,
        mapping + 'asset = { place = "roof", limits = { warning = 8.5 } }\n',
        table(tmp_path, "time,v\n2024-05-01,1\n"),
    )
    period = open_recording(tmp_path / "out.bag").registry()[0].periods[0]
    assert (period.lat, period.lon, period.from_, period.limits) == (31.8, 117.2, 1714521600000, {"warning": 8.5})


def test_an_experiments_sensor_ends_with_its_last_record(tmp_path: Path) -> None:
    mapping = BASE.format(source="", time="", more="") + "asset = { ends = true }\n"
    run(tmp_path, mapping, table(tmp_path, "time,v\n2024-05-01 00:00,1\n2024-05-01 00:01,2\n"))
    period = open_recording(tmp_path / "out.bag").registry()[0].periods[0]
    assert (period.from_, period.to) == (1714521600000, 1714521660001)


def test_zip_in_zip_with_a_climbing_name_is_read_and_never_written(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep.csv", "time,v\n2024-05-02,2\n")
    outer = tmp_path / "place" / "data.zip"
    outer.parent.mkdir()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("../../escape.csv", "time,v\n2024-05-01,1\n")
        archive.writestr("inner.zip", inner.getvalue())
    _, rows = run(tmp_path, BASE.format(source='files = ["*.csv"]', time="", more=""), outer)
    assert [row["value"] for row in rows] == [1.0, 2.0]
    assert not list(tmp_path.rglob("escape.csv"))


def test_a_table_called_zip_is_read_as_the_table_it_is(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.csv.zip", "time,v\n2024-05-01,1\n")
    assert run(tmp_path, BASE.format(source="", time="", more=""), path)[0].rows_used == 1


def test_tar_gz_is_read_as_a_stream_and_files_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "data.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("a/1.csv", "a/readme.md"):
            content = b"time,v\n2024-05-01,1\n"
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    summary, _ = run(tmp_path, BASE.format(source='files = ["*.csv"]', time="", more=""), path)
    assert (summary.files, summary.rows_used) == (1, 1)


def test_a_gzipped_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"time,v\n" + b"2024-05-01,1\n" * 9999)[:-30])
    with pytest.raises(Mend, match=r"t\.csv: cannot be read to its end"):
        run(tmp_path, BASE.format(source="", time="", more=""), path)


def test_a_workbook_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (("time", "v"), ("01/05/2024 08:00", 3.5), ("01/05/2024 09:00", "NaN")):
        sheet.append(row)
    book.save(tmp_path / "t.xlsx")
    mapping = BASE.replace('"csv"', '"xlsx"').format(source="", time='formats = ["%d/%m/%Y %H:%M"]', more="")
    summary, rows = run(tmp_path, mapping, tmp_path / "t.xlsx")
    assert [row["value"] for row in rows] == [3.5]
    assert dict(summary.values_skipped) == {"missing": 1}


def test_json_lines_have_dotted_columns(tmp_path: Path) -> None:
    mapping = BASE.replace('"csv"', '"jsonl"').replace('column = "v"', 'column = "data.v"').format(source="", time="", more="")
    path = table(tmp_path, '{"time":"2024-05-01","data":{"v":4}}\nbroken\n', "t.jsonl")
    summary, rows = run(tmp_path, mapping, path)
    assert rows[0]["value"] == 4.0
    assert dict(summary.rows_skipped) == {"not_json": 1}


def test_a_recording_can_be_written_as_json_lines(tmp_path: Path) -> None:
    importer = Importer(parse(BASE.format(source="", time="delay_s = 2.5", more="").encode(), "t.toml"))
    importer.read([table(tmp_path, "time,v\n2024-05-01,1\n")])
    importer.to_jsonl(tmp_path / "lines")
    recording = open_recording(tmp_path / "lines")
    assert next(recording.read("city.sensor.readings", 0)).arrivals == [1714521602500]
    assert [asset.asset_id for asset in recording.registry()] == ["S"]


GPX = """<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/0"><wpt lat="1" lon="2"><name>G1 start</name></wpt>
<trk><name>G1</name><trkseg><trkpt lat="39.05" lon="-85.52"><time>2018-03-07T15:50:00Z</time><hdop>0.8</hdop></trkpt>
</trkseg></trk></gpx>"""


def test_a_gpx_track_becomes_fixes_of_its_logger(tmp_path: Path) -> None:
    importer = Importer(load("meva_gps"))
    summary = importer.read([table(tmp_path, GPX, "t.gpx")])
    importer.to_bag(tmp_path / "bag")
    fix = msgspec.json.decode(next(open_recording(tmp_path / "bag").read("city.vehicle.positions", 0)).values[0] or b"")
    assert (fix["vehicle_id"], fix["lat"], fix["lon"], fix["accuracy_m"]) == ("G1", 39.05, -85.52, 4.0)
    assert dict(summary.rows_skipped) == {"waypoint": 1}


KPF = "\n".join(
    [
        '- { meta: "2018-03-05.13-10-00.13-15-00.hospital.G341" }',
        "- {'act': {'act2': {'person_opens_facility_door': 1.0}, 'actors': [{'id1': 13, 'timespan': [{'tsr0': [1, 2]}]}], "
        "'id2': 6, 'src_status': 'good', 'timespan': [{'tsr0': [3000, 3300]}]}}",
        "- { act: { act2: {vehicle_stops: 1.0}, id2: 33, timespan: [{tsr0: [30, 60]}], src_status: janitor, "
        "actors: [{id1: 8, timespan: [{tsr0: [3247, 3876]}]}] } }",
        "- { act: { act2: { empty_37: 1.0 }, id2: 1, timespan: [{tsr0: [0,9000]}], src: truth}}",
        "- { act: broken",
    ]
)


def test_both_dialects_of_kpf_become_video_events(tmp_path: Path) -> None:
    folder = tmp_path / "kitware"
    folder.mkdir()
    table(folder, KPF, "2018-03-05.13-10-00.13-15-00.hospital.G341.activities.yml")
    importer = Importer(load("meva_video"))
    summary = importer.read([tmp_path])
    importer.to_bag(tmp_path / "bag")
    events = [msgspec.json.decode(v or b"") for v in next(open_recording(tmp_path / "bag").read("city.video.events", 0)).values]
    start = 1520269800000
    assert [(e["kind"], e["ts"] - start, e["end_ts"] - start) for e in events] == [
        ("vehicle_stops", 1000, 2000),
        ("person_opens_facility_door", 100_000, 110_000),
    ]
    assert dict(summary.rows_skipped) == {"meta": 1, "empty_marker": 1, "no_match": 1}


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_mapping_loads(name: str) -> None:
    assert load(name).name == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('format = "csv"', 'format = "parquet"'), r"parquet.*source\.format"),
        (('column = "v"', 'colum = "v"'), "colum"),
        (('column = "v"', ""), "either column or columns"),
        (('metric = "ph"', ""), "metric"),
        (("[[readings]]", "[[readings]"), "TOML"),
    ],
)
def test_a_wrong_mapping_says_what_and_where(change: tuple[str, str], said: str) -> None:
    text = BASE.format(source="", time="", more="").replace(*change)
    with pytest.raises(Mend, match=said) as caught:
        parse(text.encode(), "mine.toml")
    assert caught.value.where == "mine.toml"


def test_an_unknown_mapping_lists_the_shipped_ones() -> None:
    with pytest.raises(Mend, match="river_stage"):
        load("rivers")


def test_an_unknown_zone_is_a_mend(tmp_path: Path) -> None:
    with pytest.raises(Mend, match="Europe/Rom"):
        simple(tmp_path, "time,v\n2024-05-01,1\n", time='zone = "Europe/Rom"')


def test_a_table_without_the_mappings_columns_asks_whether_it_is_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(Mend, match="its mapping"):
        simple(tmp_path, "when,what\n2024-05-01,1\n")
