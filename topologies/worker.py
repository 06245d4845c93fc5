"""The worker: ``citywatch worker``, the two stages on Kafka.

Exit codes, for supervisors:

0   asked to stop (SIGTERM, SIGINT): checkpointed, acknowledged, left the group
2   a person must mend something: setting, address, missing server or topic, a checkpoint that does not belong to this log
70  an error of the program: nothing was skipped; it would meet the same record again
74  outputs could not be written to the log: started again, it decides again from the checkpoint
75  fenced: another worker owns a shard of this one (it was paused or cut off); started again, it joins the group anew
76  the watchdog's heartbeat did not come back: the consumer or the event loop hung

Everything but 2 is mended by starting again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust

from detectors.rulebook import RuleBook
from detectors.warm import warm
from streams.errors import Mend
from streams.kafka import LogReader, NotAcknowledged, Producer
from streams.registry import Registry
from streams.topics import topic_name
from streams.transport import BatchSchema, TransportOptions, make_app, stop_app
from topologies.checkpoints import CheckpointStore, Fenced, MemoryStore, RedisStore, TopicStore
from topologies.crash_points import CrashPoints
from topologies.health import HealthServer
from topologies.metrics import Metrics
from topologies.settings import Settings
from topologies.watchdog import Deadline, Heartbeat, Watchdog
from topologies.worker_build import CONSUMED, Builder, stage_of
from topologies.worker_clock import LogClock, wall_ms
from topologies.worker_gauges import Gauges
from topologies.worker_log import awaited
from topologies.worker_outputs import SinkProducer
from topologies.worker_registry import RegistryFollower
from topologies.worker_shards import Shards
from topologies.worker_versions import Versions, registry_at

log = logging.getLogger(__name__)

#: The consumer has so long to leave the group, all of the end so long before the process is ended by force.
_CONSUMER_STOP_S, _END_S = 4.0, 15.0
#: How long a thread may hold the interpreter while another waits for it.
SWITCH_S = 0.0005
EXIT_DONE, EXIT_MEND, EXIT_PROGRAM, EXIT_OUTPUTS, EXIT_FENCED, EXIT_WATCHDOG = 0, 2, 70, 74, 75, 76
_EXITS: dict[type[Exception], int] = {Mend: EXIT_MEND, Fenced: EXIT_FENCED, NotAcknowledged: EXIT_OUTPUTS}


def run_worker(settings: Settings, *, ready: Callable[[int], None] | None = None) -> int:
    """Run until asked to stop or until it must end; returns the exit code. ``ready(port)`` is called once HTTP answers.

    Call it from the main thread: it takes SIGTERM, SIGINT (stop) and SIGHUP (read the rules again). Raises :class:`Mend` for
    what a person must mend before anything was begun.
    """
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("citywatch.librdkafka").setLevel(logging.ERROR)
    warm(log.info)
    deadline = Deadline(_END_S)
    try:
        return asyncio.run(_main(settings, ready, deadline))
    finally:
        deadline.cancel()


async def _main(settings: Settings, ready: Callable[[int], None] | None, deadline: Deadline) -> int:
    worker = Worker(settings)
    try:
        await worker.start()
        if ready is not None:
            ready(worker.http_port)
        await worker.ended.wait()
    except Exception as error:
        worker.exit_code = exit_code_of(error)  # should the end have to be forced
        raise
    finally:
        deadline.start(lambda: worker.exit_code)
        await worker.stop()
    if isinstance(worker.failure, Mend):
        raise worker.failure
    return worker.exit_code


def exit_code_of(failure: Exception) -> int:
    return next((code for kind, code in _EXITS.items() if isinstance(failure, kind)), EXIT_PROGRAM)


def rules_of(settings: Settings) -> RuleBook:
    """The rulebook the settings name. Raises :class:`detectors.rulebook.RuleError` (a Mend)."""
    return RuleBook.from_dir(Path(settings.rules)) if settings.rules else RuleBook.default()


def store_of(settings: Settings) -> CheckpointStore:
    number = settings.checkpoint_format
    if settings.checkpoint_store == "memory":
        return MemoryStore(number)
    if settings.checkpoint_store == "topic":
        topic = topic_name("checkpoints", settings.topic_prefix)
        return TopicStore(settings.broker, topic, settings.namespace, settings.group, number=number)
    return RedisStore(settings.redis, settings.namespace, settings.group, number=number)


class Worker:
    """One worker process: the Faust app, its shards, and everything around them."""

    def __init__(self, settings: Settings, environ: dict[str, str] | None = None) -> None:
        self.settings = settings
        self.name = settings.worker_id or f"{socket.gethostname()}-{os.getpid()}"
        self.points = CrashPoints.from_environment(os.environ if environ is None else environ)
        self.rules = rules_of(settings)
        self.registry = Registry.from_assets([])
        self.metrics = Metrics()
        self.metrics.expect((rule.name for rule in self.rules), (rule.category for rule in self.rules))
        self.metrics.rules_reload.set(1)
        self.ended = asyncio.Event()
        self.log_clock = LogClock()
        self.exit_code = EXIT_DONE
        self.failure: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: list[Callable[[], Any]] = []
        self._health: HealthServer | None = None
        self._watchdog: Watchdog | None = None
        self._app: faust.App | None = None
        self._app_started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Of the start.
        self._waiting_for = ""

    @property
    def http_port(self) -> int:
        return self._health.port if self._health is not None else 0

    # --- start ------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything in the order in which a failure is cheapest to understand: store, log, registry, then the consumer."""
        settings = self.settings
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_rules()))

        self._health = HealthServer(
            self, self.metrics.exposition, self.metrics.content_type, settings.web_host, settings.web_port
        )
        await self._health.start()
        place = settings.broker, settings.topic_prefix
        facts = await awaited(*place, settings.broker_timeout_s, self.ended, self._wait_for)
        if facts is None:
            return
        store = store_of(settings)
        self._closing.append(store.close)
        follower = RegistryFollower(
            settings.broker,
            topic_name("registry", settings.topic_prefix),
            settle_s=settings.registry_settle_s,
            changed=lambda registry: self._from_thread(self._switch_registry, registry),
            failed=lambda error: self._from_thread(self.end, error),
        )
        self._closing.append(follower.close)
        self.registry = await asyncio.to_thread(follower.load, settings.registry_timeout_s)

        self.producer = Producer(settings.broker)
        self._closing.append(lambda: self.producer.close(2.0))
        self._sink_producer = SinkProducer(settings.broker)
        self.builder = Builder(
            settings,
            self.rules,
            self.registry,
            self.producer,
            self._sink_producer,
            self.metrics,
            facts,
            self.points,
            self.end,
            Versions(store, functools.partial(registry_at, settings.broker, topic_name("registry", settings.topic_prefix))),
        )
        self.shards = Shards(
            store,
            self.producer,
            self.metrics,
            stage_of=lambda topic: stage_of(topic, settings.topic_prefix),
            make=self.builder.shard,
            ended=self.end,
            cluster_id=facts.cluster_id,
            partition_counts=facts.partitions,
            unacknowledged_records=settings.unacknowledged_records,
            points=self.points,
            prepare=self.builder.prepare,
            log_now=self.log_clock.now,
        )
        app = self._app = self._make_app()
        gauges = Gauges(self.metrics, self.shards, app.transport)
        self.metrics.before_scrape.append(gauges.refresh)
        self._spawn_faust()
        follower.start()
        self._start_watchdog()
        self._spawn(self.shards.checkpoints(settings.checkpoint_every_s))
        self._spawn(self._every(settings.heartbeat_every_s, self._heartbeat))

    def _wait_for(self, what: str) -> None:
        self._waiting_for = what

    def _make_app(self) -> faust.App:
        settings = self.settings
        prefix = settings.topic_prefix
        options = TransportOptions(
            fetch_wait_ms=settings.fetch_wait_ms,
            batch_records=settings.batch_records,
            playback=settings.playback,
            holes_allowed=frozenset({topic_name("mutes", prefix)}),
            settle_timeout_s=max(4.0, min(20.0, settings.checkpoint_every_s * 4)),
        )
        app = make_app(
            settings.group,
            settings.broker,
            options=options,
            loop=asyncio.get_running_loop(),
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / 5,
        )
        transport: Any = app.transport
        transport.marks_provider = self.shards.marks
        transport.settle = self.shards.settle
        transport.on_idle = self.shards.idle
        transport.on_gap = lambda tp, expected, got: self.metrics.log_gaps.labels(tp.topic).inc(got - expected)
        self.shards.transport = transport
        self.shards.generation = lambda: app.consumer_generation_id
        for base in CONSUMED:
            self._agent(app, topic_name(base, prefix))
        return app

    def _agent(self, app: faust.App, topic: str) -> None:
        async def intake(stream: Any) -> None:
            async for event in stream.noack().events():
                try:
                    await self.shards.take(event)
                    await asyncio.sleep(0)  # signals that have come meanwhile go before the next batch of readings
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    # Faust would acknowledge the event and go on behind it; a record we cannot decide ends the process.
                    self.end(error)
                    await asyncio.Event().wait()

        app.agent(app.topic(topic, schema=BatchSchema()), name=f"intake {topic}", concurrency=1)(intake)

    def _spawn_faust(self) -> None:
        app = self._app
        assert app is not None

        async def run() -> None:
            self._app_started = True
            app.finalize()
            await app.start()
            # Warm: what lives now lives as long as the process (a third more records a second, DESIGN section 6).
            gc.freeze()
            gc.set_threshold(10_000, 20, 100)
            # Deciding holds the interpreter for milliseconds on end. With the usual 5 ms the thread that fetches gets it back
            # too seldom to keep up, and the worker falls seconds behind while its core is not full.
            sys.setswitchinterval(SWITCH_S)
            await app.wait_until_stopped()
            if not self.ended.is_set():
                self.end(getattr(app, "crash_reason", None) or RuntimeError("the consumer stopped"))

        self._spawn(run())

    def _start_watchdog(self) -> None:
        settings = self.settings
        topic = topic_name("heartbeat", settings.topic_prefix)
        self._watchdog = Watchdog(
            self.name,
            lambda: LogReader(settings.broker, [topic], start="latest"),
            limit_s=settings.heartbeat_limit_s,
            exit_code=EXIT_WATCHDOG,
            came_back=self.metrics.heartbeat_came_back,
            stamped=self.log_clock.beat,
        )
        self._watchdog.start()
        self._closing.append(self._watchdog.close)

    # --- what happens every few seconds -------------------------------------------------------------------------------------

    async def _every(self, seconds: float, call: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await call()

    async def _heartbeat(self) -> None:
        beat = Heartbeat(worker=self.name, sent_at=wall_ms(), intake_at=self.shards.intake_at)
        self.builder.send(topic_name("heartbeat", self.settings.topic_prefix), self.builder.encode(beat), self.name)

    # --- switches -----------------------------------------------------------------------------------------------------------

    def _switch_registry(self, registry: Registry) -> None:
        self.registry = registry
        self._spawn(self._switch(registry=registry))

    async def _reload_rules(self) -> None:
        """SIGHUP: rules are read and validated whole first; where they are wrong the old ones stay and a metric says so."""
        try:
            rules = await asyncio.to_thread(rules_of, self.settings)
        except Mend as error:
            self.metrics.rules_reload.set(0)
            log.error("the rules stay as they were: %s", error)
            return
        self.metrics.rules_reload.set(1)
        if rules.fingerprint != self.rules.fingerprint:
            self.rules = rules
            self.metrics.expect((rule.name for rule in rules), (rule.category for rule in rules))
            await self.builder.keep(rules)
            await self._switch(rules=rules)
        log.info("rules %s in use", rules.fingerprint)

    async def _switch(self, *, rules: RuleBook | None = None, registry: Registry | None = None) -> None:
        def now() -> None:
            self.builder.switch(self.shards.held.values(), rules=rules, registry=registry)

        await self.shards.checkpoint(between=now)

    # --- what is told over HTTP -----------------------------------------------------------------------------------------------

    def unhealthy(self) -> list[str]:
        if self._watchdog is not None and not self._watchdog.alive:
            return [f"no heartbeat came back for {self._watchdog.age_s:.0f} s"]
        return []

    def unready(self) -> list[str]:
        if self._app is None:
            return [self._waiting_for or "the registry is being read"]
        reasons = [self.shards.waiting_for] if self.shards.waiting_for else []
        if self.ended.is_set():
            reasons.append("the worker is stopping")
        return reasons

    def open_incidents(self) -> list[bytes]:
        return self.builder.open_incidents(self.shards.held.values()) if self._app is not None else []

    # --- end ------------------------------------------------------------------------------------------------------------------

    def end(self, failure: Exception) -> None:
        """The worker must not go on; the first reason decides the exit code."""
        if self.failure is not None:
            return
        self.failure = failure
        self.exit_code = exit_code_of(failure)
        if self.exit_code == EXIT_PROGRAM:
            log.critical("%s", "".join(traceback.format_exception(failure)))
        log.critical("the worker ends with exit code %d: %s", self.exit_code, failure)
        if self._app is not None:
            # What happened since the last checkpoint is in doubt: it is decided again by whoever goes on.
            self.shards.abandon()
        self.ended.set()

    async def stop(self) -> None:
        """Checkpoint, acknowledge, leave the group, close everything; within five seconds."""
        self.ended.set()
        if self._app is not None and self._app_started and not await stop_app(self._app, _CONSUMER_STOP_S):
            log.warning("the consumer did not stop in time; what it covers is safe in the checkpoint")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._app is not None:
            await self.builder.close()
            await self._sink_producer.close()
        for close in reversed(self._closing):
            with contextlib.suppress(Exception):
                await asyncio.to_thread(close)
        if self._health is not None:
            await self._health.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _from_thread(self, call: Callable[..., None], *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)
