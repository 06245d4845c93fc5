"""Hazards that cameras see, that vehicles make, and devices that fall silent."""

from __future__ import annotations

from typing import Any

from replay.simulate.effects import Bend, Hazard, Hush
from replay.simulate.layout import CENTRE, moved
from replay.simulate.scene import Scene, at_sensor, driven, recipe, seen

DAY_MS = 86_400_000
#: 21:30 +08:00 as milliseconds of the UTC day.
EVENING_MS = 13 * 3_600_000 + 30 * 60_000

# --- seen and called


@recipe("SMK-01")
def fire_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "SMK-01", "fire", "fire", at, 0.9, 12, 3, 2)


@recipe("SMK-02")
def smoke_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "SMK-02", "fire", "smoke", at, 0.84, 20, 5, 2)


@recipe("SMK-CALL")
def fire_called_and_seen(scene: Scene, at: int) -> Hazard:
    hazard = seen(scene, "SMK-CALL", "fire", "smoke", at, 0.85, 20, 5, 1)
    hazard.calls = scene.calls(
        at + 60_000, hazard.lat, hazard.lon, ["厂房着火了，冒烟很大", "there is a fire with thick smoke"], 60, 200
    )
    hazard.radius_m = 300.0
    return hazard


@recipe("STR-01")
def vendor_seen(scene: Scene, at: int) -> Hazard:
    hazard = seen(scene, "STR-01", "order", "vendor", at, 0.85, 20, 60, 4)
    hazard.calls = scene.calls(at + 600_000, hazard.lat, hazard.lon, ["流动摊贩占道经营，路都堵了"], 60, 40)
    return hazard


@recipe("MHC-VIDEO-OFF")
def cover_missing_on_a_footway(scene: Scene, at: int) -> Hazard:
    return seen(scene, "MHC-VIDEO-OFF", "cover", "manhole_missing", at, 0.86, 12, 30, 3, place="footway")


@recipe("STR-GARBAGE")
def garbage_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "STR-GARBAGE", "sanitation", "bin_overflow", at, 0.86, 15, 60, 4)


@recipe("RD-VIDEO")
def collapse_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "RD-VIDEO", "road", "road_collapse", at, 0.88, 12, 30, 2)


# --- vehicles


def _standing(**state: Any) -> Any:
    """A drive that stands at the place with the given state."""

    def at_place(lat: float, lon: float) -> Any:
        def drive(seconds: float, fix: dict[str, Any]) -> dict[str, Any]:
            return fix | {"lat": round(lat, 6), "lon": round(lon, 6), "speed_kmh": 0.0, **state}

        return drive

    return at_place


def _passing(speed_kmh: float, **state: Any) -> Any:
    """A drive to and fro within 300 m of the place at a steady speed."""

    def at_place(lat: float, lon: float) -> Any:
        def drive(seconds: float, fix: dict[str, Any]) -> dict[str, Any]:
            way = speed_kmh / 3.6 * seconds % 1_200.0
            east = way - 300.0 if way < 600.0 else 900.0 - way
            there = moved(lat, lon, east, 0.0)
            return fix | {"lat": round(there[0], 6), "lon": round(there[1], 6), "speed_kmh": round(speed_kmh, 1), **state}

        return drive

    return at_place


@recipe("MUC-02")
def truck_in_closed_centre(scene: Scene, at: int) -> Hazard:
    drive = _passing(30.0, load_state="full", lid_state="closed", hopper_state="down")
    return driven(scene, "MUC-02", "muck", "muck_truck", at, 10, 3, "loaded truck in the closed centre", drive, where=CENTRE)


@recipe("MUC-03")
def dumping(scene: Scene, at: int) -> Hazard:
    drive = _standing(load_state="full", lid_state="open", hopper_state="up")
    return driven(scene, "MUC-03", "muck", "muck_truck", at, 8, 2, "dumping outside any tip", drive, off_sites=True)


@recipe("MUC-04")
def lid_open(scene: Scene, at: int) -> Hazard:
    drive = _passing(35.0, load_state="full", lid_state="open", hopper_state="down")
    return driven(scene, "MUC-04", "muck", "muck_truck", at, 10, 3, "driving loaded with the lid open", drive)


@recipe("MUC-05")
def speeding(scene: Scene, at: int) -> Hazard:
    speed = 60.0 * 1.1 * scene.factor(1.05, 1.5)
    drive = _passing(speed, load_state="empty", lid_state="closed", hopper_state="down")
    return driven(scene, "MUC-05", "muck", "muck_truck", at, 8, 4, f"{speed:.0f} km/h where 60 are allowed", drive)


@recipe("PAT-01")
def officer_in_need(scene: Scene, at: int) -> Hazard:
    return driven(scene, "PAT-01", "patrol", "patrol", at, 5, 1, "patrol presses the emergency button", _standing(alarm_bits=1))


@recipe("MUC-01")
def truck_off_its_route(scene: Scene, at: int) -> Hazard:
    drive = _passing(30.0, load_state="full", lid_state="closed", hopper_state="down")
    return driven(scene, "MUC-01", "muck", "muck_truck", at, 10, 3, "loaded truck far from its route", drive)


@recipe("MUC-01-ALARM")
def terminal_reports_a_detour(scene: Scene, at: int) -> Hazard:
    drive = _passing(30.0, load_state="full", lid_state="closed", hopper_state="down", alarm_bits=1 << 23)
    return driven(scene, "MUC-01-ALARM", "muck", "muck_truck", at, 10, 3, "terminal reports a route deviation", drive)


@recipe("MUC-06")
def terminal_unplugged(scene: Scene, at: int) -> Hazard:
    drive = _passing(30.0, load_state="full", lid_state="closed", hopper_state="down", alarm_bits=1 << 8)
    return driven(scene, "MUC-06", "muck", "muck_truck", at, 8, 3, "power of a loaded truck's terminal is cut", drive)


@recipe("MUC-06-SILENT")
def truck_vanishes(scene: Scene, at: int) -> Hazard:
    """Three minutes on the road with a load, then nothing for a quarter of an hour."""
    drive = _passing(30.0, load_state="full", lid_state="closed", hopper_state="down")
    hazard = driven(scene, "MUC-06-SILENT", "muck", "muck_truck", at, 3, 3, "a loaded truck is heard no more", drive)
    quiet, hazard.to_ts = hazard.to_ts, at + 20 * 60_000
    hazard.hushes.append(Hush(frozenset(), quiet, hazard.to_ts, frozenset({hazard.detours[0].vehicle})))
    return hazard


@recipe("PAT-COLLISION")
def bus_collides(scene: Scene, at: int) -> Hazard:
    return driven(
        scene, "PAT-COLLISION", "patrol", "bus", at, 5, 2, "terminal reports a collision", _standing(alarm_bits=1 << 29)
    )


@recipe("PAT-OUTSIDE")
def patrol_off_its_grid(scene: Scene, at: int) -> Hazard:
    where = moved(*CENTRE, 0.0, 14_000.0)
    return driven(
        scene, "PAT-OUTSIDE", "patrol", "patrol", at, 60, 4, "patrol outside its duty grid", _passing(20.0), where=where
    )


@recipe("SAN-01")
def sweeper_off_task(scene: Scene, at: int) -> Hazard:
    where = moved(*CENTRE, 14_000.0, 0.0)
    return driven(
        scene, "SAN-01", "sanitation", "sanitation", at, 60, 4, "sweeper stands off its duty area", _standing(), where=where
    )


# --- devices


@recipe("DEV-VEHICLE")
def vehicle_silent(scene: Scene, at: int) -> Hazard:
    index = scene.vehicle("rescue")
    vehicle = scene.layout.vehicles[index]
    end = at + int(1000 * (vehicle.facts["report_after_s"] * 2 + 60))
    hazard = Hazard(
        scene.name("DEV-VEHICLE"), "device", *CENTRE, 20_000.0, at, end, 4, [vehicle.id], "a vehicle falls silent", "vehicle"
    )
    hazard.hushes.append(Hush(frozenset(), at, end, frozenset({index})))
    return hazard


@recipe("DEV-01")
def sensor_silent(scene: Scene, at: int) -> Hazard:
    hazard, index = at_sensor(scene, "DEV-01", "device", "water_flow", at, 1, 4, "a sensor falls silent")
    facts = scene.layout.sensors[index].facts
    hazard.to_ts = at + int(1000 * (facts["report_after_s"] * 1.6 + 2 * facts["interval_s"]))
    hazard.hushes.append(Hush(frozenset({index}), at, hazard.to_ts))
    return hazard


@recipe("HAZ-02")
def tank_silent(scene: Scene, at: int) -> Hazard:
    hazard, index = at_sensor(scene, "HAZ-02", "hazard_source", "tank_pressure", at, 15, 3, "nobody sees a tank any more")
    hazard.hushes.append(Hush(frozenset({index}), at, hazard.to_ts))
    return hazard


@recipe("LGT-02", lasts_min=1_560)
def circuit_dark(scene: Scene, at: int) -> Hazard:
    """All lamps of a circuit go out at the next half past nine in the evening."""
    night = at + (EVENING_MS - at) % DAY_MS
    index = scene.sensor("lighting", "lamp_current")
    lamp = scene.layout.sensors[index]
    lamps = [i for i, s in enumerate(scene.layout.sensors) if s.facts.get("group") == lamp.facts["group"]]
    end = night + 70 * 60_000
    ids = [scene.layout.sensors[i].id for i in lamps]
    hazard = Hazard(scene.name("LGT-02"), "lighting", lamp.lat, lamp.lon, 300.0, night, end, 4, ids, "a circuit goes dark")
    hazard.bends += [Bend(i, night, end, lambda s, n: 0.0, still=True) for i in lamps]
    return hazard


@recipe("DEV-GATEWAY")
def gateway_silent(scene: Scene, at: int) -> Hazard:
    # Behind the gateway of a tank a silence is the tank's (HAZ-02).
    tanks = {s.facts["gateway"] for s in scene.layout.sensors if s.facts["metric"] in ("tank_level", "tank_pressure")}
    gateways = [place for place in scene.layout.gateways if place.id not in tanks] or scene.layout.gateways
    place = gateways[scene.free("device", gateways)]
    members = [i for i, s in enumerate(scene.layout.sensors) if s.facts["gateway"] == place.id]
    longest = max(scene.layout.sensors[i].facts["report_after_s"] for i in members)
    end = at + int(1000 * (longest * 1.6 + 600))
    hazard = Hazard(
        scene.name("DEV-GATEWAY"), "device", place.lat, place.lon, 3_000.0, at, end, 3, [place.id], "a gateway falls silent"
    )
    hazard.hushes.append(Hush(frozenset(members), at, end))
    return hazard
