"""What happens in the city of :mod:`tests.acceptance.outside_city`: the kinds of hazard an outsider found in the table, a
quiet background around them, and callers in their own words."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.acceptance.outside_city import HOUR, MINUTE, OutsideCity, Sensor, Spot
from tests.detectors.callers_by_category import HARMLESS, HAZARDS

#: Cameras' hazards: code, category, kind, confidence, detections, seconds between them.
SEEN = (
    ("RD-VIDEO", "road", "road_collapse", 0.92, 8, 60),
    ("SAN-VIDEO", "sanitation", "bin_overflow", 0.9, 6, 150),
    ("STR-VENDOR", "order", "vendor", 0.9, 9, 100),
    ("STR-PARKING", "order", "illegal_parking", 0.9, 9, 100),
    ("PRK-01", "order", "fire_lane_blocked", 0.92, 20, 60),
    ("SMK-FIRE", "fire", "fire", 0.93, 24, 2.5),
    ("SMK-SMOKE", "fire", "smoke", 0.88, 40, 5),
)
QUIET_KINDS = ("vendor", "shop_outside", "garbage", "smoke", "waterlogging", "manhole_missing", "crowd")


def furnish(city: OutsideCity, share: float = 1.0) -> None:
    """Everything: assets, hazards, calls. ``share`` of the background sensors."""
    count = lambda n: max(2, round(n * share))  # noqa: E731
    _pipes(city, count)
    _surface(city, count)
    _structures(city, count)
    _sites_and_tanks(city, count)
    _silences(city, count)
    _cameras(city)
    _trucks(city)
    _callers(city)
    _disturbed(city)


def moment(city: OutsideCity, minutes: float, earliest_h: float = 1.0) -> float:
    """When a hazard of that length may begin: it ends before the recording does."""
    return float(int(city.rng.uniform(city.start + earliest_h * HOUR, city.end - (minutes + 12) * MINUTE)))


def bent(
    city: OutsideCity,
    code: str,
    category: str,
    sensor: Sensor,
    value: float | Callable[[float], float],
    minutes: float = 50.0,
    every: float = 60.0,
    at: float | None = None,
) -> float:
    begin = moment(city, minutes) if at is None else at
    sensor.bend(begin, minutes, value, every)
    city.hazard(code, category, sensor.spot, begin, minutes, [sensor.sensor_id])
    return begin


def rising(begin: float, over_s: float, low: float, high: float) -> Callable[[float], float]:
    return lambda t: low + (high - low) * min(1.0, max(0.0, (t - begin) / over_s))


def _pipes(city: OutsideCity, count: Callable[[int], int]) -> None:
    uniform = city.rng.uniform
    wells = [city.sensor("GAS-W", "ch4", 300, uniform(0.2, 1.5), 0.15, "%LEL") for _ in range(count(24))]
    for value in (uniform(22, 38), uniform(53, 90)):
        bent(city, "GAS-01", "gas", wells.pop(), value)
    outlets = [city.sensor("GAS-R", "gas_pressure", 60, 2.5, 0.02, "kPa", limits={"set_point": 2.5}) for _ in range(count(8))]
    bent(city, "GAS-05", "gas", outlets.pop(), 2.5 * uniform(1.25, 1.4), 30, 20)
    bent(city, "GAS-05", "gas", outlets.pop(), 2.5 * uniform(0.6, 0.75), 30, 20)
    mains = [city.sensor("WAT-P", "water_pressure", 120, uniform(0.29, 0.38), 0.002, "MPa") for _ in range(count(16))]
    low = mains.pop()
    bent(city, "WAT-01", "water", low, low.normal(0) - uniform(0.06, 0.1), 60)
    for metric, normal, noise, unit, wrong in (
        ("turbidity", 0.3, 0.03, "NTU", 1.6),
        ("free_chlorine", 0.42, 0.015, "mg/L", 0.02),
        ("ph", 7.4, 0.04, "1", 8.9),
    ):
        made = [city.sensor("WAT-Q", metric, 300, normal, noise, unit) for _ in range(count(4))]
        bent(city, "WAT-05", "water", made[0], wrong, 60, 120)
    for _ in range(count(6)):
        city.sensor("HEA-W", "heat_temperature", 600, uniform(24, 34), 0.3, "Cel", limits={"high": 60})
    hot = city.sensor("HEA-W", "heat_temperature", 600, 30.0, 0.3, "Cel", limits={"high": 60})
    bent(city, "HEA-02", "heat", hot, uniform(64, 80), 60, 300)
    net = city.sensor("HEA-P", "heat_pressure", 120, 0.82, 0.004, "MPa")
    bent(city, "HEA-01", "heat", net, 0.82 - uniform(0.12, 0.2), 50)


def _surface(city: OutsideCity, count: Callable[[int], int]) -> None:
    uniform = city.rng.uniform
    drains = [
        city.sensor("DRN-L", "drain_level", 600, 0.3, 0.012, "m", limits={"design": 1.0, "high": 0.9, "ground": 2.4})
        for _ in range(count(12))
    ]
    bent(city, "DRN-01", "drainage", drains.pop(), uniform(0.97, 1.2), 60)
    gauges = [city.sensor("PND-D", "ponding_depth", 1800, 0.3, 0.2, "cm") for _ in range(count(8))]
    bent(city, "PND-01", "ponding", gauges.pop(), uniform(17, 23), 40)
    for _ in range(count(6)):
        city.sensor("RAI-G", "rain", 300, 0.0, 0.0, "mm")
    limits = {"warning": 10.0, "guaranteed": 10.5, "record": 11.0}
    stages = [city.sensor("RIV-S", "river_stage", 600, 9.0, 0.008, "m", limits=limits) for _ in range(count(4))]
    at = moment(city, 110)
    bent(city, "RIV-01", "flood", stages.pop(), rising(at, 6600, 9.0, 10.2), 110, 300, at)
    covers = [city.sensor("COV-T", "cover_tilt", 21600, 1.0, 0.2, "deg", report_after=86400) for _ in range(count(16))]
    bent(city, "MHC-01", "cover", covers.pop(), uniform(22, 80), 40, 30)
    lamps = [city.sensor("LGT-K", "leakage_current", 300, 4.5, 0.6, "mA") for _ in range(count(8))]
    bent(city, "LGT-01", "lighting", lamps.pop(), uniform(40, 160), 30, 10)
    bins = [city.sensor("SAN-B", "bin_fill", 900, uniform(20, 60), 1.0, "%") for _ in range(count(8))]
    bent(city, "SAN-02", "sanitation", bins.pop(), 96.0, 70, 300)
    winds = [city.sensor("MET-W", "wind_speed", 300, 4.0, 0.9, "m/s") for _ in range(count(6))]
    bent(city, "WEA-01", "weather", winds.pop(), uniform(19, 26), 40)


def _structures(city: OutsideCity, count: Callable[[int], int]) -> None:
    for number in range(count(4)):
        spot, group = city.spot(), f"BRG-{number:02d}"
        strain = city.sensor("BRG-S", "strain", 60, 120.0, 4.0, "um/m", spot, group=group, limits={"design": 300})
        city.sensor("BRG-A", "acc_rms", 60, 3.5, 0.4, "cm/s2", spot, group=group)
        city.sensor("BRG-I", "tilt", 60, 0.02, 0.002, "deg", spot, group=group)
        if number == 0:
            bent(city, "BRG-01", "bridge", strain, 300 * city.rng.uniform(1.05, 1.3))
    for number in range(count(4)):
        spot, group = city.spot(), f"ADV-{number:02d}"
        board = city.sensor("ADV-T", "tilt", 300, 0.4, 0.03, "deg", spot, group=group)
        wind = city.sensor("ADV-W", "wind_speed", 300, 4.0, 0.8, "m/s", spot, group=group)
        if number == 0:
            at = bent(city, "ADV-01", "structure", board, city.rng.uniform(2.8, 4.2), 60)
            wind.bend(at - 600, 75, 13.5)


def _sites_and_tanks(city: OutsideCity, count: Callable[[int], int]) -> None:
    for number in range(count(5)):
        spot, gateway = city.spot(), f"GW-S{number:02d}"
        city.asset(f"SITE-{number:02d}", "site", spot, site_type="construction", fence=city.ring(spot, 0.15), radius_m=200)
        city.asset(gateway, "gateway", spot)
        dust = city.sensor("CON-P", "pm10", 120, 80.0, 8.0, "ug/m3", spot, gateway, limits={"high": 300})
        noise = city.sensor("CON-N", "noise", 120, 46.0, 1.5, "dB", spot, gateway)
        crane = city.sensor("CON-K", "crane_moment", 60, 30.0, 4.0, "%", spot, gateway)
        if number == 0:
            bent(city, "CON-01", "site", dust, city.rng.uniform(380, 550), 75)
        elif number == 1:
            bent(city, "CON-03", "site", crane, city.rng.uniform(106, 125), 20, 20)
        elif number == 2:
            bent(city, "CON-02", "site", noise, 62.0, 75, at=city.start + 2.2 * HOUR)
    for number in range(count(5)):
        spot, gateway = city.spot(), f"GW-H{number:02d}"
        city.asset(gateway, "gateway", spot)
        level = city.sensor("HAZ-L", "tank_level", 60, 55.0, 0.2, "%", spot, gateway, limits={"high": 85})
        pressure = city.sensor("HAZ-P", "tank_pressure", 60, 1.0, 0.004, "MPa", spot, gateway, limits={"high": 1.6})
        if number == 0:
            bent(city, "HAZ-01", "hazard_source", level, city.rng.uniform(90, 98), 30, 30)
        elif number == 1:
            at = moment(city, 30)
            level.hush(at, 30)
            pressure.hush(at, 30)
            city.hazard("HAZ-02", "hazard_source", spot, at - 60, 30, [gateway, level.sensor_id, pressure.sensor_id])


def _silences(city: OutsideCity, count: Callable[[int], int]) -> None:
    quiet = city.sensor("WAT-P", "water_pressure", 120, 0.33, 0.002, "MPa")
    at = moment(city, 60)
    quiet.hush(at, 60)
    city.hazard("DEV-01", "device", quiet.spot, at - 120, 60, [quiet.sensor_id])
    for number in range(count(3)):
        spot, gateway, group = city.spot(), f"GW-L{number:02d}", f"CIRCUIT-{number:02d}"
        city.asset(gateway, "gateway", spot)
        row = [(spot[0] + 0.035 * k, spot[1]) for k in range(8)]
        lamps = [city.sensor("LGT-C", "lamp_current", 600, 0.9, 0.015, "A", where, gateway, group=group) for where in row]
        ids = [lamp.sensor_id for lamp in lamps]
        at = city.start + city.rng.uniform(1.2, 2.0) * HOUR
        if number == 0:
            for lamp in lamps[1:7]:
                lamp.bend(at, 70, 0.0, 300)
            city.hazard("LGT-02", "lighting", spot, at, 70, ids, 400)
        elif number == 1:
            for lamp in lamps:
                lamp.hush(at, 80)
            city.hazard("DEV-GATEWAY", "device", spot, at - 600, 80, [gateway, *ids], 400)


def _cameras(city: OutsideCity) -> None:
    rng = city.rng
    cameras: list[tuple[str, Spot]] = [(f"34010000001310{number:06d}", city.spot()) for number in range(20)]
    for camera, spot in cameras:
        city.asset(camera, "camera", spot)
        t = city.start + rng.uniform(0, 1800)
        while t < city.end:
            city.video(t, camera, rng.choice(QUIET_KINDS), rng.uniform(0.2, 0.45))
            t += rng.expovariate(1 / 1500) + 20
    for (code, category, kind, confidence, frames, every), (camera, spot) in zip(SEEN, cameras, strict=False):
        at = moment(city, frames * every / 60)
        for number in range(frames):
            city.video(at + number * every, camera, kind, confidence + rng.uniform(-0.02, 0.02))
        city.hazard(code, category, spot, at, frames * every / 60 + 10, [camera])


def _trucks(city: OutsideCity) -> None:
    """Each truck drives from a work site to a tip and back; some do on the way what they should not."""
    tips = [city.spot() for _ in range(2)]
    for number, spot in enumerate(tips):
        kind = {"site_type": "disposal", "fence": city.ring(spot, 0.35)} if number else {"type": "消纳场", "radius_m": 350}
        city.asset(f"TIP-{number}", "site", spot, **kind)
    deeds = ("MUC-03", "MUC-04", "MUC-05", "MUC-06", "PAT-01", "", "", "")
    for number, deed in enumerate(deeds):
        patrol = deed == "PAT-01"
        vehicle, kind = f"皖A-{1000 + number}", "patrol" if patrol else "muck_truck"
        home = city.spot()
        city.asset(vehicle, "vehicle", home, interval_s=30, report_after_s=1800, limits={"speed_kmh": 60})
        at = moment(city, 30)
        crs = city.rng.choice(["wgs84", "wgs84", "gcj02"])
        t, place = city.start + 5.0 * number, home
        heading = math.atan2(tips[0][1] - home[1], tips[0][0] - home[0]) + math.pi / 2 if not patrol else 0.7
        while t < city.end:
            acting = bool(deed) and at <= t < at + (5 if deed != "MUC-06" else 13) * MINUTE
            speed = (
                {"MUC-03": 0.0, "MUC-05": 90.0}.get(deed, 36.0) if acting else 36.0 if at - 20 * MINUTE < t < at + HOUR else 0.0
            )
            loaded = deed in ("MUC-03", "MUC-04", "MUC-06") and t < at + 4 * MINUTE + 30
            fix = {"vehicle_id": vehicle, "ts": city.stamp(vehicle, t), "speed_kmh": speed, "kind": kind, "status_bits": 3}
            fix["alarm_bits"] = int(acting and patrol)
            if not patrol:
                fix |= {
                    "load_state": "full" if loaded else "empty",
                    "hopper_state": "up" if acting and deed == "MUC-03" else "down",
                }
                fix["lid_state"] = "open" if acting and deed in ("MUC-03", "MUC-04") else "closed"
            if not (acting and deed == "MUC-06" and t > at + 30):
                city.put("vehicle.positions", fix | city.place(place, crs), float(int(t)))
            step = 10.0 if acting else 30.0
            stretch = speed * step / 3600
            place = (place[0] + stretch * math.cos(heading), place[1] + stretch * math.sin(heading))
            if not acting and int((t - at) / (10 * MINUTE)) % 2:  # there and back, so that nobody leaves the city
                place = (place[0] - 2 * stretch * math.cos(heading), place[1] - 2 * stretch * math.sin(heading))
            if deed and t < at <= t + step:
                entry = place
                city.hazard(deed, "patrol" if patrol else "muck", entry, at - 30, 20, [vehicle], 9_000)
            t += step if not t < at < t + step else max(1.0, at - t)


def _callers(city: OutsideCity) -> None:
    """Two callers for each category, in words of the list; and many who report nothing."""
    rng = city.rng
    for category in sorted({category for _, category in HAZARDS}):
        spot, at = city.spot(), moment(city, 40)
        texts = rng.sample([text for text, one in HAZARDS if one == category], 2)
        line = "119" if category == "fire" else "12345"
        calls = [city.call(at + 200 * i, text, city.near(spot, 60), line, "求助") for i, text in enumerate(texts)]
        city.hazard(f"CALL-{category}", category, spot, at, 40, calls)
    t = city.start
    while t < city.end:
        where = (rng.uniform(-20, 20), rng.uniform(-20, 20))
        city.call(t, rng.choice(HARMLESS), where, category=rng.choice(["咨询", "建议", "投诉", "表扬"]))
        t += rng.expovariate(1 / 120)


def _disturbed(city: OutsideCity) -> None:
    """Maintenance with test gas, and single absurd readings, on sensors that have nothing else to tell."""
    calm = [sensor for sensor in city.sensors if not sensor.bends and not sensor.hushes]
    absurd = {"ch4": 60.0, "turbidity": 7.0, "noise": 96.0, "pm10": 900.0, "leakage_current": 160.0, "tank_pressure": 2.1}
    for sensor in city.rng.sample([one for one in calm if one.metric in absurd], 8):
        sensor.bend(moment(city, 25), 25, absurd[sensor.metric], 120, city.rng.choice(["maintenance", "calibration"]))
