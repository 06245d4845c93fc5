import threading

import msgspec
import pytest

from streams.errors import Mend
from streams.kafka import LogRecord
from topologies.watchdog import Deadline, Heartbeat, Watchdog


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def watchdog(clock=None, reader=None, **changed):
    beats, ends = [], []
    dog = Watchdog(
        "me", reader or (lambda: None), limit_s=10.0, exit_code=76, came_back=lambda: beats.append(1), end=ends.append,
        clock=clock or Clock(), **changed,
    )  # fmt: skip
    return dog, beats, ends


def beat(worker="me", sent_at=1_000_000, intake_at=1_000_000):
    return msgspec.json.encode(Heartbeat(worker=worker, sent_at=sent_at, intake_at=intake_at))


def test_a_heartbeat_that_comes_back_keeps_the_worker_alive():
    clock = Clock()
    dog, beats, _ = watchdog(clock)
    clock.now += 9
    dog.look(beat())
    clock.now += 9
    assert dog.alive and beats == [1]


def test_without_a_heartbeat_the_worker_is_not_alive():
    clock = Clock()
    dog, _, _ = watchdog(clock)
    clock.now += 10
    assert not dog.alive


@pytest.mark.parametrize("value", [beat(worker="another"), b"{}", b"not json", None])
def test_what_is_not_our_heartbeat_means_nothing(value):
    dog, beats, _ = watchdog()
    dog.look(value)
    assert beats == []


def test_a_heartbeat_of_a_loop_whose_consumer_went_silent_does_not_count():
    dog, beats, _ = watchdog()
    dog.look(beat(sent_at=1_000_000, intake_at=1_000_000 - 10_001))
    assert beats == []


def test_a_worker_without_partitions_is_not_blamed_for_silence():
    dog, beats, _ = watchdog()
    dog.look(beat(intake_at=0))
    assert beats == [1]


class Reader:
    """Comes back with its script, item by item; an exception is raised, None is an empty poll."""

    def __init__(self, clock, script):
        self.clock, self.script = clock, script

    def poll(self, timeout_s):
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step is None:
            self.clock.now += 4
            return []
        return [LogRecord("city.heartbeat", 0, 0, 0, b"me", step, ())]

    def close(self):
        self.closed = True


def test_the_process_is_ended_with_the_documented_code_when_nothing_comes_back():
    clock = Clock()
    dog, beats, ends = watchdog(clock, lambda: Reader(clock, [beat(), None, None]))
    dog.start()
    dog._thread.join(10)
    assert (beats, ends) == ([1], [76])


def test_a_reader_that_fails_is_made_again():
    clock = Clock()
    made = []

    def reader():
        made.append(1)
        return Reader(clock, [Mend("gone"), None] if len(made) == 1 else [beat()])

    dog, beats, ends = watchdog(clock, reader)
    dog.start()
    dog._thread.join(10)
    assert (len(made), beats, ends) == (2, [1], [76])


def test_our_heartbeats_tell_the_log_s_time_and_others_do_not():
    stamps = []
    dog, _, _ = watchdog(stamped=stamps.append)
    dog.look(beat("another"), 5)
    dog.look(beat(), 7)
    assert stamps == [7]


def test_whoever_hangs_at_the_end_is_ended_with_the_code_it_would_have_had():
    ends, ended = [], threading.Event()

    def end(code):
        ends.append(code)
        ended.set()

    Deadline(0.0, end=end).start(lambda: 75)
    assert ended.wait(10) and ends == [75]


def test_whoever_has_ended_in_time_is_left_alone():
    ends = []
    deadline = Deadline(60.0, end=ends.append)
    deadline.start(lambda: 75)
    deadline.cancel()
    [waiting] = [thread for thread in threading.enumerate() if thread.name == "deadline"] or [None]
    if waiting is not None:
        waiting.join(10)
        assert not waiting.is_alive()
    assert ends == []
