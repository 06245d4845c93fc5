import asyncio
import json

import aiohttp
import pytest

from streams.errors import Mend
from topologies.health import HealthServer
from topologies.metrics import Metrics


class Worker:
    def __init__(self):
        self.ill, self.missing, self.open = [], [], []

    def unhealthy(self):
        return self.ill

    def unready(self):
        return self.missing

    def open_incidents(self):
        return self.open


def ask(path, worker=None):
    async def run():
        server = HealthServer(worker or Worker(), Metrics().exposition, Metrics.content_type, "127.0.0.1", 0)
        await server.start()
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
            found = answer.status, answer.headers["Content-Type"], await answer.text()
        await server.close()
        return found

    return asyncio.run(run())


def test_an_alive_worker_answers_200():
    assert ask("/healthz")[0] == 200


def test_a_worker_whose_heartbeat_is_away_answers_503_with_the_reason():
    worker = Worker()
    worker.ill = ["no heartbeat came back for 61 s"]
    status, _, text = ask("/healthz", worker)
    assert (status, json.loads(text)["reasons"]) == (503, worker.ill)


def test_what_is_not_ready_is_named():
    worker = Worker()
    worker.missing = ["no partition is assigned"]
    status, _, text = ask("/readyz", worker)
    assert (status, json.loads(text)["reasons"]) == (503, worker.missing)


def test_a_ready_worker_answers_200():
    assert ask("/readyz")[0] == 200


def test_metrics_are_openmetrics():
    status, kind, text = ask("/metrics")
    assert status == 200 and kind.startswith("application/openmetrics-text") and text.endswith("# EOF\n")


def test_open_incidents_are_a_json_array():
    worker = Worker()
    worker.open = [b'{"a":1}', b'{"a":2}']
    assert json.loads(ask("/incidents", worker)[2]) == [{"a": 1}, {"a": 2}]


def test_no_open_incident_is_an_empty_array():
    assert ask("/incidents")[2] == "[]"


def test_a_port_that_is_taken_is_refused_with_its_setting():
    async def run():
        first = HealthServer(Worker(), Metrics().exposition, Metrics.content_type, "127.0.0.1", 0)
        await first.start()
        second = HealthServer(Worker(), Metrics().exposition, Metrics.content_type, "127.0.0.1", first.port)
        try:
            await second.start()
        finally:
            await first.close()

    with pytest.raises(Mend, match="CITYWATCH_WEB_PORT"):
        asyncio.run(run())
