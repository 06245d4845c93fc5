"""Plain numbers: one slot's state outside of numpy, for what is shown few rows at a time.

A numpy step costs a microsecond however few rows it takes, so detectors that are shown one row at a time do better in plain
numbers. They must give the same bits, for which of the two runs depends on where a batch was cut. Sums, products, quotients,
roots and comparisons of doubles are the same in both. Three things are not:

* a column of 32 bits rounds what it is given, and numpy reckons in 32 bits where both sides are: :func:`single`;
* logarithms, exponentials and powers are numpy's own, so they are numpy's here too;
* numpy sums eight numbers and more in an order of its own.
"""

from __future__ import annotations

from ctypes import c_float
from types import SimpleNamespace

#: One slot (:meth:`detectors.base.Columns.held`), its columns as attributes.
Held = SimpleNamespace


def single(number: float) -> float:
    """The number as a column of 32 bits holds it; beyond their range it is infinite.

    >>> single(0.1), single(1e39)
    (0.10000000149011612, inf)
    """
    return c_float(number).value
