"""Hazards of lifelines, bridges, sites and sources, at 1.05 to 2 times the thresholds of the domain table's codes."""

from __future__ import annotations

from replay.simulate.effects import Hazard, plateau, step_by
from replay.simulate.rhythm import DAY_MS
from replay.simulate.scene import Scene, bent, called, limited, recipe, seen

#: 23:00 at +08:00, as milliseconds of the UTC day.
NIGHT_MS = 15 * 3_600_000


# --- gas


@recipe("GAS-01")
def gas_in_well(scene: Scene, at: int) -> Hazard:
    value = min(48.0, 20.0 * scene.factor())
    return bent(scene, "GAS-01", "gas", "ch4", at, 60, plateau(value), 3, f"CH4 {value:.0f} %LEL in a well")


@recipe("GAS-02")
def much_gas_in_well(scene: Scene, at: int) -> Hazard:
    value = min(98.0, 50.0 * scene.factor())
    return bent(scene, "GAS-02", "gas", "ch4", at, 60, plateau(value, 20), 2, f"CH4 {value:.0f} %LEL in a well", interval_s=60)


@recipe("GAS-03")
def gas_smelt_and_measured(scene: Scene, at: int) -> Hazard:
    hazard = bent(
        scene, "GAS-03", "gas", "ch4", at, 60, plateau(10.0 * scene.factor(1.05, 1.5)), 1, "gas smelt and measured", 60
    )
    texts = ["楼下闻到很浓的煤气味", "小区里有燃气味，担心泄漏", "strong smell of gas on the street"]
    hazard.calls = scene.calls(at + 240_000, hazard.lat, hazard.lon, texts, 90, 140)
    hazard.radius_m = 300.0
    return hazard


@recipe("GAS-04")
def gas_smelt_only(scene: Scene, at: int) -> Hazard:
    texts = ["这里有臭鸡蛋味，像是煤气", "天然气泄漏了，味道很大", "闻到煤气味", "I smell gas near the market"]
    return called(scene, "GAS-04", "gas", at, texts, 120, 180, 2)


@recipe("GAS-05")
def regulator_below_set_point(scene: Scene, at: int) -> Hazard:
    share = 1.0 - 0.2 * scene.factor()
    return limited(
        scene, "GAS-05", "gas", "gas_pressure", at, 30, "set_point", share, 2, f"regulator at {share:.0%} of set point"
    )


@recipe("GAS-05-HIGH")
def regulator_above_set_point(scene: Scene, at: int) -> Hazard:
    share = 1.0 + 0.2 * scene.factor()
    return limited(
        scene, "GAS-05-HIGH", "gas", "gas_pressure", at, 30, "set_point", share, 2, f"regulator at {share:.0%} of set point"
    )


# --- water, drainage, ponding, flood, heat


@recipe("WAT-01")
def water_pressure_falls(scene: Scene, at: int) -> Hazard:
    drop = 0.05 * scene.factor(1.2, 2.0)
    return bent(scene, "WAT-01", "water", "water_pressure", at, 60, step_by(-drop), 3, f"pressure falls by {drop:.3f} MPa")


@recipe("WAT-04")
def water_pressure_low(scene: Scene, at: int) -> Hazard:
    value = 0.14 / scene.factor()
    return bent(scene, "WAT-04", "water", "water_pressure", at, 60, plateau(value, 300), 3, f"service pressure {value:.3f} MPa")


@recipe("WAT-05")
def water_turbid(scene: Scene, at: int) -> Hazard:
    value = 1.0 * scene.factor()
    return bent(scene, "WAT-05", "water", "turbidity", at, 60, plateau(value), 2, f"turbidity {value:.2f} NTU")


@recipe("WAT-05-CL")
def chlorine_gone(scene: Scene, at: int) -> Hazard:
    return bent(
        scene, "WAT-05-CL", "water", "free_chlorine", at, 90, plateau(0.05 / scene.factor(1.3, 3.0)), 2, "no chlorine left"
    )


@recipe("WAT-CALL")
def burst_called(scene: Scene, at: int) -> Hazard:
    return called(
        scene,
        "WAT-CALL",
        "water",
        at,
        ["路边自来水爆管了，水一直往外冒", "水管爆裂，路上全是水", "water main break on our street"],
        90,
        120,
        3,
    )


@recipe("DRN-01")
def drain_full(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "DRN-01", "drainage", "drain_level", at, 90, "design", 0.9 * scene.factor(1.05, 1.2), 4, "drain nearly full"
    )


@recipe("DRN-CALL")
def sewage_called(scene: Scene, at: int) -> Hazard:
    return called(scene, "DRN-CALL", "drainage", at, ["污水外溢，臭气熏天", "下水道污水冒出来了"], 120, 80, 3)


@recipe("PND-01")
def road_ponding(scene: Scene, at: int) -> Hazard:
    value = min(24.0, 15.0 * scene.factor())
    return bent(
        scene,
        "PND-01",
        "ponding",
        "ponding_depth",
        at,
        45,
        plateau(value),
        3,
        f"{value:.0f} cm of water on a road",
        interval_s=60,
    )


@recipe("PND-02")
def underpass_ponding(scene: Scene, at: int) -> Hazard:
    value = 25.0 * scene.factor()
    return bent(
        scene,
        "PND-02",
        "ponding",
        "ponding_underpass",
        at,
        45,
        plateau(value),
        2,
        f"{value:.0f} cm of water in an underpass",
        interval_s=60,
    )


@recipe("PND-VIDEO")
def ponding_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "PND-VIDEO", "ponding", "waterlogging", at, 0.85, 12, 45, 3)


@recipe("PND-CALL")
def ponding_called(scene: Scene, at: int) -> Hazard:
    return called(scene, "PND-CALL", "ponding", at, ["道路积水严重，车都过不去", "这里内涝了，水到膝盖"], 120, 80, 3)


@recipe("RIV-01")
def river_rises(scene: Scene, at: int) -> Hazard:
    hazard = limited(scene, "RIV-01", "flood", "river_stage", at, 120, "warning", 1.0, 3, "river above its warning level")
    bend = hazard.bends[0]
    limits = scene.layout.sensors[bend.sensor].facts["limits"]
    share = scene.rng.uniform(0.1, 0.9)
    bend.shape = plateau(limits["warning"] + share * (limits["guaranteed"] - limits["warning"]), 1800)
    return hazard


@recipe("HEA-01")
def heat_pressure_falls(scene: Scene, at: int) -> Hazard:
    drop = 0.1 * scene.factor()
    return bent(
        scene, "HEA-01", "heat", "heat_pressure", at, 45, step_by(-drop), 2, f"heat network pressure falls by {drop:.2f} MPa"
    )


@recipe("HEA-02")
def heat_well_hot(scene: Scene, at: int) -> Hazard:
    value = min(110.0, 60.0 * scene.factor(1.05, 1.8))
    return bent(
        scene, "HEA-02", "heat", "heat_well", at, 90, plateau(value), 3, f"heat well at {value:.0f} Cel", interval_s=300
    )


@recipe("HEA-CALL")
def steam_called(scene: Scene, at: int) -> Hazard:
    return called(scene, "HEA-CALL", "heat", at, ["供热管道破裂，热水冒汽", "路面热水冒汽，暖气管爆了"], 120, 80, 3)


# --- bridges, covers, lighting, road, sites, hazard sources, weather


@recipe("BRG-01")
def bridge_overstrained(scene: Scene, at: int) -> Hazard:
    return limited(scene, "BRG-01", "bridge", "strain", at, 45, "design", scene.factor(1.05, 1.6), 2, "strain beyond design")


@recipe("BRG-02")
def bridge_shakes(scene: Scene, at: int) -> Hazard:
    value = 31.5 * scene.factor()
    return bent(
        scene, "BRG-02", "bridge", "acc_rms", at, 45, plateau(value), 3 if value < 50 else 2, f"10-minute RMS {value:.0f} cm/s2"
    )


@recipe("BRG-05")
def overweight_truck(scene: Scene, at: int) -> Hazard:
    return limited(
        scene,
        "BRG-05",
        "bridge",
        "gross_weight",
        at,
        3,
        "design",
        1.5 * scene.factor(1.05, 1.3),
        3,
        "truck beyond 1.5 times the design vehicle",
    )


@recipe("MHC-01")
def cover_tilts(scene: Scene, at: int) -> Hazard:
    value = 15.0 * scene.factor(1.05, 4.0)
    return bent(
        scene, "MHC-01", "cover", "cover_tilt", at, 60, plateau(value, 1), 2, f"cover tilted {value:.0f} deg", interval_s=20
    )


@recipe("MHC-VIDEO")
def cover_missing_seen(scene: Scene, at: int) -> Hazard:
    return seen(scene, "MHC-VIDEO", "cover", "manhole_missing", at, 0.86, 12, 30, 2)


@recipe("MHC-CALL")
def cover_missing_called(scene: Scene, at: int) -> Hazard:
    return called(
        scene, "MHC-CALL", "cover", at, ["路中间井盖丢失，很危险", "manhole cover is missing, a big hole"], 120, 20, 2
    )


@recipe("LGT-01")
def lamp_leaks(scene: Scene, at: int) -> Hazard:
    value = min(95.0, 30.0 * scene.factor())
    return bent(
        scene, "LGT-01", "lighting", "leakage_current", at, 45, plateau(value, 5), 3, f"{value:.0f} mA leakage", interval_s=10
    )


@recipe("RD-01")
def road_collapses(scene: Scene, at: int) -> Hazard:
    return called(scene, "RD-01", "road", at, ["路面塌陷了一个大坑", "马路突然塌陷，车掉进去了"], 120, 50, 2)


@recipe("CON-01")
def site_dusty(scene: Scene, at: int) -> Hazard:
    value = 1_000.0 * scene.factor(1.05, 1.6)
    return bent(scene, "CON-01", "site", "pm10", at, 75, plateau(value, 120), 4, f"PM10 {value:.0f} ug/m3 at a site")


@recipe("CON-02")
def site_noisy(scene: Scene, at: int) -> Hazard:
    value = 70.0 * scene.factor(1.08, 1.4)
    hazard = bent(scene, "CON-02", "site", "noise", at, 75, plateau(value, 60), 4, "noise beyond the day limit")
    hazard.calls = scene.calls(at + 600_000, hazard.lat, hazard.lon, ["工地施工噪音太大，影响休息", "工地打桩扰民"], 300, 100)
    return hazard


@recipe("CON-02-NIGHT", lasts_min=1_560)
def site_noisy_by_night(scene: Scene, at: int) -> Hazard:
    """Allowed by day, not between 22:00 and 06:00: begins at the next 23:00 local time."""
    night = at + (NIGHT_MS - at) % DAY_MS
    value = 55.0 * scene.factor(1.08, 1.2)
    return bent(scene, "CON-02-NIGHT", "site", "noise", night, 75, plateau(value, 60), 4, f"{value:.0f} dB by night")


@recipe("CON-03")
def crane_overloaded(scene: Scene, at: int) -> Hazard:
    return bent(
        scene,
        "CON-03",
        "site",
        "crane_moment",
        at,
        20,
        plateau(100.0 * scene.factor(1.05, 1.4), 10),
        2,
        "tower crane overloaded",
    )


@recipe("HAZ-01")
def tank_overfull(scene: Scene, at: int) -> Hazard:
    return limited(
        scene, "HAZ-01", "hazard_source", "tank_level", at, 30, "high", scene.factor(1.05, 1.15), 2, "tank above its high level"
    )


@recipe("HAZ-01-P")
def tank_pressure_high(scene: Scene, at: int) -> Hazard:
    return limited(
        scene,
        "HAZ-01-P",
        "hazard_source",
        "tank_pressure",
        at,
        30,
        "high",
        scene.factor(1.05, 2.0),
        2,
        "tank above its pressure limit",
    )


@recipe("WEA-01")
def gale(scene: Scene, at: int) -> Hazard:
    value = 17.2 * scene.factor(1.05, 1.8)
    return bent(
        scene, "WEA-01", "weather", "wind_speed", at, 45, plateau(value, 60), 3, f"gusts of {value:.0f} m/s", radius_m=500.0
    )


@recipe("SAN-02")
def bin_overflows(scene: Scene, at: int) -> Hazard:
    return bent(
        scene,
        "SAN-02",
        "sanitation",
        "bin_fill",
        at,
        150,
        plateau(scene.rng.uniform(94.5, 100.0)),
        4,
        "bin overflowing",
        interval_s=600,
    )
