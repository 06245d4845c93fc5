"""What partitions say of their silence is kept per topic, whatever numbers stand in it."""

from __future__ import annotations

import math

import msgspec
import pytest

from streams.records import Control, Source
from tests.acceptance.timeline import Timeline, alarm
from topologies.quiet_topics import QuietTopics

TOPIC, ARRIVAL, HEARD = "city.sensor.readings", 1_000_000, 400_000


def quiet(expected: float | None, value: float | None) -> QuietTopics:
    """One partition that has ticked once and says that it is quiet."""
    topics = QuietTopics()
    source = Source(TOPIC, 0, 7, 0, ARRIVAL)
    topics.tick(Control(control="tick", city="340100", arrival_ts=ARRIVAL, source=source, silent_fraction=1.0, heard_ts=HEARD))
    signal = Timeline().record(0, alarm("platform-stream-silent", TOPIC, raised=0))
    topics.falls_quiet(msgspec.structs.replace(signal, source=source, expected=expected, value=value))
    return topics


@pytest.mark.parametrize(("expected", "value"), [(300.0, 900.0), (None, 300.0)])
def test_a_topic_is_silent_from_when_its_last_partition_has_been_as_long_as_it_had_to_be(expected, value):
    assert quiet(expected, value).silent_at(TOPIC, ARRIVAL) == HEARD + 300_000


@pytest.mark.parametrize("wait", [math.nan, math.inf, -math.inf, 1e308, -5.0, 0.0])
def test_what_is_no_number_of_seconds_is_no_wait(wait):
    assert quiet(wait, None).silent_at(TOPIC, ARRIVAL) == HEARD
