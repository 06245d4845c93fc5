"""What a truck says of itself: dumping, an open lid, alarm bits; unknown is never a violation."""

import msgspec
import numpy as np
import pytest

from detectors.alarm_bits import AlarmBits, AlarmBitsParams
from detectors.dumping import Dumping, DumpingParams
from detectors.fences import FenceSet
from detectors.lid_open import LidOpen, LidOpenParams
from tests.detectors.vehicle_rows import measures, truck

SITE = {"type": "Polygon", "coordinates": [[[117, 31], [117.1, 31], [117.1, 31.1], [117, 31.1], [117, 31]]]}
EMPTY, HALF, FULL, UNKNOWN = 0.0, 1.0, 2.0, np.nan


def stands(ts, load=FULL, hopper=0.0, speed=0.0, lat=32.0, **more):
    return {"ts": ts, "lat": lat, "lon": 117.05, "speed_kmh": speed, "load": load, "hopper": hopper, **more}


def dumping(**params) -> Dumping:
    detector = Dumping(DumpingParams(**params), [truck()])
    detector.attach(FenceSet.from_geojson(SITE, fence_kind="disposal_site"))
    return detector


def test_a_raised_hopper_outside_every_site_is_timed():
    assert measures(dumping(), [stands(0), stands(30, hopper=1), stands(60, hopper=1)]) == [0, 0, 30]


def test_a_load_that_is_gone_while_standing_is_timed_from_the_fix_before():
    assert measures(dumping(), [stands(0), stands(30, load=EMPTY)]) == [0, 30]


def test_unloading_at_a_disposal_site_is_allowed():
    assert measures(dumping(), [stands(0, lat=31.05), stands(60, EMPTY, 1, lat=31.05), stands(99, EMPTY, 1, lat=31.05)]) == [
        0,
        0,
        0,
    ]


def test_driving_off_ends_the_evidence():
    assert measures(dumping(), [stands(0, hopper=1), stands(30, hopper=1), stands(60, speed=30)]) == [0, 30, 0]


def test_a_raised_hopper_while_driving_is_no_dumping():
    assert measures(dumping(), [stands(0, hopper=1, speed=30), stands(30, hopper=1, speed=30)]) == [0, 0]


def test_unknown_hopper_and_load_are_no_evidence():
    assert measures(dumping(), [stands(0, UNKNOWN, UNKNOWN), stands(60, UNKNOWN, UNKNOWN), stands(120, EMPTY, UNKNOWN)]) == [
        0,
        0,
        0,
    ]


def test_a_load_lost_during_a_long_silence_proves_no_place():
    assert measures(dumping(max_gap_s=300), [stands(0), stands(3600, load=EMPTY)]) == [0, 0]


def test_a_lowered_hopper_does_not_undo_what_lies_on_the_road():
    assert measures(dumping(), [stands(0, hopper=1), stands(30, hopper=0), stands(60, hopper=0)]) == [0, 30, 60]


def test_other_vehicles_do_not_dump():
    assert np.isnan(measures(Dumping(DumpingParams(only_kinds=("bus",)), [truck()]), [stands(0, hopper=1)])).all()


def test_a_city_without_disposal_sites_cannot_say_what_lies_outside_them():
    found = measures(Dumping(DumpingParams(), [truck()]), [stands(0, hopper=1), stands(40, hopper=1)])
    assert np.isnan(found).all()


def drives(ts, lid=1.0, load=FULL, speed=40.0):
    return {"ts": ts, "lid": lid, "load": load, "speed_kmh": speed, "lat": 31.0, "lon": 117.0}


def lid(**params) -> LidOpen:
    return LidOpen(LidOpenParams(**params), [truck()])


def test_an_open_lid_under_way_is_timed():
    assert measures(lid(), [drives(0), drives(30), drives(60)]) == [0, 30, 60]


@pytest.mark.parametrize("ends", [{"lid": 0.0}, {"load": EMPTY}, {"speed": 5.0}])
def test_closing_emptying_or_stopping_ends_it(ends):
    assert measures(lid(), [drives(0), drives(30), drives(60, **ends), drives(90)]) == [0, 30, 0, 0]


@pytest.mark.parametrize("unknown", [{"lid": UNKNOWN}, {"load": UNKNOWN}])
def test_unknown_says_nothing_and_ends_nothing(unknown):
    found = measures(lid(), [drives(0), drives(30, **unknown), drives(60)])
    assert found == pytest.approx([0, np.nan, 60], nan_ok=True)


def test_after_a_long_gap_the_seconds_are_counted_anew():
    assert measures(lid(max_gap_s=120), [drives(0), drives(600), drives(630)]) == [0, 0, 30]


def bits(*words, **params) -> list[float]:
    detector = AlarmBits(AlarmBitsParams(**params), [truck()])
    return measures(detector, [{"ts": i, "alarm_bits": word, "load": FULL} for i, word in enumerate(words)])


def test_an_alarm_lasts_as_long_as_its_bit():
    assert bits(0, 1, 1, 0, bits=("sos",)) == [0, 1, 1, 0]


def test_bits_that_are_not_watched_do_not_count():
    assert bits(1 << 8, 1 << 1, bits=("power_cut",)) == [1, 0]


def test_the_highest_bit_of_the_word_is_read():
    assert bits(1 << 31, bits=("illegal_door",)) == [1]


@pytest.mark.parametrize("word", [-1.0, 2.0**40, np.inf])
def test_what_is_no_alarm_word_has_no_bits(word):
    assert bits(word, bits=("sos", "illegal_door")) == [0]


def test_an_unknown_bit_is_refused_with_the_known_ones():
    with pytest.raises(msgspec.ValidationError, match="power_cut"):
        msgspec.convert({"bits": ["power_out"]}, AlarmBitsParams)
