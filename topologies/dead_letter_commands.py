"""``citywatch dead-letters``: what could not be read, why, its bytes, and the way back into its topic."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

from streams.cloudevents import rfc3339
from streams.codec import decode_record
from streams.errors import Mend
from streams.kafka import NotAcknowledged, Producer, read_topic, unreachable
from streams.records import DeadLetter
from streams.topics import topic_name, topic_of
from streams.unreadable import Cause
from topologies.settings import Settings


def letters(settings: Settings) -> Iterator[tuple[DeadLetter, bytes]]:
    """Every dead letter there is, each once (a repetition after a crash is the same place)."""
    seen: set[str] = set()
    for record in read_topic(settings.broker, topic_name("dead_letters", settings.topic_prefix)):
        if record.value is None:
            continue
        letter = decode_record(DeadLetter, record.value)
        if not isinstance(letter, Cause) and (named := place(letter)) not in seen:
            seen.add(named)
            yield letter, record.value


def place(letter: DeadLetter) -> str:
    """``topic/partition/offset``, with ``/n`` for an element of an array."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}" + (f"/{letter.n}" if letter.n else "")


def show_all(settings: Settings, *, reason: str | None, topic: str | None, as_json: bool) -> int:
    """One line each; exit 1 where there is any, so that a script may ask."""
    found = 0
    for letter, value in letters(settings):
        if (reason and letter.reason != reason) or (topic and letter.topic != topic):
            continue
        found += 1
        print(value.decode() if as_json else f"{place(letter)}  {letter.reason}  {letter.path}  {_printable(letter.detail)}")
    if not found and not as_json:
        print("no dead letters" + (" of this kind" if reason or topic else ""))
    return 1 if found else 0


def _find(settings: Settings, wanted: str) -> DeadLetter:
    for letter, _ in letters(settings):
        if place(letter) == wanted:
            return letter
    raise Mend(
        f"there is no dead letter {wanted!r}", where="dead-letters", mend="take the place from `citywatch dead-letters list`"
    )


def show(settings: Settings, wanted: str) -> int:
    letter = _find(settings, wanted)
    print(f"{place(letter)}  arrived {rfc3339(letter.arrival_ts)}  key {letter.key!r}")
    print(f"{letter.reason} at {letter.path}: {_printable(letter.detail)}")
    raw = base64.b64decode(letter.raw)
    print(_printable(raw.decode("utf-8", "backslashreplace")) + ("  … (cut off)" if letter.truncated else ""))
    return 0


def resubmit(settings: Settings, wanted: str, mended: str | None) -> int:
    """Write the bytes (or the mended ones) to the topic they came from, under their key."""
    letter = _find(settings, wanted)
    if topic_of(letter.topic, settings.topic_prefix) is None:
        raise Mend(f"{letter.topic!r} is none of our topics", where=wanted, mend="is CITYWATCH_TOPIC_PREFIX right?")
    if mended is not None:
        value = sys.stdin.buffer.read() if mended == "-" else _bytes(mended)
    elif letter.truncated:
        raise Mend("was kept only in part", where=wanted, mend="give the whole record with --value FILE")
    else:
        value = base64.b64decode(letter.raw)
    with Producer(settings.broker, config={"message.timeout.ms": 8_000}) as producer:
        try:
            producer.send(letter.topic, value, letter.key)
            producer.flush_acknowledged(10.0)
        except (NotAcknowledged, TimeoutError):
            raise unreachable(settings.broker) from None
    print(f"written to {letter.topic} again: {len(value)} bytes")
    return 0


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Mend(f"cannot be read ({error.strerror})", where=path, mend="name a file with the mended record") from None


def _printable(text: str) -> str:
    """What a stranger sent must not move the cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
