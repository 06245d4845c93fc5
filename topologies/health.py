"""What the worker says of itself over HTTP, on loopback unless told otherwise: /metrics, /healthz, /readyz, /incidents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from aiohttp import web

from streams.errors import Mend


class Told(Protocol):
    """What the endpoints ask of the worker."""

    def unhealthy(self) -> list[str]:
        """Why the process should be ended; empty: alive."""
        ...

    def unready(self) -> list[str]:
        """What is not there yet; empty: ready."""
        ...

    def open_incidents(self) -> Iterable[bytes]:
        """JSON of the last revision of each open incident of this worker's partitions."""
        ...


class HealthServer:
    """``exposition()`` returns OpenMetrics text of ``content_type``."""

    def __init__(self, told: Told, exposition: Callable[[], bytes], content_type: str, host: str, port: int) -> None:
        self._told, self._exposition, self._content_type = told, exposition, content_type
        self._host, self.port = host, port
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/incidents", self._incidents),
            ]
        )
        # Connections that linger must not hold up the end of the process.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Raises :class:`Mend` where the port is taken. Port 0 takes a free one; :attr:`port` says which."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self.port)
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise Mend(
                f"cannot listen ({error.strerror})",
                where=f"{self._host}:{self.port}",
                mend="set CITYWATCH_WEB_PORT to a free port",
            ) from None
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._exposition(), headers={"Content-Type": self._content_type})

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer("alive", self._told.unhealthy())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer("ready", self._told.unready())

    async def _incidents(self, _: web.Request) -> web.Response:
        return web.Response(body=b"[" + b",".join(self._told.open_incidents()) + b"]", content_type="application/json")


def _answer(good: str, reasons: list[str]) -> web.Response:
    if not reasons:
        return web.json_response({"status": good, "reasons": []})
    return web.json_response({"status": f"not {good}", "reasons": reasons}, status=503)
