"""Compiled loops: numba's compiler for the few inner loops that every reading passes through.

A numpy step costs a microsecond or two however few rows it takes, and a detector takes up to two hundred of them a batch.
Compiled, a loop over the rows costs what it reckons, for one row and for ten thousand. The same steps in numpy stay: they run
where numba cannot be had or is switched off (``NUMBA_DISABLE_JIT=1``), and a property test of each detector demands **the same
bits** of both, because what a worker decides must not depend on where it runs. Three habits keep them the same:

* sums, products, quotients, roots and comparisons of doubles are the same everywhere; never ``fastmath``, which reorders them;
* logarithms and exponentials are our own (:mod:`detectors.elementary`): numpy's and the C library's differ in the last bit,
  and from processor to processor;
* a column of 32 bits is read as a double and written rounded, ``np.float32(x)``.

Compiled code is cached beside the source, under ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache directory.
Compiling takes seconds, reading the cache a tenth of one; ``python -m detectors.warm`` fills it, as ``make venv`` and the image
do, and a worker does it before it asks for partitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

numba: Any
try:
    import numba
except ImportError:
    numba = None

#: Whether loops are compiled in this process; detectors take the numpy way where not.
AVAILABLE: bool = numba is not None and not numba.config.DISABLE_JIT


def compiled(function: F) -> F:
    """Decorator of a loop over rows, or of a part of one; compiled code calls only compiled code. Where nothing is compiled
    the function stays what it is: slow, and the same.

    >>> @compiled
    ... def total(numbers):
    ...     found = 0.0
    ...     for one in numbers:
    ...         found += one
    ...     return found
    >>> import numpy as np
    >>> total(np.array([0.5, 0.25]))
    0.75
    """
    if not AVAILABLE:
        return function
    try:
        made: F = numba.njit(function, cache=True, error_model="numpy")
    except RuntimeError:  # no folder to keep compiled code in: each process compiles its own
        made = numba.njit(function, error_model="numpy")
    return made
