"""Compiled loops: numba's compiler for the few inner loops that every reading passes through.

A numpy step costs what its call costs, however few rows it takes, and a detector takes many of them a batch.
Compiled, a loop over the rows costs what it reckons, for one row and for ten thousand. The same steps in numpy stay: they run
where numba cannot be had or is switched off (``NUMBA_DISABLE_JIT=1``), and a property test of each detector demands **the same
bits** of both, because what a worker decides must not depend on where it runs. Three habits keep them the same:

* sums, products, quotients, roots and comparisons of doubles are the same everywhere; never ``fastmath``, which reorders them;
* logarithms and exponentials are our own (:mod:`detectors.elementary`): numpy's and the C library's differ in the last bit,
  and from processor to processor;
* a column of 32 bits is read as a double (:func:`detectors.elementary.double`) and written rounded, ``np.float32(x)``.

One more keeps them quick: parts of a loop hand each other numbers and records (:mod:`detectors.slot_records`), not arrays,
whose holders compiled code counts at every call.

Compiled code is cached beside the source, under ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache directory.
Compiling takes far longer than reading the cache; ``python -m detectors.warm`` fills it, as ``make venv`` and the image
do, and a worker does it before it asks for partitions. A loop is compiled anew when a module it stands on has changed; that of
a constant is seen where the constant is named with it, ``fixed.CAP``. numba itself is imported with the first call, because
reading rules or answering ``--help`` needs none of it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

#: Whether loops are compiled in this process; detectors take the numpy way where not.
AVAILABLE: bool = importlib.util.find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


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
    >>> float(total(np.array([0.5, 0.25])))
    0.75
    """
    return cast(F, _Loop(function)) if AVAILABLE else function


class _Loop:
    """A function that numba is asked for when it is first called."""

    waiting: ClassVar[list[_Loop]] = []

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__doc__, self.__name__, self.__module__ = function.__doc__, function.__name__, function.__module__
        self._made: Callable[..., Any] | None = None
        _Loop.waiting.append(self)

    def __call__(self, *arguments: Any) -> Any:
        if self._made is None:
            _meet_numba()
        return self._made(*arguments)  # type: ignore[misc]


def _meet_numba() -> None:
    """Hand every waiting function to numba. A compiled function finds those it calls by their names in its module, where they
    must be numba's by the time it is compiled; that is at its own first call."""
    import numba

    new, _Loop.waiting = _Loop.waiting, []
    for loop in new:
        try:
            loop._made = _stamped(numba.njit(loop.function, cache=True, error_model="numpy"), loop.function)
        except RuntimeError:  # no folder to keep compiled code in: each process compiles its own
            loop._made = numba.njit(loop.function, error_model="numpy")
    for loop in new:
        names: dict[str, Any] = loop.function.__globals__
        names.update({name: held._made for name, held in names.items() if isinstance(held, _Loop) and held._made is not None})


def _stamped(made: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Cached code holds what the function calls as well, but numba only looks whether the function's own file has changed; here
    its stamp is that of all files. The stamp has no public name: where it has none any more, numba's rule holds."""
    file: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(file, "_source_stamp"):
        paths = _stands_on(function.__module__, Path(function.__code__.co_filename).parent)
        file._source_stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return cast("Callable[..., Any]", made)


@cache
def _stands_on(module: str, folder: Path) -> list[Path]:
    """Files of the folder that the module imports from, and theirs, and so on."""
    found: set[Path] = set()
    seen, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        names = vars(sys.modules[name]) if name in sys.modules else {}
        path = Path(names.get("__file__") or "")
        if path.parent != folder:
            continue
        found.add(path)
        for value in names.values():
            other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(other, str) and other not in seen:
                waiting.add(other)
    return sorted(found)
