from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from detectors.series import Series
from detectors.silence import NEVER, Silence, SilenceParams
from tests.detectors.one_series import OneSeries

HEARD = Series("s", "m", registered=True, interval_s=60.0, report_after_s=200.0)


def test_silence_is_told_when_report_after_has_passed() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    assert (detector.tick(199), detector.tick(200)) == (None, [200.0])


def test_without_report_after_the_interval_times_factor_counts() -> None:
    detector = OneSeries("silence", Series("s", interval_s=60.0), factor=3.0)
    detector.row(1.0, 0)
    assert (detector.tick(179), detector.tick(180)) == (None, [180.0])


def test_a_row_measures_zero_and_starts_the_clock_again() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    detector.tick(200)
    assert detector.row(1.0, 210).measure.tolist() == [0.0]
    assert (detector.tick(409), detector.tick(410)) == (None, [200.0])


def test_arrival_counts_and_not_event_time() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, -5000, arrives_s=100)
    assert (detector.tick(299), detector.tick(300)) == (None, [200.0])


def test_long_silence_is_told_again_and_grows() -> None:
    detector = OneSeries("silence", HEARD, repeat_s=60)
    detector.row(1.0, 0)
    assert [detector.tick(t) for t in (200, 230, 260)] == [[200.0], None, [260.0]]


def test_a_registered_series_that_was_never_heard_is_told_from_the_first_tick_on() -> None:
    detector = OneSeries("silence", HEARD)
    assert [detector.tick(t) for t in (1000, 1199, 1200)] == [None, None, [200.0]]


def test_an_unregistered_series_is_not_waited_for() -> None:
    detector = OneSeries("silence", Series("s", interval_s=60.0))
    assert (detector.due_s(), detector.tick(10_000)) == (None, None)


def test_a_series_without_any_interval_is_not_watched() -> None:
    detector = OneSeries("silence", Series("s"))
    detector.row(1.0, 0)
    assert detector.due_s() is None


def test_a_learned_interval_watches_series_of_which_nothing_is_known() -> None:
    detector = OneSeries("silence", Series("s"), learn=True, learn_rows=5, factor=4.0)
    for i in range(10):
        detector.row(1.0, 10.0 * i)
    assert detector.tick(90 + 37) is None
    told = detector.tick(90 + 45)
    assert told == [45.0]


def test_due_is_never_later_than_the_first_silence() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    detector.row(1.0, 100)
    due = detector.due_s()
    assert due is not None
    assert due <= 300


def test_a_new_report_after_holds_from_the_last_row() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    detector.series[0] = Series("s", "m", registered=True, report_after_s=50.0)
    detector.detector.changed([0])
    assert detector.tick(50) == [50.0]


def test_a_forgotten_series_is_silent_for_good() -> None:
    import numpy as np

    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    detector.detector.forget(np.array([0]))
    assert detector.tick(10_000) is None


def test_it_says_how_long_in_words() -> None:
    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    told = detector.detector.tick(1_700_000_000_000 + 250_000)
    assert told is not None
    assert told.explain is not None
    assert told.explain(0) == "silent for 250 s, to be reported after 200 s"


def test_a_row_long_on_its_way_does_not_end_a_silence() -> None:
    import numpy as np

    detector = OneSeries("silence", HEARD)
    detector.row(1.0, 0)
    detector.row(1.0, 60)
    assert np.isnan(detector.row(1.0, 61, arrives_s=400).measure).all()


def test_a_device_whose_clock_is_slow_is_heard_with_every_row() -> None:
    detector = OneSeries("silence", HEARD)
    assert [detector.row(1.0, t, arrives_s=t + 7200).measure.tolist() for t in (0, 60, 120)] == [[0.0]] * 3


FACTS = st.builds(
    Series,
    st.just("s"),
    st.sampled_from(["m", "door"]),
    registered=st.booleans(),
    gateway=st.sampled_from([None, "g", "h"]),
    interval_s=st.sampled_from([None, 0.0, 1e-9, 60.0, 3600.0, 1e12]),
    report_after_s=st.sampled_from([None, 0.0, 200.0, 1e10]),
)


@given(st.lists(st.tuples(FACTS, st.booleans(), st.integers(0, 30)), min_size=1, max_size=12), st.booleans())
def test_facts_of_many_series_are_taken_as_one_by_one(drawn: list[tuple[Series, bool, int]], learn: bool) -> None:
    def after(at_once: bool) -> tuple[dict[str, list[object]], int | None, list[list[int]]]:
        params = SilenceParams(learn=learn, learn_rows=5, eventful=("door",), needed=3)
        detector = Silence(params, [series for series, _, _ in drawn])
        detector.grow(len(drawn))
        for slot, (_, heard, rows) in enumerate(drawn):
            detector.state["last"][slot] = 1_000 * slot if heard else NEVER
            detector.state["rows"][slot] = rows if heard else 0
            detector.state["interval"][slot] = 5.0 + slot
        slots = list(range(len(drawn)))
        for some in [slots] if at_once else [[slot] for slot in slots]:
            detector.changed(some)
        held = {name: detector.state[name][: len(drawn)].tolist() for name in ("after", "next", "waits", "every")}
        return held, detector.due(), [detector._gateways.members(name) for name in ("g", "h")]

    assert after(at_once=True) == after(at_once=False)
