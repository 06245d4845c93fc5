"""A wire between workers and a broker that can be made slow: a TCP relay, which needs neither root nor a kernel's module.

What goes in comes out in its order, ``delay_s`` later, in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence


class Wire:
    """Relays each of ``pairs`` (port that listens, port behind it) until :meth:`close`."""

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.delay_s = 0.0
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port, _ in pairs)
        self._pairs = pairs
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    async def _open(self) -> None:
        for port, behind in self._pairs:

            async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int = behind) -> None:
                with contextlib.suppress(OSError):
                    await self._connect(reader, writer, behind)
                writer.close()

            self._servers.append(await asyncio.start_server(met, "127.0.0.1", port))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: int) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", behind)
        ways = [asyncio.ensure_future(self._way(reader, far_writer)), asyncio.ensure_future(self._way(far_reader, writer))]
        self._tasks.update(ways)
        # Where one side has ended the other learns of it.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
            self._tasks.discard(way)
        far_writer.close()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        arriving = asyncio.ensure_future(arrive())
        try:
            data = b"-"
            while data:
                data = await reader.read(65_536)
                under_way.put_nowait((self._loop.time() + self.delay_s, data))
            await arriving
        finally:
            arriving.cancel()

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
