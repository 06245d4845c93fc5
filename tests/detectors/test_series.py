"""detectors.series: a series says of the registry's facts what is its own."""

from __future__ import annotations

from detectors.series import Series, role_of
from streams.asset_facts import FactReader, Facts
from streams.records import Asset, Period


def facts(**said: object) -> Facts:
    [found], _ = FactReader().read(Asset("GAS-1", "sensor", [Period(0, **said)]))  # type: ignore[arg-type]
    return found


SAID = {"city": "340100", "lat": 31.6, "lon": 117.0, "gateway": "GW", "interval_s": 10.0, "limits": {"high": 20.0}}


def test_a_series_of_the_registry_is_one_told_by_hand() -> None:
    held = Series.of(facts(**SAID), role_of("ch4", "sensor", True, True, "%LEL", None, True))
    said = Series("GAS-1", "ch4", "sensor", True, unit="%LEL", **SAID)  # type: ignore[arg-type]
    assert held == said and repr(held) == repr(said)


def test_another_metric_of_the_device_has_neither_its_limits_nor_its_interval() -> None:
    held = Series.of(facts(**SAID, report_after_s=60.0), role_of("temperature", "sensor", True, True, "°C", None, False))
    assert (held.interval_s, held.report_after_s, held.give_up_after_s) == (None, None, None)
    assert dict(held.limits) == {} and held.gateway == "GW"


def test_a_cameras_interval_is_none_of_one_kind_of_its_events() -> None:
    held = Series.of(facts(**SAID, report_after_s=60.0), role_of("fire", "video", True, True, None, "fire", True))
    assert (held.interval_s, held.report_after_s, held.give_up_after_s) == (None, None, None)
    assert dict(held.limits) == {"high": 20.0}


def test_facts_that_say_the_same_of_it_change_nothing() -> None:
    role = role_of("ch4", "sensor", True, True, "%LEL", None, True)
    held = Series.of(facts(**SAID), role)
    assert held == Series.of(facts(**SAID, owner="somebody else"), role)
    assert held != Series.of(facts(**{**SAID, "interval_s": 11.0}), role)
    assert held != "GAS-1"
