"""Compile what is compiled before the first reading asks for it: ``python -m detectors.warm``.

Every detector with a compiled loop is shown one reading, the ladder one measure, the reading of the log and the scan one record
each. With a filled cache that takes a fraction of a second, without one some seconds, and it is better spent at installation
or before a worker asks for partitions than in the middle of a stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from detectors.base import registered
from detectors.ladder import first_beyond, first_stirring
from detectors.series import Series
from streams.batch import Batch
from streams.compiled import AVAILABLE
from streams.gate import GateSettings
from streams.gate_kernel import warm as warm_gate
from streams.record_batch_kernel import warm as warm_record_batch
from streams.scan import warm as warm_scan
from streams.slot_memory import warm as warm_memory
from streams.spellings import warm as warm_spellings

#: Parameters without a default, by detector, and those under which its state is another one.
GIVEN: dict[str, list[dict[str, Any]]] = {
    "rate_of_change": [{"window_s": 3600.0}],
    "robust_z": [{}, {"season": "day"}],
    "stuck": [{}, {"unit": "times"}],
}


#: Reading the cache takes less; who waits longer is told why.
PATIENCE_S = 3.0


def warm(tell: Callable[[str], None] | None = None, patience_s: float = PATIENCE_S) -> list[str]:
    """Names of the detectors whose loops are compiled now; none where nothing can be compiled. ``tell`` is called from another
    thread, once, where it takes longer than ``patience_s``."""
    if not AVAILABLE:
        return []
    if tell is None:
        return _warm()
    telling = threading.Timer(patience_s, tell, ["the detectors' loops are being compiled, which is done once an installation"])
    telling.daemon = True
    telling.start()
    try:
        return _warm()
    finally:
        telling.cancel()


def _warm() -> list[str]:
    names = sorted(name for name, kind in registered().items() if kind.compiled)
    for name in names:
        kind = registered()[name]
        for given in GIVEN.get(name, [{}]):
            detector = kind(kind.Params(**given), [Series("warm")])
            detector.grow(1)
            detector.measure(_reading())
    for mildest in (np.zeros(1), np.broadcast_to(0.0, (1,))):
        first_stirring(1.0, mildest, np.zeros(1, np.bool_), np.zeros(1, np.int32), np.zeros(1))
    first_beyond(1.0, 0.0, np.zeros(1))
    warm_gate(GateSettings().remember_rows)
    warm_memory()
    warm_record_batch()
    warm_spellings(warm_scan())
    return names


def _reading() -> Batch:
    slot, at = np.zeros(1, np.int32), np.array([1_700_000_000_000])
    return Batch("sensor", slot, at, at, np.zeros(1, np.int64), slot, slot != 0, [None], {"value": np.zeros(1)})


if __name__ == "__main__":
    import detectors  # noqa: F401 - registers those of the house

    print(f"compiled: {', '.join(warm()) or 'nothing (numba is not there or switched off)'}")
