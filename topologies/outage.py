"""Folding of silences: when a gateway or a whole stream is silent, it is one outage and not a thousand (D9).

A silence is held for its neighbours. What decides, the strongest first:

* The shard's evidence (:mod:`detectors.neighbours`): the reports of the neighbours that were due did not come. After a short
  wait for the other partitions the outage of the gateway or the stream is told.
* Counting, where each shard holds too few members to tell: of the gateway's members whose time to be reported has passed since
  the last of the silent ones was heard, ``share`` are silent. While too few could have been missed yet, the silence stays held.
* Else it goes on as the device's own incident.

While an outage stands its members' silences are folded into it, and single incidents that fit it are merged into it. When
enough members are back it is over, and whoever is still silent has its full time to speak again before it stands for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from streams.records import Control, Signal
from topologies.decided import Decided
from topologies.incident_clock import Due
from topologies.incident_settings import OutageSettings
from topologies.outage_signal import grown, outage_signal, topic_signal
from topologies.quiet_topics import QuietTopics
from topologies.reference import Assets
from topologies.reporting import Reporting, last_heard
from topologies.silences import DECODER, Silent, Standing, hangs_on, outages_of, partition_name
from topologies.written import Unchanged

#: Returned outages that are remembered; the oldest go first.
_RETURNED_KEPT = 4096
_TOPIC = "topic:"


class Outages:
    """The outage step; ``decided`` is where reasons go. Signals of other kinds do not come here.

    ``absorb(alone, outage, at)`` is told of a single incident that turns out to be part of an outage; without it the single
    one is cleared.
    """

    def __init__(
        self, registry: Assets, settings: OutageSettings, absorb: Callable[[Signal, Signal, int], None] | None = None
    ) -> None:
        self._settings = settings
        self._reporting = Reporting(registry)
        self._absorb = absorb
        self._hold_ms = round(settings.hold_s * 1000)
        #: Silent devices by what they hang on (gateway, else partition), then by rule and entity.
        self._silent: dict[str, dict[str, Silent]] = {}
        self._written: Unchanged[tuple[str, str]] = Unchanged()
        self.timers = Due()
        self._outages: dict[str, Standing] = {}
        #: When outages were over: who was last heard before has its full time from then on.
        self._returned: dict[str, int] = {}
        self._topics = QuietTopics()
        #: How many silences there are by partition (follows from ``_silent``).
        self._of_partition: Counter[str] = Counter()
        self.decided = Decided()

    @property
    def registry(self) -> Assets:
        return self._reporting.registry

    @registry.setter
    def registry(self, registry: Assets) -> None:
        self._reporting = Reporting(registry)

    # --- partitions and topics ------------------------------------------------------------------------------------------

    def tick(self, control: Control) -> None:
        """A partition says how much of it is silent, and when it was last heard."""
        self._topics.tick(control)

    def stream(self, signal: Signal) -> Iterable[Signal]:
        """A partition has heard nothing for too long, or is heard again."""
        topic = signal.source.topic
        due = self.timers.time(_TOPIC + topic)
        if due is not None and due <= signal.arrival_ts:
            # First comes what was to be decided before it; where another partition is yet to come that far, both wait.
            if self._topics.put_off(signal, due):
                return
            self.timers.aim(_TOPIC + topic, None)
            yield from self._decide_topic(topic, due)
            yield from self.stream(signal)
        elif signal.phase == "cleared":
            self._topics.back(signal)
            yield from self._maybe_over(topic, signal.arrival_ts)
            if not self._topics.quiet(topic):
                self.timers.aim(_TOPIC + topic, None)
                yield from self._go_on(topic)
        else:
            self._topics.falls_quiet(signal)
            if topic not in self._outages and due is None:
                self.timers.aim(_TOPIC + topic, signal.arrival_ts + self._settle_ms)

    def _go_on(self, topic: str) -> Iterable[Signal]:
        """With the signals of a topic that were put off."""
        for signal in self._topics.resumed(topic):
            yield from self.stream(signal)

    @property
    def _settle_ms(self) -> int:
        return round(self._settings.settle_s * 1000)

    def _decide_topic(self, topic: str, at: int) -> Iterable[Signal]:
        first = self._topics.quiet(topic)
        if first is not None and topic not in self._outages:
            silent_at = self._topics.silent_at(topic, at)
            if silent_at is not None and silent_at > at:
                self.timers.aim(_TOPIC + topic, silent_at)  # another partition was heard: ask again when that is as long ago
            else:
                yield from self._fold(topic, at, first)
        yield from self._go_on(topic)

    # --- silences ---------------------------------------------------------------------------------------------------------

    def take(self, signal: Signal) -> Iterable[Signal]:
        """A silence begins, changes or ends."""
        where = hangs_on(signal)
        at = self.timers.time(where)
        if at is not None and at <= signal.arrival_ts:
            self.timers.aim(where, None)
            yield from self._decide(where, at)
        key = f"{signal.rule}|{signal.entity}"
        held = self._silent.get(where, {}).get(key)
        if signal.phase == "cleared":
            yield from self._heard(where, key, held, signal)
        elif held is None:
            yield from self._begins(where, key, signal)
        elif held.state == "alone":
            held.signal = signal
            yield signal
        else:
            held.signal = msgspec.structs.replace(signal, phase="raised")
            self.decided.muted["folded" if held.state == "folded" else "held"] += 1

    def _begins(self, where: str, key: str, signal: Signal) -> Iterable[Signal]:
        one = Silent(msgspec.structs.replace(signal, phase="raised"), "held")
        self._silent.setdefault(where, {})[key] = one
        self._of_partition[partition_name(signal)] += 1
        outage = next((name for name in outages_of(signal) if name in self._outages), None)
        if outage is not None:
            self._put_into(outage, one)
            yield from self._grown(outage, signal.arrival_ts)
            return
        self.decided.muted["held"] += 1
        now, window = signal.arrival_ts, self.timers.time(where)
        if signal.outage in ("gateway", "stream"):
            one.until = now + self._settle_ms
        else:
            one.until = now + self._hold_ms if window is None or window > now + self._hold_ms else window
        one.until = max(one.until, self._full_time(signal))
        self._aim(where)

    def _full_time(self, signal: Signal) -> int:
        """Who was last heard before an outage ended is given its time to report from that end on."""
        ended = max((self._returned.get(name, 0) for name in outages_of(signal)), default=0)
        if not ended or last_heard(signal) >= ended or signal.outage in ("gateway", "stream"):
            return 0
        return ended + self._reporting.after_ms(signal.entity, ended)

    def _heard(self, where: str, key: str, held: Silent | None, signal: Signal) -> Iterable[Signal]:
        if held is None:
            yield signal  # from before this step knew of it
            return
        del self._silent[where][key]
        self._of_partition[partition_name(held.signal)] -= 1
        if held.state == "alone":
            yield signal
        elif held.state == "held":
            self.decided.muted["heard_in_time"] += 1
        standing = self._outages.get(held.outage)
        if standing is not None:
            standing.folded -= 1
            yield from self._maybe_over(held.outage, signal.arrival_ts)
        self._aim(where)

    # --- time -------------------------------------------------------------------------------------------------------------

    def fire(self, now: int) -> Iterable[Signal]:
        at = self.timers.next()
        where = self.timers.pop(now)
        if where is None or at is None:
            return ()
        return self._decide_topic(where[len(_TOPIC) :], at) if where.startswith(_TOPIC) else self._decide(where, at)

    def _aim(self, where: str) -> None:
        group = self._silent.get(where)
        if group is not None and not group:
            del self._silent[where]
        self.timers.aim(where, min((one.until for one in (group or {}).values() if one.state == "held"), default=None))

    def _decide(self, where: str, at: int) -> Iterable[Signal]:
        """The wait of some silences of a gateway (or partition) is over."""
        group = self._silent.get(where, {})
        held = [group[key] for key in sorted(group) if group[key].state == "held"]
        outage = self._outage_of(where, held, at)
        if outage is not None:
            yield from self._fold(outage, at)
        for one in held:
            if one.state != "held" or one.until > at:
                continue
            one.until = self._in_doubt(one.signal, at)
            if one.until <= at:
                one.state = "alone"
                yield msgspec.structs.replace(one.signal, arrival_ts=max(at, one.signal.arrival_ts))
        self._aim(where)

    def _outage_of(self, where: str, held: list[Silent], at: int) -> str | None:
        """The outage the silences behind one gateway (or of one partition without one) are part of."""
        ripe = [one.signal for one in held if one.until <= at]
        if not ripe:
            return None
        if any(one.outage == "stream" for one in ripe):
            return ripe[0].source.topic
        gateway = ripe[0].gateway
        if gateway is not None and any(one.outage == "gateway" for one in ripe):
            return gateway
        partition, settings = partition_name(ripe[0]), self._settings
        if self._topics.share(partition, at) >= settings.share and self._of_partition[partition] >= settings.min_members:
            return ripe[0].source.topic
        if gateway is None:
            return None
        silent = [one.signal for one in self._silent[where].values() if one.signal.outage != "device"]
        # The outage lies between the last word of any of them and the first report that any of them missed.
        since = max(max(last_heard(one.signal) for one in held), min(self._reporting.missed(one.signal) for one in held))
        entities = {one.entity for one in silent}
        due = entities | self._reporting.due(gateway, since, at)
        return gateway if len(entities) >= settings.min_members and len(entities) >= settings.share * len(due) else None

    def _in_doubt(self, signal: Signal, at: int) -> int:
        """Until when a silence is held because too few neighbours could have been missed yet; ``at`` or before: no longer."""
        if signal.gateway is None or signal.outage == "device":
            return at
        told = self._reporting.told_at(signal.gateway, self._reporting.missed(signal), self._settings.min_members)
        if told is None:
            return at
        return min(told + self._settle_ms, signal.arrival_ts + round(self._settings.doubt_s * 1000))

    # --- outages ----------------------------------------------------------------------------------------------------------

    def _put_into(self, outage: str, one: Silent) -> None:
        standing = self._outages[outage]
        one.state, one.outage = "folded", outage
        standing.folded += 1
        standing.peak = max(standing.peak, standing.folded)
        self.decided.muted["folded"] += 1

    def _fold(self, outage: str, at: int, quiet: Signal | None = None) -> Iterable[Signal]:
        """All silences that belong to the outage become one; single incidents that fit it are merged into it."""
        mine = [
            (where, one)
            for where, group in sorted(self._silent.items())
            for _, one in sorted(group.items())
            if one.state != "folded" and outage in outages_of(one.signal)
        ]
        held = [one.signal for _, one in mine if one.state == "held"]
        since = max(map(last_heard, held), default=at)
        alone = [one for _, one in mine if one.state == "alone" and self._fits(one.signal, since, at)]
        if outage not in self._outages:
            silent = [*held, *(one.signal for one in alone)]
            raised = (
                topic_signal(quiet, silent, outage, at, self._settings)
                if quiet is not None or outage == (silent[0].source.topic if silent else "")
                else outage_signal(silent, outage, at, self.registry, self._settings)
            )
            self._outages[outage] = Standing(raised, told=max(1, len({one.entity for one in silent})))
            self.decided.noted["outage"] += 1
            yield raised
            yield from self._swallow(outage, at)
        raised = self._outages[outage].signal
        for one in alone:
            yield from self._ends_in(one.signal, raised, at)
        for where, one in mine:
            if one.state == "held" or any(one is other for other in alone):
                self._put_into(outage, one)
                self._aim(where)

    def _grown(self, outage: str, at: int) -> Iterable[Signal]:
        """It is told again when it has grown to twice as many."""
        standing = self._outages[outage]
        if standing.folded < 2 * standing.told:
            return
        behind = len(self.registry.behind(outage)) if standing.signal.gateway is not None else 0
        standing.told = standing.folded
        standing.signal = grown(standing.signal, standing.folded, behind, at)
        yield standing.signal

    def _fits(self, signal: Signal, since: int, at: int) -> bool:
        """A single silence is part of the outage unless it had missed a report while others were heard."""
        every = self._reporting.every_ms(signal.entity, at)
        if every is None:
            return signal.arrival_ts >= at - round(self._settings.absorb_s * 1000)
        return last_heard(signal) + every + every // 4 >= since

    def _ends_in(self, alone: Signal, outage: Signal, at: int) -> Iterable[Signal]:
        why = f"part of the outage of {outage.entity}"
        ended = msgspec.structs.replace(alone, phase="cleared", arrival_ts=max(at, alone.arrival_ts), explanation=why)
        if self._absorb is None:
            yield ended
        else:
            self._absorb(ended, outage, ended.arrival_ts)

    def _swallow(self, topic: str, at: int) -> Iterable[Signal]:
        """Outages of gateways that began just before are part of the topic's."""
        newest = at - round(self._settings.absorb_s * 1000)
        for name, standing in sorted(self._outages.items()):
            raised = standing.signal
            if name == topic or raised.gateway is None or raised.source.topic != topic or raised.arrival_ts < newest:
                continue
            del self._outages[name]
            yield from self._ends_in(raised, self._outages[topic].signal, at)
            for one in self._silent.get(f"gateway:{name}", {}).values():
                if one.outage == name:
                    self._put_into(topic, one)

    def _maybe_over(self, outage: str, at: int) -> Iterable[Signal]:
        standing = self._outages.get(outage)
        share = self._settings.clear_share
        if standing is None or (standing.peak and standing.folded >= share * standing.peak):
            return
        quiet, peak = self._topics.count(outage)
        if peak and quiet >= share * peak:
            return
        del self._outages[outage]
        self._topics.over(outage)
        self._returned.pop(outage, None)
        self._returned[outage] = at
        if len(self._returned) > _RETURNED_KEPT:
            del self._returned[next(iter(self._returned))]
        back = f"{outage} is back"
        raised = standing.signal
        yield msgspec.structs.replace(raised, phase="cleared", arrival_ts=at, ts=max(at, raised.ts), explanation=back)
        for where, group in sorted(self._silent.items()):
            waiting = [one for one in group.values() if one.outage == outage]
            for one in waiting:
                one.state, one.outage = "held", ""
                # What the shard saw when it began is of the past: it had its reason.
                one.signal = msgspec.structs.replace(one.signal, outage="device")
                one.until = max(at + self._hold_ms, at + self._reporting.after_ms(one.signal.entity, at))
            if waiting:
                self._aim(where)

    # --- state ------------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            # msgpack of each Silent.
            "silent": self._written.bytes(
                ((where, key), (one.signal, one.state, one.outage, one.until), one)
                for where, group in self._silent.items()
                for key, one in group.items()
            ),
            "hangs_on": [(where, list(group)) for where, group in self._silent.items()],
            "windows": self.timers.snapshot(),
            "outages": [(name, msgspec.to_builtins(one)) for name, one in self._outages.items()],
            "returned": list(self._returned.items()),
            "topics": self._topics.snapshot(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        silent = map(DECODER.decode, saved["silent"])
        self._silent = {where: {key: next(silent) for key in keys} for where, keys in saved["hangs_on"]}
        self.timers.restore((where, at) for where, at in saved["windows"])
        self._outages = {name: msgspec.convert(one, Standing) for name, one in saved["outages"]}
        self._returned = dict(saved["returned"])
        self._topics.restore(saved["topics"])
        self._of_partition = Counter(partition_name(one.signal) for group in self._silent.values() for one in group.values())
