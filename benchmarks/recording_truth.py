"""What is known to be true of the recordings, from their labels or computed from them apart from citywatch.

Nothing here uses a detector: labels are read from the files of the data set (SKAB's column ``anomaly``, NAB's windows), dates
are those the publishers name, and what is computed (methane excursions, rain sums) is computed with plain numpy.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from replay.truth import Hazard
from streams.geography import haversine_m

_DAY_MS = 86_400_000
#: SOURCES: an excursion is more than 10 % above the median of the 201 rows (95 s) around it.
EXCURSION, MEDIAN_ROWS = 1.1, 201
#: Excursions this near in place and time are one leak passed, or passed again.
SAME_PLACE_M, SAME_TIME_S = 150.0, 1800.0
#: Heavy rain: 50 mm in this many hours.
RAIN_HOURS = 12


def ms(text: str) -> int:
    """UTC milliseconds of an ISO time without zone."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def skab(folder: Path) -> list[Hazard]:
    """The labelled stretch of every run: from the first to the last row whose ``anomaly`` is 1."""
    hazards = []
    for path in sorted(folder.glob("*/*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            marked = [row["datetime"] for row in csv.DictReader(file, delimiter=";") if float(row.get("anomaly") or 0) > 0]
        if not marked:
            continue
        group = f"SKAB-{path.parent.name}-{path.stem}"
        sensors = ("ACC1", "ACC2", "CURRENT", "PRESSURE", "ENGINE-T", "WATER-T", "VOLTAGE", "FLOW")
        hazards.append(
            Hazard(
                hazard_id=f"{path.parent.name}/{path.stem}",
                category="indicator",
                from_ts=ms(marked[0]),
                to_ts=ms(marked[-1]),
                entities=[group, *(f"{group}-{sensor}" for sensor in sensors)],
            )
        )
    return hazards


def nab(folder: Path) -> list[Hazard]:
    """The windows of ``combined_windows.json`` for the series that are there."""
    windows: dict[str, list[list[str]]] = json.loads((folder.parent / "labels" / "combined_windows.json").read_text())
    held = {path.name.removesuffix(".gz"): path for path in folder.rglob("*.csv*")}
    return [
        Hazard(
            hazard_id=f"{name}#{number}",
            category="indicator",
            from_ts=ms(start),
            to_ts=ms(end),
            entities=[f"NAB-{Path(name).stem}"],
        )
        for name, spans in sorted(windows.items())
        if Path(name).name in held
        for number, (start, end) in enumerate(spans, 1)
    ]


#: Warning stage of the mapping, 1.80 m, as the laser sees it from 5.00 m; 0 and 1 are no distances.
_WARNING_CM, _NO_LIGHT_CM = 320.0, 1.0


def river(folder: Path) -> list[Hazard]:
    """High water on the two days SOURCES names (``note``: that day's first reading at warning stage), and the failure from the
    hour in which the bridge was taken away."""
    place: dict[str, Any] = {"lat": 44.19646, "lon": -91.94081, "radius_m": 100.0}
    hazards = []
    with gzip.open(folder / "Log00035.txt.gz", "rt", encoding="ascii", errors="replace") as file:
        rows = [line.split(",") for line in file if line[:2] == "20"]
    for day in ("2022-06-13", "2022-07-15"):
        today = [row for row in rows if row[0].startswith(day.replace("-", "/"))]
        high = [row[0].replace("/", "-") for row in today if _NO_LIGHT_CM < float(row[6]) <= _WARNING_CM]
        hazards.append(
            Hazard(
                hazard_id=f"flood {day}",
                category="flood",
                from_ts=ms(day),
                to_ts=ms(day) + _DAY_MS,
                note=high[0] if high else "",
                **place,
            )
        )
    failure = ms("2022-09-13T15:00:00")
    return [*hazards, Hazard(hazard_id="sensor removed", category="device", from_ts=failure, to_ts=failure + _DAY_MS, **place)]


def bridge(folder: Path) -> list[Hazard]:
    """The lowering of a support: strain from 0 to 29 um/m in the file that begins 08:49:34 local time (06:49:34 UTC)."""
    begin = ms("2022-04-11T06:49:34")
    return [
        Hazard(
            hazard_id="support lowered", category="bridge", from_ts=begin, to_ts=begin + 1_200_000, entities=["UNIBW-STRAIN-CN"]
        )
    ]


def excursions(folder: Path) -> list[dict[str, float]]:
    """Every run of rows more than 10 % over the rolling median, with begin, end (s), place of its peak, and peak (ppm)."""
    found = []
    for path in sorted(folder.glob("*.dat.gz")):
        with gzip.open(path, "rt", encoding="ascii", errors="replace") as file:
            names = file.readline().split()
            # The last line of a drive is cut off where the analyser was switched off.
            rows = [row for row in (line.split() for line in file) if len(row) == len(names)]
        at, ppm, lat, lon = (
            np.array([float(row[names.index(name)]) for row in rows])
            for name in ("EPOCH_TIME", "CH4", "GPS_ABS_LAT", "GPS_ABS_LONG")
        )
        half = MEDIAN_ROWS // 2
        median = np.median(sliding_window_view(np.pad(ppm, half, mode="edge"), MEDIAN_ROWS), axis=1)
        above = np.flatnonzero(ppm > EXCURSION * median)
        for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else []:
            top = run[np.argmax(ppm[run])]
            found.append({"from": at[run[0]], "to": at[run[-1]], "lat": lat[top], "lon": lon[top], "ppm": ppm[top]})
    return found


def methane(folder: Path) -> list[Hazard]:
    """The excursions, those of one place and half hour together."""
    places: list[list[dict[str, float]]] = []
    for one in excursions(folder):
        for place in places:
            last = place[-1]
            near = float(haversine_m(place[0]["lat"], place[0]["lon"], one["lat"], one["lon"])) <= SAME_PLACE_M
            if near and one["from"] - last["to"] <= SAME_TIME_S:
                place.append(one)
                break
        else:
            places.append([one])
    return [
        Hazard(
            hazard_id=f"{datetime.fromtimestamp(place[0]['from'], UTC):%m-%d %H:%M:%S}, {len(place)} x, {top['ppm']:.2f} ppm",
            category="gas",
            # The rows are stamped before they are complete.
            from_ts=round(place[0]["from"] * 1000) - 2000,
            to_ts=round(place[-1]["to"] * 1000),
            lat=top["lat"],
            lon=top["lon"],
            radius_m=50.0,
        )
        for place in places
        for top in [max(place, key=lambda one: one["ppm"])]
    ]


def rain(readings: Iterator[dict[str, Any]], least_mm: float = 50.0, hours: int = RAIN_HOURS) -> list[Hazard]:
    """Every stretch in which a gauge's sum over ``hours`` is at least ``least_mm``; hourly gauges."""
    by_gauge: dict[str, list[tuple[int, float]]] = {}
    for one in readings:
        if one["metric"] == "rain":
            by_gauge.setdefault(one["sensor_id"], []).append((one["ts"], one["value"]))
    hazards = []
    for gauge, rows in sorted(by_gauge.items()):
        ts = np.array([row[0] for row in rows])
        total = np.concatenate([[0.0], np.cumsum([row[1] for row in rows])])
        first = np.searchsorted(ts, ts - hours * 3_600_000, side="right")
        wet = np.flatnonzero(total[1:] - total[first] >= least_mm - 1e-9)
        for run in np.split(wet, np.flatnonzero(np.diff(wet) > 1) + 1) if len(wet) else []:
            begin = int(ts[run[0]])
            hazards.append(
                Hazard(
                    hazard_id=f"{gauge} {datetime.fromtimestamp(begin / 1000, UTC):%Y-%m-%d %H:%M}",
                    category="weather",
                    # A shorter and heavier sum may have told before.
                    from_ts=begin - hours * 3_600_000,
                    to_ts=int(ts[run[-1]]),
                    entities=[gauge],
                )
            )
    return hazards


#: What a person who reads the request's type says of the incident a call opened. First match decides; else it is right.
CALL_VERDICTS: tuple[tuple[str, str], ...] = (
    (r"Egress - Doors|E12 Illegal Dumping Surveillance|Utility_Excavation", "wrong"),
    (r"Illegal_Dumping (Encampment|Empty_cart|Event_parade_mess|Human_waste|Needles)", "wrong"),
    (r"Hydrant (Leaking|Running)|Boilers: Boiler|Sewage Odor|Manhole Sunken", "overstated"),
    (r"Missing_Side_Sewer_Vent_Cover|Construction_Plate_Shifted|Flooding On_property|Water_leak Other", "overstated"),
)
