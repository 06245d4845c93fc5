"""A worker whose wall clock is off by what stands in a file (seconds), read ten times a second: a clock that is stepped.

libfaketime would step the C library's clock too, and with it the absolute times that waits of threads end at: a worker under it
stands still for other reasons than a stepped clock. Time that only ever grows is left alone, as a step leaves it alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

_time, _time_ns = time.time, time.time_ns
_offset_s = 0


def follow(offset_file: Path) -> None:
    global _offset_s
    while True:
        _offset_s = int(offset_file.read_text() or 0)
        time.sleep(0.1)


def stepped_time() -> float:
    return _time() + _offset_s


def stepped_time_ns() -> int:
    return _time_ns() + _offset_s * 1_000_000_000


if __name__ == "__main__":
    # The worker refuses settings it does not know.
    offset_file = Path(os.environ.pop("CITYWATCH_CLOCK_FILE"))
    time.time, time.time_ns = stepped_time, stepped_time_ns
    threading.Thread(target=follow, args=(offset_file,), daemon=True).start()
    import citywatch

    sys.exit(citywatch.main(sys.argv[1:]))
