import asyncio
import io

from alert_sinks.terminal import Terminal, lines
from streams.records import Evidence
from tests.alert_sinks.incidents import T0, delivery, incident


def test_level_place_reason_and_evidence_are_told():
    text = "\n".join(lines(incident(level=1), latency_ms=12.4))
    for word in (
        "RED",
        "31.82060,117.22720 ±120 m",
        "CH4 +12 %LEL",
        "GAS-W-00123: ch4 22 %LEL (limit 20)",
        "gas company",
        "12 ms",
    ):
        assert word in text


def test_an_incident_takes_one_to_three_lines():
    assert len(lines(incident())) == 3
    assert len(lines(incident(status="resolved", event="resolved"))) == 2


def test_colours_stand_only_where_asked_for():
    assert "\x1b[" in lines(incident(), colour=True)[0]
    assert "\x1b[" not in "".join(lines(incident()))


def test_a_callers_words_cannot_move_the_cursor_or_forge_a_line():
    words = "help\x1b[2J\r\nRED opened"
    evidence = [Evidence(stream="hotline", entity="c1", ts=T0, source="s", rule="r", level=1, explanation=words)]
    out = lines(incident(evidence=evidence, title="a\nb"))
    assert not any(c in line for line in out for c in "\x1b\r\n")


def test_exercises_and_history_are_marked():
    head = lines(incident(exercise=True, historical=True))[0]
    assert "[EXERCISE]" in head and "[HISTORICAL]" in head


def test_an_incident_without_a_place_names_its_city():
    assert "city 340100" in lines(incident(location=None))[0]


def test_a_stream_that_was_closed_does_not_stop_incidents():
    stream = io.StringIO()
    stream.close()
    assert asyncio.run(Terminal(stream, colour=False).deliver(delivery(incident()))) is None


def test_a_tombstone_prints_nothing():
    stream = io.StringIO()
    one = delivery(incident())
    one.body = None
    asyncio.run(Terminal(stream, colour=False).deliver(one))
    assert stream.getvalue() == ""
