"""What a number was measured on: processor, cores, versions, and how busy the machine was."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "orjson", "msgspec", "numpy", "numba", "shapely")


def processor() -> str:
    """Name of the processor, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def cores() -> list[int]:
    """Cores this process may use; empty where the system cannot say (macOS)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def load() -> str:
    """Load averages over 1, 5 and 15 minutes."""
    return ", ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def times() -> tuple[int, int]:
    """(taken away, all) processor time since the system began, in its ticks: what a virtual machine's host gave to others."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0, 0
    return fields[7], sum(fields)


def taken_away(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Share of the processor time between two :func:`times` that the host gave to others.

    >>> taken_away((10, 1000), (20, 1200))
    0.05
    """
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def pin(wanted: Iterable[int], process: int = 0) -> None:
    """Keep the calling thread (or a process's main one), and all threads and processes it starts from now on, on these cores;
    where that can be done."""
    chosen = set(wanted)
    if chosen and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, chosen)


def die_with_parent() -> None:
    """Called in a process that was started to measure: it ends when whoever started it does, killed or not (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def split(available: list[int]) -> tuple[list[int], list[int]]:
    """(core of the reader, core of broker and feeder). One core only: both share it; none known: nothing is pinned."""
    if len(available) < 2:
        return available, available
    return [available[0]], [available[1]]


def facts() -> dict[str, str]:
    """Label → what a reader of the numbers must know."""
    available = cores()
    return {
        "processor": processor(),
        "cores": str(len(available) or os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "load before (1, 5, 15 min)": load(),
    }
