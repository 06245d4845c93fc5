"""The table of faults: how each is done, to how many workers, with which settings, and how the outcome is judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from tests.e2e.faults.injuries import brokers, rules, stores, workers
from tests.e2e.faults.patient import Patient

NONE: Mapping[str, str] = MappingProxyType({})
#: Checkpoints so seldom that a kill finds much that was said since the last.
SELDOM = MappingProxyType({"CITYWATCH_CHECKPOINT_EVERY_S": "5"})
#: No checkpoint but the first: a kill finds everything that was said.
NEVER = MappingProxyType({"CITYWATCH_CHECKPOINT_EVERY_S": "3600"})
TOPIC = MappingProxyType({"CITYWATCH_CHECKPOINT_STORE": "topic"})


@dataclass(frozen=True)
class Scenario:
    """``judged`` by the group left in peace (``calm``), or, where the fault itself changes what is decided, by deciding the
    recorded log again (``verify``). ``seen``: a deliberate mistake, which the lab must see or be blind."""

    name: str
    what: str
    injure: Callable[[Patient], str]
    workers: int = 1
    settings: Mapping[str, str] = field(default_factory=lambda: NONE)
    judged: Literal["calm", "verify"] = "calm"
    #: False: the group is begun by the fault itself.
    running: bool = True
    nodes: int = 1
    #: What must be there: names of ``needs.py``'s checks.
    needs: tuple[str, ...] = ()
    module: str = "citywatch"
    seen: bool = False
    #: The store is set back on purpose: its marks may go back.
    set_back: bool = False
    #: All is decided again by the rules at hand: what other rules had decided is told in a second way, as it must be.
    rebuilt: bool = False
    #: The workers reach the broker by the relay.
    wired: bool = False
    #: Redis writes to a small disk of its own.
    confined: bool = False


SCENARIOS = (
    Scenario("kill-point", "worker killed −9 at a named point", workers.kill_at_point),
    Scenario("kill-point-topic", "the same, checkpoints in a topic", workers.kill_at_point, settings=TOPIC),
    Scenario("kill-anywhere", "worker killed −9 at a random moment", workers.kill_anywhere),
    Scenario("kill-all", "both workers killed −9 at once", workers.kill_all, workers=2),
    Scenario("zombie", "worker stopped for longer than its session, then continued", workers.zombie, workers=2),
    Scenario("zombie-topic", "the same, checkpoints in a topic", workers.zombie, workers=2, settings=TOPIC),
    Scenario("come-and-go", "workers join and leave under load", workers.come_and_go),
    Scenario("two-begin", "two workers begin a new group at once", workers.two_begin, workers=2, running=False),
    Scenario("upgraded", "workers replaced by a version with another checkpoint format", workers.upgraded, workers=2,
        module="tests.e2e.apps.older_worker"),
    Scenario("redis-killed", "Redis killed and started again", stores.redis_killed),
    Scenario("redis-emptied", "Redis comes back empty", stores.redis_emptied, set_back=True, rebuilt=True),
    Scenario("redis-set-back", "Redis restored from an old snapshot", stores.redis_set_back, set_back=True),
    Scenario("disk-full", "the disk of Redis is full", stores.disk_full, needs=("tmpfs",), confined=True),
    Scenario("recording-full", "the disk of a recording is full", stores.recording_full, needs=("tmpfs",)),
    Scenario("broker-killed", "the only broker killed and started again", brokers.broker_killed),
    Scenario("broker-killed-topic", "the same, checkpoints in a topic", brokers.broker_killed, settings=TOPIC),
    Scenario("leader-killed", "one of three brokers killed and started again", brokers.leader_killed, nodes=3),
    Scenario("brokers-away", "all three brokers killed, back after a minute", brokers.brokers_away, nodes=3),
    Scenario("partitions-added", "partitions added to a topic", brokers.partitions_added, set_back=True, rebuilt=True),
    Scenario("network-slow", "every packet between worker and broker late for seconds", brokers.network_slow, wired=True),
    Scenario(
        "network-cut", "every connection cut for seconds", brokers.network_cut, needs=("namespace",)
    ),
    Scenario("sink-hangs", "a sink that hangs", stores.sink_hangs, settings=TOPIC),
    Scenario("clock-stepped", "the worker's clock stepped by an hour and back", workers.clock_stepped,
        module="tests.e2e.apps.stepped_worker"),
    Scenario(
        "rules-reload", "rules read again, worker killed −9 in the switch", rules.reload_and_die, settings=SELDOM,
        judged="verify",
    ),
    Scenario(
        "rules-changed", "worker killed −9, started with other rules", rules.die_and_change, settings=SELDOM,
        judged="verify",
    ),
    Scenario(
        "no-order", "*mistake:* checkpoints do not wait for their outputs", workers.kill_hasty,
        module="tests.e2e.apps.hasty_worker", seen=True,
    ),
    Scenario(
        "no-fence", "*mistake:* the store fences nobody", workers.zombie_unfenced, workers=2,
        module="tests.e2e.apps.unfenced_worker", seen=True,
    ),
    Scenario(
        "no-memory", "*mistake:* the rules at hand decide what others had decided", rules.die_and_change,
        settings=NEVER, judged="verify", module="tests.e2e.apps.forgetful_worker", seen=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """Faults that befall one group of workers one after the other, judged together at the end: what they share (starting
    workers, an undisturbed group, waiting for the last timers) is paid once. Who must know which of them it was runs that."""

    links: tuple[Scenario, ...]

    @property
    def name(self) -> str:
        return "+".join(link.name for link in self.links)

    @property
    def settings(self) -> Mapping[str, str]:
        return self.links[0].settings

    @property
    def module(self) -> str:
        """One link may need a worker of its own, which behaves like the others as long as it is left alone."""
        return next((link.module for link in self.links if link.module != "citywatch"), "citywatch")

    @property
    def nodes(self) -> int:
        return max(link.nodes for link in self.links)

    @property
    def wired(self) -> bool:
        return any(link.wired for link in self.links)

    @property
    def confined(self) -> bool:
        return any(link.confined for link in self.links)

    @property
    def judged(self) -> Literal["calm", "verify"]:
        return self.links[0].judged

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(need for link in self.links for need in link.needs)

    def with_rules_read_again(self) -> Chain | None:
        """What of it can befall workers whose rules change meanwhile; None where it is about that, or nothing is left."""
        links = tuple(link for link in self.links if not (link.rebuilt or link.seen))
        return Chain(links) if links and self.judged == "calm" else None

    def without(self, needs: Collection[str]) -> Chain:
        """What is left where these cannot be had."""
        return Chain(tuple(link for link in self.links if not {*link.needs} & {*needs}))


BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def _chain(*names: str) -> Chain:
    return Chain(tuple(BY_NAME[name] for name in names))


#: Every fault once. Whoever sets the store back comes last: its marks may fall from there on. A chain is over before the longer
#: timers of its first incidents are due (unconfirmed after three minutes): the undisturbed group reads it all at once, some
#: partitions ahead of others, and what these have to say would come behind such a timer.
CHAINS = (
    _chain("two-begin", "zombie", "kill-all", "kill-anywhere"),
    _chain("kill-point", "come-and-go", "redis-killed", "recording-full", "disk-full"),
    _chain("clock-stepped", "broker-killed", "redis-set-back", "redis-emptied"),
    _chain("zombie-topic", "kill-point-topic", "sink-hangs", "broker-killed-topic"),
    _chain("rules-reload", "rules-changed"),
    _chain("network-slow", "leader-killed", "partitions-added"),
    _chain("brokers-away"),
    _chain("network-cut"),
    _chain("upgraded"),
)  # fmt: skip
