"""``citywatch mute``: writes Mutes to ``city.mutes`` and reads what stands there."""

from __future__ import annotations

import argparse
import re
import uuid

from streams.cloudevents import rfc3339
from streams.codec import decode_record, encode
from streams.errors import Mend
from streams.event_time import epoch_ms
from streams.kafka import read_topic
from streams.records import Matchers, Mute
from streams.topics import topic_name
from streams.unreadable import Cause
from topologies.incident_commands import write
from topologies.settings import Settings
from topologies.worker_clock import wall_ms

_SPAN = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def span_ms(text: str) -> int:
    """
    >>> span_ms("90m")
    5400000
    """
    found = _SPAN.match(text)
    if found is None:
        raise Mend(f"{text!r} is no span", where="--for", mend="a number with s, m, h or d: 30m, 2h, 7d")
    return int(float(found[1]) * _SECONDS[found[2]] * 1000)


def _moment(text: str, where: str) -> int:
    try:
        return epoch_ms(int(text) if text.isdigit() else text)
    except (ValueError, OverflowError) as error:
        raise Mend(f"{text!r} is no time ({error})", where=where, mend="for example 2026-11-23T08:00:00+08:00") from None


def add(settings: Settings, arguments: argparse.Namespace) -> int:
    start = _moment(arguments.start, "--from") if arguments.start else wall_ms()
    until = _moment(arguments.until, "--until") if arguments.until else start + span_ms(arguments.span)
    if until <= start:
        raise Mend("ends before it begins", where="mute add", mend="give an --until after --from")
    named = {field: getattr(arguments, field) for field in ("city", "category", "hazard", "rule", "entity", "stream")}
    if arguments.near is not None:
        named |= dict(zip(("lat", "lon", "radius_m"), arguments.near, strict=True))
    matchers = Matchers(max_severity_level=arguments.max_severity_level, **named)
    if matchers == Matchers() and arguments.kind != "mode":
        raise Mend(
            "would silence everything",
            where="mute add",
            mend="name at least one of --city, --category, --rule, --entity, --near …",
        )
    mute_id = arguments.id or f"{arguments.kind}-{uuid.uuid4().hex[:12]}"
    mute = Mute(
        mute_id=mute_id,
        kind=arguments.kind,
        matchers=matchers,
        from_=start,
        to=until,
        author=arguments.author,
        comment=arguments.comment,
    )
    write(settings, "mutes", mute_id, encode(mute))
    print(mute_id)
    return 0


def standing(settings: Settings) -> dict[str, tuple[Mute, bytes]]:
    """The last value of every mute that was not withdrawn."""
    found: dict[str, tuple[Mute, bytes]] = {}
    for record in read_topic(settings.broker, topic_name("mutes", settings.topic_prefix)):
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            found.pop(key, None)
            continue
        mute = decode_record(Mute, record.value)
        if not isinstance(mute, Cause):
            found[mute.mute_id] = (mute, record.value)
    return found


def show(settings: Settings, *, as_json: bool) -> int:
    now = wall_ms()
    for mute, value in sorted(standing(settings).values(), key=lambda pair: (int(pair[0].to), pair[0].mute_id)):
        if as_json:
            print(value.decode())
            continue
        state = "over" if int(mute.to) <= now else "waits" if int(mute.from_) > now else "holds"
        named = ", ".join(f"{f}={v}" for f in mute.matchers.__struct_fields__ if (v := getattr(mute.matchers, f)) is not None)
        span = f"{rfc3339(int(mute.from_))} to {rfc3339(int(mute.to))}"
        print(f"{mute.mute_id}  {mute.kind}  {state}  {span}  {named or 'everything'}  ({mute.author}: {mute.comment})")
    return 0


def end(settings: Settings, mute_id: str) -> int:
    if mute_id not in standing(settings):
        raise Mend(f"there is no mute {mute_id!r}", where="mute end", mend="take the id from `citywatch mute list`")
    write(settings, "mutes", mute_id, None)
    print(f"ended: {mute_id}")
    return 0
