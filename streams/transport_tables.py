"""Faust's table manager for an app that has none of its tables (D1)."""

from __future__ import annotations

from faust.tables.manager import TableManager


class NoTables(TableManager):
    """Starts at once: Faust's own sleeps a second, in case a module still has tables to register."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
