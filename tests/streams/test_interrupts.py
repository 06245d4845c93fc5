import os
import signal
import threading

import pytest

from streams.interrupts import set_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_interrupts_nothing(number):
    before, stop = signal.getsignal(number), threading.Event()
    with set_by_signals(stop):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_who_is_impatient_is_interrupted_by_the_second():
    stop = threading.Event()
    with pytest.raises(KeyboardInterrupt), set_by_signals(stop, impatient=True):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_nothing_changes():
    before, seen = signal.getsignal(signal.SIGINT), []

    def elsewhere():
        with set_by_signals(threading.Event()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]
