import signal
import subprocess
import sys

import pytest

from streams.errors import Mend
from topologies.crash_points import CrashPoints


def test_unset_points_are_inert():
    CrashPoints(None).passed("after_ack")
    assert CrashPoints.from_environment({})._point is None


def test_an_unknown_point_is_refused_with_the_known_ones():
    with pytest.raises(Mend, match="after_checkpoint"):
        CrashPoints("somewhere")


@pytest.mark.parametrize("spec", ["after_ack:x", "after_ack:0"])
def test_a_count_that_is_none_is_refused(spec):
    with pytest.raises(Mend):
        CrashPoints(spec)


def test_the_process_dies_at_the_nth_pass_and_not_before():
    code = (
        "from topologies.crash_points import CrashPoints\n"
        "points = CrashPoints('after_ack:2')\n"
        "points.passed('after_ack'); points.passed('after_produce')\n"
        "print('alive', flush=True); points.passed('after_ack'); print('still')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "alive\n")
