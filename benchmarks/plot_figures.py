"""What the plots of docs/detectors.md show: for each detector a real recording, its parameters, and a bound a rule might use.

Where no recording holds what a detector looks for (trucks with alarm bits, lids and loads), the track is real and the states
are set by hand; where nothing drifts or falls silent in it, that is done to it by hand as well. The title says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from benchmarks.plot_data import Rows, changed, imported, of, table
from detectors.base import Detector
from detectors.fences import FenceSet
from streams.records import HotlineCall, Reading

DAY_MS = 86_400_000
#: 2023-11-14 08:00 +08:00.
LAMPS_MS = 1_699_920_000_000
SKAB = ("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Volume Flow RateRMS")
#: 2022-09-12: a day later the bridge under the river's gauge was taken away.
TAKEN_AWAY_MS = 1_662_940_800_000


@dataclass(frozen=True)
class Figure:
    """``bound`` is the dashed line; rows at or beyond it are marked. ``first``: only what comes later is drawn (share)."""

    detector: str
    title: str
    rows: Callable[[Path], Rows]
    params: Mapping[str, Any] = field(default_factory=dict)
    value: str = "value"
    measure: str = "measure"
    bound: float | None = None
    shown: Callable[[Any], float] = lambda record: float(record.value)
    show: str | None = None
    stream: str = "sensor"
    prepare: Callable[[Detector[Any]], None] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    first: float = 0.0


def station(metric: str, name: str = "Dongsi", first: int = 0, last: int | None = None) -> Callable[[Path], Rows]:
    def rows(data: Path) -> Rows:
        path = data / "sensors/air_prsa_beijing" / f"PRSA_Data_{name}_20130301-20170228.csv.gz"
        return of(imported("prsa", path, "sensor.readings"), lambda r: r.metric == metric, first, last)

    return rows


def stations(data: Path) -> Rows:
    """PM2.5 of six stations for eight months; from the 150th day on Dongsi's sensor creeps by 0.7 ug/m3 a day."""
    every = [row for name in ("Aotizhongxin", "Changping", "Dongsi", "Guanyuan", "Huairou", "Shunyi")
             for row in station("pm2_5", name, 0, 5800)(data)]  # fmt: skip
    rows = sorted(every, key=lambda row: (row[0], row[1].sensor_id))
    start = rows[0][0] + 150 * DAY_MS

    def creep(i: int, record: Any) -> Any:
        days = max(rows[i][0] - start, 0) / DAY_MS
        return replace(record, value=record.value + 0.7 * days) if "Dongsi" in record.sensor_id else record

    return changed(rows, creep)


def river(data: Path) -> Rows:
    return of(
        imported("river_stage", data / "sensors/river_troutcreek", "sensor.readings"),
        lambda r: r.sensor_id == "TROUT-STAGE" and r.ts < TAKEN_AWAY_MS,
    )


def survey(topic: str, keep: Callable[[Any], bool] = lambda r: True) -> Callable[[Path], Rows]:
    def rows(data: Path) -> Rows:
        path = data / "sensors/gas_methane_birmingham/CFADS2274-20170315-155022Z-DataLog_User.dat.gz"
        return of(imported("methane_drives", path, topic), keep)

    return rows


def drive(change: Callable[[int, Any], Any] = lambda i, record: record) -> Callable[[Path], Rows]:
    """The survey car's fixes, one in four, as a muck truck's."""

    def rows(data: Path) -> Rows:
        fixes = survey("vehicle.positions")(data)[::4]
        return changed(fixes, lambda i, record: change(i, replace(record, kind="muck_truck")))

    return rows


def between(i: int, first: int, last: int) -> bool:
    return first <= i < last


def walk(data: Path) -> Rows:
    return of(imported("meva_gps", data / "gps/meva_loggers", "vehicle.positions"), lambda r: r.vehicle_id == "G540")


def scenes(data: Path) -> Rows:
    """One morning of one camera."""
    rows = of(
        imported("meva_video", data / "video/meva", "video.events"),
        lambda r: r.camera_id == "G330" and r.kind == "person_picks_up_object",
    )
    return [row for row in rows if row[0] > rows[-1][0] - DAY_MS // 3]


def calls(data: Path) -> Rows:
    return of(imported("nyc311", data / "hotline/nyc311_2013-12-25", "hotline.calls"), lambda r: isinstance(r, HotlineCall))


def quiet_calls(data: Path) -> Rows:
    """The calls of the day without those from 15:00 to 17:30."""
    rows = calls(data)
    gap = range(rows[0][0] + int(10 * 3.6e6), rows[0][0] + int(12.5 * 3.6e6))
    return [row for row in rows if row[0] not in gap]


def meter(data: Path) -> Rows:
    """A heat meter's counter; a new meter after 4,000 readings, set by hand."""
    rows = table(
        data / "sensors/heating_dk_meter/processed_final_data_sample.csv.gz", "time_rounded", {"energy_heat_kwh": "HEAT-660"}
    )[:6000]
    old = rows[4000][1].value
    return changed(rows, lambda i, r: replace(r, value=r.value - old) if i >= 4000 else r)


def bridge(data: Path) -> Rows:
    path = data / "sensors/bridge_munich/UniBw_2022-04-11_support_load_01DMS_CNAt100Hz.csv.zip"
    return of(imported("bridge", path, "sensor.readings"), lambda r: r.metric == "strain")


def pump(data: Path) -> Rows:
    return table(data / "skab/valve1/0.csv", "datetime", {name: name for name in SKAB}, ";")


def lamps(data: Path) -> Rows:
    """No open recording has lamps: ten of a circuit for four nights, every ten minutes; L0 to L5 go out in the third."""
    rows: Rows = []
    for n in range(4 * 144):
        ts = LAMPS_MS + n * 600_000
        hour = n / 6 % 24
        lit = hour >= 11.5 or hour < 0.5
        for lamp in range(10):
            value = 0.9 if lit and not (lamp < 6 and n > 2 * 144 + 90) else 0.0
            rows.append((ts + lamp * 1000, Reading(f"L{lamp}", ts + lamp * 1000, "lamp_current", value)))
    return rows


def taxis(data: Path) -> Rows:
    return table(data / "nab/data/realKnownCause/nyc_taxi.csv", "timestamp", {"value": "TAXI"})


def cpu(data: Path) -> Rows:
    return table(data / "nab/data/realAWSCloudwatch/rds_cpu_utilization_cc0c53.csv", "timestamp", {"value": "CPU"})


def cold(data: Path) -> Rows:
    """Air temperature of a station to 0.1 degrees; for the last 60 hours the sensor is frozen, by hand."""
    rows = station("air_temperature", first=0, last=1500)(data)
    return changed(rows, lambda i, r: replace(r, value=rows[1440][1].value) if i >= 1440 else r)


def block(detector: Any) -> None:
    """A square of 2 km in the middle of Birmingham, Alabama."""
    ring = [[-86.84, 33.52], [-86.82, 33.52], [-86.82, 33.54], [-86.84, 33.54], [-86.84, 33.52]]
    detector.attach(FenceSet.from_geojson({"type": "Polygon", "coordinates": [ring]}, "B", fence_kind="block"))


def speed(record: Any) -> float:
    return float("nan") if record.speed_kmh is None else float(record.speed_kmh)


FIGURES: tuple[Figure, ...] = (
    Figure("accumulation", "rain at Dongsi, Beijing: sum over 12 h", station("rain", last=4500), {"window_s": 43200},
           "mm/h", "mm in 12 h", 30.0),
    Figure("alarm_bits", "a real drive; the emergency button is pressed by hand", drive(
           lambda i, r: replace(r, alarm_bits=int(between(i, 400, 430)))), {"bits": ["sos"]}, "km/h", "bit", 1.0, speed,
           stream="vehicle"),
    Figure("change_point", "load of a database (NAB)", cpu, {}, "% CPU", "change over threshold", 1.0),
    Figure("counter", "a heat meter, exchanged by hand: what was lost", meter, {"say": "reset"}, "kWh", "share lost", 0.01),
    Figure("dark_lamps", "ten lamps of a circuit, all made by hand: six go out in the third night", lamps, {}, "A of one lamp",
           "lamps dark", 5.0, show="group", stream="group",
           shown=lambda r: float(r.value) if r.sensor_id == "L2" else float("nan")),
    Figure("dumping", "a real drive; the hopper is raised by hand while the car stands", drive(
           lambda i, r: replace(r, load_state="full", hopper_state="up" if between(i, 560, 640) else "down")),
           {"slow_kmh": 8.0, "kinds": ["block"]}, "km/h", "s", 30.0, speed, stream="vehicle", prepare=block,
           facts={"kind": "muck_truck"}),
    Figure("excess", "methane along the streets of Birmingham, Alabama", survey("sensor.readings", lambda r: r.metric == "ch4"),
           {"window_s": 120}, "ppm", "% over background", 10.0),
    Figure("geofence", "a real drive through a square of 2 km", drive(), {"kinds": ["block"], "mode": "inside"}, "km/h",
           "inside", 1.0, speed, stream="vehicle", prepare=block),
    Figure("group_deviation", "a pump whose outlet valve is closed at 10:24 (SKAB)", pump, {}, "flow", "deviation", 1.0,
           show="group", stream="group", shown=lambda r: float(r.value) if r.metric == SKAB[-1] else float("nan")),
    Figure("implied_speed", "a GPS logger that is carried indoors (MEVA)", walk, {"min_distance_m": 20.0}, "latitude", "km/h",
           15.0, lambda r: float(r.lat), stream="vehicle"),
    Figure("lexicon", "calls to New York's 311 on one day: those about water", calls,
           {"concept": ["water_burst", "ponding", "no_water", "sewage_overflow", "drain_blocked"]}, "characters", "certainty",
           1.0, lambda r: float(len(r.text)), stream="hotline"),
    Figure("lid_open", "a real drive; the lid is opened by hand", drive(
           lambda i, r: replace(r, load_state="full", lid_state="open" if between(i, 400, 520) else "closed")),
           {"above_kmh": 10.0}, "km/h", "s with lid open", 10.0, speed, stream="vehicle", facts={"kind": "muck_truck"}),
    Figure("neighbour_drift", "PM2.5 of six stations of Beijing; Dongsi creeps by hand from the 150th day", stations,
           {"floor": 2.0, "fresh_s": 10800.0}, "ug/m3 at Dongsi", "spreads", 3.0, show="group", stream="group",
           shown=lambda r: float(r.value) if "Dongsi" in r.sensor_id else float("nan")),
    Figure("overspeed", "a real drive under a limit of 50 km/h", drive(), {"default_kmh": 50.0}, "km/h", "% over the limit",
           10.0, speed, stream="vehicle"),
    Figure("rate_of_change", "Trout Creek, Minnesota: rise within an hour", river, {"window_s": 3600.0}, "m", "m in 1 h", 0.3),
    Figure("report_rate", "PM2.5 of Dongsi: readings that are missing, by day", station("pm2_5", last=9000),
           {"window_s": 86400, "least": 2.0}, "ug/m3", "share missing", 0.3),
    Figure("river_model", "taxis of New York each half hour (NAB): river's HoltWinters with a season of a day", taxis,
           {"model": "time_series.HoltWinters", "settings": {"alpha": 0.1, "beta": 0.01, "gamma": 0.2, "seasonality": 48},
            "warmup": 336, "retain": 1344}, "trips", "usual distances", 8.0),
    Figure("robust_z", "load of a database (NAB)", cpu, {}, "% CPU", "usual deviations", 8.0),
    Figure("silence", "PM2.5 of Dongsi: seconds since the last reading, where more than three hours",
           station("pm2_5", last=4500), {"repeat_s": 3600.0},
           "ug/m3", "s", 10800.0, facts={"interval_s": 3600.0, "registered": True}),
    Figure("stream_silence", "calls to New York's 311 on one day, without those of two and a half hours", quiet_calls,
           {"usual_s": 600.0, "after_s": 600.0, "longest": 1.5, "factor": 20.0}, "characters", "s", 600.0,
           lambda r: float(len(r.text)), stream="hotline"),
    Figure("stuck", "air temperature at Dongsi; frozen by hand for the last 60 h", cold, {"unit": "times", "min_rows": 3},
           "Cel", "times its longest rest", 4.0),
    Figure("threshold", "PM10 of Dongsi against 150 ug/m3", station("pm10", last=4500), {}, "ug/m3", "ug/m3", 150.0),
    Figure("trip_silence", "a real drive; its fixes from 16:04 to 16:14 are left out by hand", drive(
           lambda i, r: None if between(i, 420, 740) else replace(r, load_state="full")), {"after_s": 300.0}, "km/h", "s",
           300.0, speed, stream="vehicle", facts={"kind": "muck_truck"}),
    Figure("unusual", "taxis of New York each half hour (NAB): marathon, holidays, snow storm", taxis, {}, "trips",
           "evidence over its bound", 1.0),
    Figure("vibration", "strain of a test bridge at 100 Hz while a load moves over it", bridge,
           {"rows": 128, "warmup": 10, "feature": "both"}, "um/m", "usual deviations", 8.0),
    Figure("video_persistence", "people who pick something up before one camera (MEVA)", scenes, {"window_s": 60.0},
           "confidence", "in 60 s", 10.0, lambda r: float(r.confidence), stream="video"),
)  # fmt: skip
