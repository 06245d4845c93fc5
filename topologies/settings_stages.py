"""Settings of the detect stage, typed: the table ``[detect]`` of the settings file.

Every number here changes answers, so it is part of what a checkpoint and a bag remember, and never read from the environment by
the stage itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from streams.errors import Mend

Positive = Annotated[float, Meta(gt=0)]

LIVE_LIMIT_S = {"sensor": 86_400.0, "group": 86_400.0, "vehicle": 120.0, "video": 600.0, "hotline": 3_600.0}
LATENESS_S = {"sensor": 60.0, "group": 60.0, "vehicle": 120.0, "video": 10.0, "hotline": 300.0}
GIVE_UP_S = {"sensor": 172_800.0, "group": 172_800.0, "vehicle": 86_400.0, "video": 86_400.0, "hotline": 3_600.0}


class DetectSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are seconds. Allowed lateness follows domain F2: GPS 2 min, mains-powered devices 1 min, video 10 s, calls 5."""

    #: Division code of signals whose entity the registry does not place in a city.
    default_city: str = "340100"
    #: Number of partitions of the stage's topic: registered entities are expected where the murmur2 partitioner puts their key.
    partitions: Annotated[int, Meta(ge=1)] = 1
    #: In front of every topic name; the base name tells the stream.
    topic_prefix: str = "city."
    #: A progress record per city each time so much arrival time has passed.
    progress_s: Annotated[int, Meta(ge=1)] = 5
    #: Grid of arrival time on which series are forgotten and effective dates of the registry are looked at.
    sweep_s: Annotated[int, Meta(ge=1)] = 60
    #: Signals whose event time lies further behind their arrival are historical: shown, never dispatched.
    live_limit_s: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(LIVE_LIMIT_S))
    #: Watermark of a source: newest event time less this.
    lateness_s: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(LATENESS_S))
    #: Series of entities the registry does not know are forgotten after so much silence (D9), by stream.
    give_up_s: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(GIVE_UP_S))


def detect_settings(given: Mapping[str, Any], where: str = "[detect]") -> DetectSettings:
    """Settings from a table of the settings file; raises :class:`Mend` with the place of what cannot be used.

    >>> detect_settings({"progress_s": 10}).progress_s
    10
    """
    try:
        return msgspec.convert(dict(given), DetectSettings)
    except msgspec.ValidationError as error:
        known = ", ".join(DetectSettings.__struct_fields__)
        raise Mend(str(error), where=where, mend=f"settings here are {known}") from None
