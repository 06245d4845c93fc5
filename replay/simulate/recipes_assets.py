"""Hazards of single assets that the lifelines' recipes leave out: levels, limits, drifts and devices that only look alive."""

from __future__ import annotations

from replay.simulate.effects import Bend, Hazard, Loss, Setback, creep, plateau, step_by, sway
from replay.simulate.scene import Scene, at_sensor, bent, limited, recipe


@recipe("GAS-05-PLAIN", learned_min=180)
def regulator_without_set_point(scene: Scene, at: int) -> Hazard:
    change = scene.rng.uniform(0.8, 1.2)
    return bent(scene, "GAS-05-PLAIN", "gas", "gas_pressure_plain", at, 30, step_by(change), 3, f"outlet {change:+.2f} kPa")


@recipe("GAS-SURVEY")
def survey_meets_a_plume(scene: Scene, at: int) -> Hazard:
    value = 2.0 * scene.factor(1.3, 2.5)
    return bent(
        scene, "GAS-SURVEY", "gas", "ch4_survey", at, 2, plateau(value, 5), 4, f"{value:.1f} ppm over a background of 2"
    )


@recipe("WAT-05-PH")
def water_alkaline(scene: Scene, at: int) -> Hazard:
    return bent(scene, "WAT-05-PH", "water", "ph", at, 90, plateau(8.5 * scene.factor(1.05, 1.3)), 2, "pH too high")


@recipe("WAT-05-PH-LOW")
def water_acid(scene: Scene, at: int) -> Hazard:
    return bent(scene, "WAT-05-PH-LOW", "water", "ph", at, 90, plateau(6.5 / scene.factor(1.05, 1.3)), 2, "pH too low")


@recipe("DRN-02")
def drain_overflows(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "DRN-02", "drainage", "drain_level", at, 60, "high", scene.factor(1.05, 1.5), 3, "drain at ground level"
    )


@recipe("DRN-02-RISE")
def drain_rises(scene: Scene, at: int) -> Hazard:
    per_minute = 0.05 * scene.factor(1.1, 1.6)
    return bent(
        scene, "DRN-02-RISE", "drainage", "drain_level", at, 60,
        lambda seconds, normal: normal + per_minute * min(seconds / 60, 25.0), 3, f"+{per_minute * 10:.2f} m in 10 min", 60,
    )  # fmt: skip


@recipe("HEA-01-MAKEUP", learned_min=180)
def makeup_flow_jumps(scene: Scene, at: int) -> Hazard:
    return bent(
        scene, "HEA-01-MAKEUP", "heat", "makeup_flow", at, 90, plateau(9.0 * scene.factor()), 3, "make-up flow doubled", 120
    )


@recipe("HEA-02-LIMIT")
def supply_too_hot(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "HEA-02-LIMIT", "heat", "heat_supply", at, 60, "high", scene.factor(1.05, 1.3), 3, "supply above its limit"
    )


@recipe("HEA-03", lasts_min=200)
def supply_too_cold(scene: Scene, at: int) -> Hazard:
    return limited(scene, "HEA-03", "heat", "heat_supply", at, 180, "low", 1 / scene.factor(), 4, "supply below its limit")


@recipe("BRG-01-DEFLECTION")
def bridge_sags(scene: Scene, at: int) -> Hazard:
    return limited(
        scene,
        "BRG-01-DEFLECTION",
        "bridge",
        "deflection",
        at,
        45,
        "design",
        scene.factor(1.05, 1.6),
        2,
        "deflection beyond design",
    )


@recipe("BRG-01-PLAIN", learned_min=180)
def bridge_strain_unusual(scene: Scene, at: int) -> Hazard:
    return bent(scene, "BRG-01-PLAIN", "bridge", "strain_plain", at, 60, step_by(160.0), 4, "strain far from its usual values")


@recipe("BRG-03", lasts_min=150)
def crack_widens(scene: Scene, at: int) -> Hazard:
    change = 0.25 * scene.factor(1.15, 2.0)
    return bent(scene, "BRG-03", "bridge", "crack_width", at, 150, step_by(change), 3, f"crack {change:+.2f} mm")


@recipe("BRG-04", learned_min=180)
def bridge_tilts(scene: Scene, at: int) -> Hazard:
    return bent(scene, "BRG-04", "bridge", "tilt", at, 60, step_by(0.05 * scene.factor(2.0, 4.0)), 2, "tilt step of a bridge")


@recipe("BRG-05-PLAIN")
def overweight_without_limit(scene: Scene, at: int) -> Hazard:
    value = 73.5 * scene.factor(1.05, 1.3)
    return bent(
        scene, "BRG-05-PLAIN", "bridge", "gross_weight_plain", at, 3, plateau(value, 1), 3, f"{value:.0f} t on a bridge"
    )


@recipe("ADV-01")
def billboard_leans(scene: Scene, at: int) -> Hazard:
    return bent(
        scene, "ADV-01", "structure", "tilt_billboard", at, 60, step_by(2.0 * scene.factor(1.1, 2.0)), 3, "billboard leans"
    )


@recipe("CON-01-LIMIT")
def site_beyond_its_dust_limit(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "CON-01-LIMIT", "site", "pm10_limited", at, 60, "high", scene.factor(1.1, 2.0), 4, "dust beyond the limit"
    )


@recipe("CON-02-LIMIT")
def site_beyond_its_noise_limit(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "CON-02-LIMIT", "site", "noise_limited", at, 60, "high", scene.factor(1.08, 1.15), 4, "noise beyond the limit"
    )


@recipe("CON-03-WIND")
def crane_in_the_wind(scene: Scene, at: int) -> Hazard:
    value = min(17.0, 13.8 * scene.factor(1.08, 1.2))
    return bent(
        scene, "CON-03-WIND", "site", "wind_crane", at, 30, plateau(value, 30), 2, f"{value:.0f} m/s at a working crane"
    )


@recipe("HAZ-01-PLAIN")
def tank_overfull_without_limit(scene: Scene, at: int) -> Hazard:
    value = 90.0 * scene.factor(1.05, 1.15)
    return bent(scene, "HAZ-01-PLAIN", "hazard_source", "tank_level_plain", at, 30, plateau(value), 2, f"tank at {value:.0f} %")


@recipe("HAZ-01-LOW")
def tank_empties(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "HAZ-01-LOW", "hazard_source", "tank_level", at, 30, "low", 1 / scene.factor(), 3, "tank below its low level"
    )


@recipe("RAI-01-3H", lasts_min=210)
def rain_in_three_hours(scene: Scene, at: int) -> Hazard:
    return rain(scene, "RAI-01-3H", at, 200, 50.0 * scene.factor(1.5, 1.9) / 36, 2)


@recipe("RAI-01-6H", lasts_min=400)
def rain_in_six_hours(scene: Scene, at: int) -> Hazard:
    return rain(scene, "RAI-01-6H", at, 390, 50.0 * scene.factor(1.1, 1.6) / 72, 3)


@recipe("RAI-01-12H", lasts_min=770)
def rain_in_twelve_hours(scene: Scene, at: int) -> Hazard:
    return rain(scene, "RAI-01-12H", at, 760, 50.0 * scene.factor(1.2, 1.6) / 144, 4)


def rain(scene: Scene, name: str, at: int, minutes: float, mm_per_5_min: float, level: int) -> Hazard:
    """Steady rain on one gauge."""
    note = f"{mm_per_5_min:.1f} mm in 5 min"
    hazard = bent(
        scene, name, "weather", "rain", at, minutes, lambda seconds, normal: mm_per_5_min, level, note, radius_m=500.0
    )
    hazard.bends[0].still = True
    return hazard


@recipe("MHC-01-OFF")
def footway_cover_tilts(scene: Scene, at: int) -> Hazard:
    value = 15.0 * scene.factor(1.05, 4.0)
    return bent(
        scene, "MHC-01-OFF", "cover", "cover_footway", at, 60, plateau(value, 1), 3, f"cover tilted {value:.0f} deg", 20
    )


@recipe("IND-01", learned_min=180)
def unknown_metric_unusual(scene: Scene, at: int) -> Hazard:
    return bent(
        scene, "IND-01", "indicator", "soil_moisture", at, 60, step_by(35.0), 4, "a metric nobody told us of goes astray"
    )


@recipe("IND-01-MACHINE", learned_min=180)
def pump_runs_dry(scene: Scene, at: int) -> Hazard:
    """No single sensor is far off; together they have never been like this."""
    place = scene.layout.groups[scene.free("indicator", scene.layout.groups)]
    end = at + 45 * 60_000
    members = [i for i, s in enumerate(scene.layout.sensors) if s.facts.get("group") == place.id]
    names = [scene.layout.sensors[i].id for i in members]
    hazard = Hazard(scene.name("IND-01-MACHINE"), "indicator", place.lat, place.lon, 150.0, at, end, 4, names, "pump runs dry")
    hazard.bends = [
        Bend(i, at, end, step_by(kind.noise * scene.rng.uniform(8.0, 12.0) * (-1 if kind.name == "pump_current" else 1)))
        for i in members
        if (kind := scene.layout.sensors[i].sensor_kind) is not None
    ]
    return hazard


@recipe("DEV-02")
def sensor_stuck(scene: Scene, at: int) -> Hazard:
    return stuck(scene, "DEV-02", "pm2_5", at, 60)


@recipe("DEV-02-LONG", lasts_min=900)
def sensor_stuck_for_long(scene: Scene, at: int) -> Hazard:
    return stuck(scene, "DEV-02-LONG", "turbidity", at, 840)


def stuck(scene: Scene, name: str, kind: str, at: int, minutes: float) -> Hazard:
    """A sensor repeats its last value."""
    hazard = bent(scene, name, "device", kind, at, minutes, lambda seconds, normal: normal, 4, "a sensor repeats one value")
    bend = hazard.bends[0]
    base = scene.layout.sensors[bend.sensor].base
    bend.shape, bend.still = (lambda seconds, normal: base), True
    return hazard


@recipe("DEV-02-BATTERY", lasts_min=300)
def battery_low(scene: Scene, at: int) -> Hazard:
    return bent(
        scene, "DEV-02-BATTERY", "device", "battery", at, 300, plateau(20.0 / scene.factor()), 4, "battery nearly empty"
    )


@recipe("DEV-01-LOSS", lasts_min=240)
def sensor_loses_reports(scene: Scene, at: int) -> Hazard:
    """Never silent for long, yet at least half is lost: of 60 reports an hour, 45 % missing may still be chance."""
    lost = 0.4 * scene.factor(1.3, 1.6)
    hazard, index = at_sensor(scene, "DEV-01-LOSS", "device", "water_pressure", at, 240, 4, f"{lost:.0%} of the reports lost")
    hazard.losses.append(Loss(index, at, hazard.to_ts, 1.0 - lost))
    return hazard


@recipe("DEV-02-METER", learned_min=240)
def meter_set_back(scene: Scene, at: int) -> Hazard:
    """Restarted from an old memory, and counts on from there. That it is a meter shows in hours of readings that only rise."""
    share = 0.01 * scene.factor()
    note = f"a meter loses {share:.1%} of its count"
    hazard, index = at_sensor(scene, "DEV-02-METER", "device", "water_volume", at, 30, 4, note)
    hazard.setbacks.append(Setback(index, at, share))
    return hazard


@recipe("ADV-01-SWAY", learned_min=240)
def billboard_shakes(scene: Scene, at: int) -> Hazard:
    times = 3.0 * scene.factor()
    note = f"a billboard shakes {times:.1f} times as much as it used to"
    hazard, index = at_sensor(scene, "ADV-01-SWAY", "structure", "acceleration", at, 60, 3, note)
    # One swing in some seconds, and no whole number of swings between two readings, or it would seem to stand.
    hazard.bends.append(Bend(index, at, hazard.to_ts, sway(times * scene.noise(index), 7.3)))
    return hazard


@recipe("DEV-02-DRIFT", lasts_min=8 * 1_440, learned_min=8 * 1_440)
def sensor_drifts(scene: Scene, at: int) -> Hazard:
    """What one lamp draws seems to leave its circuit's within two days; a week it took to know what is usual between them."""
    hazard, index = at_sensor(scene, "DEV-02-DRIFT", "device", "lamp_current", at, 8 * 1_440, 4, "a sensor drifts")
    change = 3.0 * scene.noise(index) * scene.factor(1.5, 2.0)
    hazard.bends.append(Bend(index, at, hazard.to_ts, creep(change, 2 * 86_400.0)))
    return hazard
