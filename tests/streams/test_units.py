"""streams.units and streams.vocabulary: canonical units and the way to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.units import canonical_unit, conversion, limits_in_canonical, to_canonical
from streams.vocabulary import ALIASES, METRICS, QUANTITIES


@pytest.mark.parametrize(
    ("metric", "value", "unit", "expected"),
    [
        ("ch4", 1, "%VOL", 20.0),
        ("ch4", 10_000, "ppm", 20.0),
        ("ch4", 500, "ppm", 1.0),
        ("water_pressure", 3, "bar", 0.3),
        ("water_pressure", 300, "kPa", 0.3),
        ("water_pressure", 14, "mH2O", 0.1372931),
        ("gas_pressure", 0.4, "MPa", 400.0),
        ("gas_pressure", 2000, "Pa", 2.0),
        ("ponding_depth", 0.25, "m", 25.0),
        ("river_stage", 250, "cm", 2.5),
        ("heat_temperature", 300, "K", 26.85),
        ("heat_temperature", 212, "degF", 100.0),
        ("heat_temperature", 80, "°C", 80.0),
        ("water_flow", 10, "L/s", 36.0),
        ("water_flow", 100, "L/min", 6.0),
        ("water_flow", 0.01, "m3/s", 36.0),
        ("pm10", 0.15, "mg/m³", 150.0),
        ("leakage_current", 0.03, "A", 30.0),
        ("lamp_current", 500, "mA", 0.5),
        ("acc_rms", 0.5, "g", 490.3325),
        ("strain", 35, "ue", 35.0),
        ("strain", 35, "um\\m", 35.0),
        ("noise", 70, "dB(A)", 70.0),
        ("wind_speed", 36, "km/h", 10.0),
        ("crane_moment", 0.9, "1", 90.0),
        ("ph", 7.2, "pH", 7.2),
    ],
)
def test_a_value_comes_into_the_metrics_unit(metric: str, value: float, unit: str, expected: float) -> None:
    assert to_canonical(metric, value, unit) == pytest.approx(expected, rel=1e-9)


def test_round_numbers_stay_round() -> None:
    assert to_canonical("water_pressure", 3.0, "bar") == 0.3


@pytest.mark.parametrize(("metric", "unit"), [("ch4", "kPa"), ("water_pressure", "m3/h"), ("noise", "furlong"), ("ph", "mV")])
def test_a_unit_of_another_quantity_does_not_fit(metric: str, unit: str) -> None:
    assert to_canonical(metric, 1.0, unit) is None


def test_milli_and_mega_are_not_confused() -> None:
    assert conversion("water_pressure", "mPa") is None


def test_an_unknown_metric_keeps_its_values() -> None:
    assert (to_canonical("radon", 5.0, "Bq/m3"), canonical_unit("radon")) == (5.0, None)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metrics_unit_is_one_of_its_quantity(metric: str) -> None:
    assert METRICS[metric].unit in QUANTITIES[METRICS[metric].quantity]


@pytest.mark.parametrize("metric", METRICS)
def test_the_canonical_unit_changes_nothing(metric: str) -> None:
    assert to_canonical(metric, 0.1, METRICS[metric].unit) == 0.1


def test_every_alias_names_a_known_unit() -> None:
    assert set(ALIASES.values()) <= {unit for units in QUANTITIES.values() for unit in units}


def test_no_alias_hides_a_unit() -> None:
    assert not set(ALIASES) & {unit for units in QUANTITIES.values() for unit in units}


def test_limits_follow_the_unit_of_the_device() -> None:
    assert limits_in_canonical("ch4", "%VOL", {"high": 1.0, "speed_kmh": 40.0}) == {"high": 20.0, "speed_kmh": 40.0}


def test_limits_without_a_metric_stay() -> None:
    assert limits_in_canonical(None, "%VOL", {"high": 1.0}) == {"high": 1.0}


@given(st.text(max_size=8) | st.sampled_from(sorted(METRICS)), st.text(max_size=8) | st.sampled_from(sorted(ALIASES)))
def test_no_unit_raises_and_only_a_metric_that_is_known_refuses_one(metric: str, unit: str) -> None:
    found = conversion(metric, unit)
    known = METRICS.get(metric)
    if known is None:
        assert found == (1.0, 0.0, 1.0)
    else:
        spelled = unit.strip()
        assert (found is None) == (not {unit, ALIASES.get(spelled, spelled)} & set(QUANTITIES[known.quantity]))
