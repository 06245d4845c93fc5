"""The registry as the worker holds it: read whole before anything is decided, then followed.

A blocking reader in a thread of its own; changes are collected for a moment and handed over as one new :class:`Registry`, so
that an import of ten thousand assets is one switch and not ten thousand.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from streams.codec import decode_record
from streams.errors import Mend
from streams.kafka import LogReader, LogRecord
from streams.records import Asset
from streams.registry import Registry
from streams.unreadable import Cause

log = logging.getLogger(__name__)


def applied(registry: Registry, records: Iterable[LogRecord], revision: int = 0) -> Registry:
    """The registry after these records of ``city.registry``, in their order; what cannot be read changes nothing and is said.

    The registry's revision becomes the offset behind the last record, readable or not, or ``revision`` where that is higher.
    """
    assets: dict[str, Asset | None] = {}
    revision = max(revision, registry.revision)
    for record in records:
        revision = max(revision, record.offset + 1)
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            assets[key] = None
            continue
        asset = decode_record(Asset, record.value)
        if isinstance(asset, Cause):
            log.error(
                "%s offset %d is no asset: %s at %s %s", record.topic, record.offset, asset.reason, asset.path, asset.detail
            )
            continue
        assets[asset.asset_id] = asset
    gone = [key for key, asset in assets.items() if asset is None]
    return registry.with_assets([asset for asset in assets.values() if asset is not None], gone=gone, revision=revision)


class RegistryFollower:
    """``changed(registry)`` is called from the follower's thread, ``failed(error)`` when it cannot go on."""

    def __init__(
        self,
        broker: str,
        topic: str,
        *,
        settle_s: float,
        changed: Callable[[Registry], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._broker, self._topic, self._settle_s = broker, topic, settle_s
        self._changed, self._failed = changed, failed
        self._reader: LogReader | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="registry", daemon=True)
        self.registry = Registry.from_assets([])

    def load(self, timeout_s: float) -> Registry:
        """Blocking: everything up to the end the topic has now. Raises :class:`Mend`."""
        self._reader = LogReader(self._broker, [self._topic])
        self.registry = applied(self.registry, self._reader.read_to_end(timeout_s or 1e9))
        return self.registry

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        if self._reader is not None and not self._thread.is_alive():
            self._reader.close()

    def _follow(self) -> None:
        assert self._reader is not None
        waiting: list[LogRecord] = []
        since = 0.0
        while not self._stopping.is_set():
            try:
                found = self._reader.poll(0.2)
            except Mend as error:
                self._failed(error)
                return
            if found and not waiting:
                since = time.monotonic()
            waiting += found
            if waiting and time.monotonic() - since >= self._settle_s:
                self.registry = applied(self.registry, waiting)
                waiting = []
                self._changed(self.registry)
