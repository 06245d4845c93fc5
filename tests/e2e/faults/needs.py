"""What a fault needs of the machine: each call says what is missing, or None."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path


def tmpfs() -> str | None:
    return None if os.geteuid() == 0 and shutil.which("mount") else "only root can mount a small file system"


def namespace() -> str | None:
    if os.environ.get("CITYWATCH_FAULTS_ALONE"):
        return None
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return "only root can make a network namespace (unshare, iproute2)"
    return None


CHECKS: Mapping[str, Callable[[], str | None]] = {"tmpfs": tmpfs, "namespace": namespace}


def mounted(folder: Path, megabytes: int) -> Path:
    """A small file system at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "citywatch-faults", str(folder)], check=True)
    return folder


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False)
