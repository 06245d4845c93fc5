"""The detect stage: raw records of one partition in, signals out; pure (DESIGN sections 2 and 4).

One stage per (topic, partition). :meth:`DetectStage.process` decodes a batch, lets the gate admit what can be believed,
advances every rule over the rows it watches and over the ticks that fall due, and puts the signals into the order of
:attr:`streams.records.Source.sequence`. Time comes from the records alone: the clock is the running maximum of arrival,
tick T (on a grid of one second) fires before the first record whose clock is at or after T (D8), and nothing depends on
where a batch was cut (law 2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.rulebook import RuleBook
from streams.batch import Batch, Int64, RawBatch, rounds
from streams.errors import Mend
from streams.records import Control, DeadLetter, Quarantined, Reading, Signal, Source
from streams.registry import Registry
from streams.topics import stream_of
from topologies.account import stated, up_to
from topologies.regroup import regroup
from topologies.rule_context import Context, fences_of, passing
from topologies.rule_runner import RuleRunner
from topologies.settings_stages import DetectSettings
from topologies.shard import Found, Shard
from topologies.signs_of_life import pulse, together, watched_rows
from topologies.stream_runner import runner_of
from topologies.told import Told
from topologies.watched import Watched

FORMAT = 3
#: Signals and controls of a switch stand behind everything else of their place in the log.
_SWITCH_N = 1_000_000
_SWITCH_STEP = 10_000
_CONTROL_PLACE = 1_000_000


@dataclass(slots=True)
class Detected:
    """What one call found. ``signals`` are in the order of ``source.sequence``; ``outcomes`` add up to the rows (law 8)."""

    signals: list[Signal | Control] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    #: (group id, reading) for city.sensor.groups.
    regrouped: list[tuple[str, Reading]] = field(default_factory=list)
    #: The stage's clock (ms) at each of ``regrouped``, in the same order.
    regrouped_at: list[int] = field(default_factory=list)
    #: processed, dead_letter, quarantined, late, duplicate.
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Reasons of quarantine.
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_fields: int = 0
    #: Series forgotten after their give-up time.
    expired: int = 0
    watermark: int | None = None
    entities: int = 0


def switch_number(source: Source) -> int:
    """Of what a switch said: the how manyth of its stage it was, from 1 on."""
    return (source.n - _SWITCH_N) // _SWITCH_STEP


class DetectStage:
    """State of one (topic, partition). ``rules`` and ``registry`` are immutable and replaced by :meth:`switch`."""

    def __init__(
        self,
        topic: str,
        partition: int,
        rules: RuleBook,
        registry: Registry,
        settings: DetectSettings | None = None,
        gate_settings: Any = None,
    ) -> None:
        self.topic, self.partition = topic, partition
        self.settings = settings or DetectSettings()
        stream = stream_of(topic, self.settings.topic_prefix)
        if stream is None:
            raise Mend("is no input topic", where=topic, mend="see `citywatch topics list`")
        self.stream = stream
        self.rules, self.registry = rules, registry
        self.shard = Shard(stream, partition, registry, self.settings, gate_settings)
        live_ms = round(self.settings.live_limit_s.get(stream, 86_400.0) * 1000)
        self.context = Context(topic, self.settings.default_city, live_ms, registry.revision, fences_of(registry))
        self.watched = Watched()
        self.clock: int | None = None
        self._switches = 0
        #: Outcomes of every row so far.
        self._account: Counter[str] = Counter()
        self._cities = self._all_cities()
        for place, rule in enumerate(rules.rules):
            runner = runner_of(rules, rule, place, self.context, stream)
            if runner is not None:
                self.watched.add(runner)

    # --- the three ways time passes --------------------

    def process(self, raw: RawBatch) -> Detected:
        """Records of this partition, in the order of their offsets, behind everything processed before."""
        out, told = Detected(), Told()
        count = len(raw)
        if count:
            arrivals = raw.arrival_array
            if self.clock is None:
                self._begin(int(arrivals[0]))
            assert self.clock is not None
            clock = np.maximum(np.maximum.accumulate(arrivals), self.clock)
            start = 0
            while start < count:
                self._sweeps(int(clock[start]), raw.offsets[start], out, told)
                # Cut only where a sweep may fall due: in sparse data every minute would be a stretch of one record.
                quiet = self.shard.quiet_until(int(arrivals[start:].min()))
                stop = int(clock.searchsorted(self._grid_after(max(quiet - 1, int(clock[start])))))
                part = raw if start == 0 and stop == count else raw.cut(start, stop)
                self._segment(part, clock[start:stop], out, told)
                start = stop
        return self._finish(out, told)

    def idle(self, now: int, next_offset: int) -> Detected:
        """Time has come to ``now`` (ms) without a record: a fetch begun after now + skew came back empty at the high water."""
        out, told = Detected(), Told()
        if self.clock is not None and now > self.clock:
            self._sweeps(now, next_offset, out, told)
            self._ticks(now, next_offset, told)
            self._progress(self.clock, now, next_offset, told)
            self.clock = now
        return self._finish(out, told)

    def switch(self, *, rules: RuleBook | None = None, registry: Registry | None = None, next_offset: int) -> Detected:
        """Other rules or another registry from ``next_offset`` on; announced per city by control records (D6)."""
        out, told = Detected(), Told()
        now = max(self.clock or 0, 1)
        if registry is not None:
            self.registry = registry
            self.context.registry_revision = registry.revision
            self.context.fences = fences_of(registry)
            self._cities = self._all_cities()
            for runner in self.watched.runners:
                runner.registry_changed()
            self._resync(self.shard.switch(registry, now, self.clock is not None), now, next_offset, told)
            self._watch(self.shard.fresh(), first_row=False)
        if rules is not None:
            self._rules(rules, now, next_offset, told)
        for city in self._cities:
            source = Source("", 0, next_offset, tick=now)
            order = (next_offset, now, 0, _CONTROL_PLACE, 0)
            if registry is not None:
                told(
                    order,
                    Control(control="registry", city=city, arrival_ts=now, source=source, registry_revision=registry.revision),
                )
            if rules is not None:
                told(order, Control(control="rules", city=city, arrival_ts=now, source=source, fingerprint=rules.fingerprint))
        self._switches += 1
        return self._finish(out, told, _SWITCH_N + _SWITCH_STEP * self._switches)

    # --- one stretch of records without a sweep in it --------------------

    def _segment(self, raw: RawBatch, clock: Int64, out: Detected, told: Told) -> None:
        assert self.clock is not None
        found = self.shard.admit(raw)
        out.dead.extend(found.dead)
        out.quarantined.extend(found.quarantined)
        out.unknown_fields += found.unknown_fields
        out.outcomes.update(found.outcomes)
        if found.quarantined:
            out.reasons.update(item.reason for item in found.quarantined)
        batch = found.batch
        self._watch(self.shard.fresh())
        offsets = raw.offset_array
        until = int(clock[-1])

        def at(tick: int) -> int:
            return int(offsets[np.searchsorted(clock, tick, side="left")])

        times: Int64 | None = None
        if len(batch):
            # Where no record was refused, and each holds one row, the clock is theirs as it is.
            times = clock if batch.offset is offsets else clock[offsets.searchsorted(batch.offset)]
            if self.stream == "sensor":
                readings, arrivals = regroup(batch, self.shard.groups, times)
                out.regrouped.extend(readings)
                out.regrouped_at.extend(arrivals)
        heard = together(batch, times, found.alive, clock, offsets) if found.alive is not None else None
        self._advance(batch, times, heard, until, at, told)
        self.context.pulse = pulse(*(heard or (batch, times)), self.context.pulse)
        self._progress_in(self.clock, clock, offsets, found, heard or (batch, times), told)
        self.clock = until

    def _advance(
        self, batch: Batch, times: Int64 | None, heard: tuple[Batch, Int64] | None, until: int, at: Any, told: Told
    ) -> None:
        """``heard``: the batch and its clock again, with the rows that are only signs of life; for rules of silence."""
        assert self.clock is not None
        if not len(batch):
            for runner in self.watched.ticking:
                if heard is None or not runner.takes_unmeasured:
                    runner.advance(None, [], None, self.clock, until, at, told)
                else:
                    self._advance_hearing(runner, *heard, until, at, told)
            return
        everything = [np.arange(len(batch))]
        in_rounds: list[NDArray[Any]] | None = None
        plan = self.watched.plan(batch.slot)
        late = batch.late if np.count_nonzero(batch.late) else None
        for runner in self.watched.concerned(plan):
            if heard is not None and runner.takes_unmeasured:
                self._advance_hearing(runner, *heard, until, at, told)
                continue
            rows = plan.get(runner.place)
            mine: list[NDArray[Any]] = []
            if rows is not None:
                if runner.in_rounds and in_rounds is None:
                    in_rounds = rounds(batch.slot)
                for piece in in_rounds if runner.in_rounds and in_rounds is not None else everything:
                    chosen = piece if rows is True else piece[rows[piece]]
                    if late is not None and not runner.takes_late:
                        chosen = chosen[~late[chosen]]
                    if len(chosen):
                        mine.append(chosen)
            runner.advance(batch, mine, times, self.clock, until, at, told)

    def _advance_hearing(self, runner: RuleRunner, batch: Batch, times: Int64, until: int, at: Any, told: Told) -> None:
        assert self.clock is not None
        rows = np.flatnonzero(watched_rows(runner.local, batch))
        pieces = [rows[piece] for piece in rounds(batch.slot[rows])] if runner.in_rounds else [rows]
        runner.advance(batch, pieces, times, self.clock, until, at, told)

    def _ticks(self, until: int, offset: int, told: Told) -> None:
        assert self.clock is not None
        for runner in self.watched.ticking:
            runner.advance(None, [], None, self.clock, until, lambda tick: offset, told)

    # --- registered series, forgetting, progress --------------------

    def _begin(self, arrival: int) -> None:
        """The first record of all: from now on registered entities are expected to speak."""
        step = self.settings.progress_s * 1000
        # The grid before the first record, so that this record announces the source.
        self.clock = (arrival // step) * step - 1
        self.shard.expect(self.clock)
        self._watch(self.shard.fresh(), first_row=False)

    def _watch(self, slots: Iterable[int], first_row: bool = True) -> None:
        self.watched.sync(slots, self.shard.facts, first_row)

    def _resync(self, slots: Iterable[int], now: int, offset: int, told: Told) -> None:
        """The facts of these slots are other ones: rules take them up, follow them, or let go of them."""
        for runner, leaving in self.watched.sync(slots, self.shard.facts, first_row=False):
            runner.drop(leaving, now, offset, told, "the registry no longer places it under this rule")

    def _sweeps(self, until: int, offset: int, out: Detected, told: Told) -> None:
        """Forget series that gave up and follow the registry's dates, at the due times of the grid up to ``until``."""
        assert self.clock is not None
        while (due := self.shard.sweep_due()) is not None:
            now = self._grid_after(max(due - 1, self.clock))
            if now > until:
                return
            self._ticks(now, offset, told)
            self._progress(self.clock, now, offset, told)
            self.clock = now
            gone, changed = self.shard.sweep(now)
            for runner, leaving in self.watched.leave(gone) if gone else ():
                runner.drop(leaving, now, offset, told, "nothing heard for its give-up time")
            self.shard.forget(gone)
            out.expired += len(gone)
            self._resync(changed, now, offset, told)

    def _grid_after(self, ms: int) -> int:
        step = self.settings.sweep_s * 1000
        return (ms // step + 1) * step

    def _progress(self, since: int, until: int, offset: int, told: Told) -> None:
        """A progress record per city when the clock passes the grid of ``progress_s``; one where it passes many at once."""
        step = self.settings.progress_s * 1000
        if until // step > since // step:
            self._tell_progress(until // step * step, offset, told, stated(self._account))

    def _progress_in(
        self, since: int, clock: Int64, offsets: Int64, found: Found, rows: tuple[Batch, Int64 | None], told: Told
    ) -> None:
        """The same inside a stretch of records, each in front of the record that passes the grid; ``rows``: all that speak."""
        step, (batch, times) = self.settings.progress_s * 1000, rows
        heard, total = 0, stated(self._account)
        for i in passing(clock, since, step):
            offset = int(offsets[i])
            if times is not None:
                until_row = int(batch.offset.searchsorted(offset))
                self.shard.hearing.hear(batch.slot[heard:until_row], times[heard:until_row], batch.ts[heard:until_row])
                heard = until_row
            self._tell_progress(int(clock[i]) // step * step, offset, told, up_to(total, found, i, offset))
        if times is not None:
            self.shard.hearing.hear(batch.slot[heard:], times[heard:], batch.ts[heard:])
        self._account.update(found.outcomes)

    def _tell_progress(self, tick: int, offset: int, told: Told, account: dict[str, int]) -> None:
        share, heard = self.shard.hearing.silent_fraction(tick), self.shard.hearing.heard(tick)
        for city in self._cities:
            control = Control(
                control="tick",
                city=city,
                arrival_ts=tick,
                source=Source("", 0, offset, tick=tick),
                silent_fraction=share,
                heard_ts=heard,
                registry_revision=self.registry.revision,
                outcomes=account,
            )
            told((offset, tick, 0, _CONTROL_PLACE, 0), control)

    def _all_cities(self) -> list[str]:
        return sorted({self.settings.default_city, *self.registry.cities()})

    # --- rules --------------------

    def _rules(self, book: RuleBook, now: int, offset: int, told: Told) -> None:
        held = {runner.state_key: runner for runner in self.watched.runners}
        kept: list[RuleRunner] = []
        for place, rule in enumerate(book.rules):
            runner = held.pop(book.state_keys[rule.name], None)
            if runner is not None:
                runner.of_book(book, rule, place)
            else:
                runner = runner_of(book, rule, place, self.context, self.stream)
            if runner is not None:
                kept.append(runner)
        for runner in held.values():
            runner.close(now, offset, told, "the rule has left the rulebook or is another one now")
        self.rules = book
        self.watched = Watched(kept)
        self.watched.sync(self.shard.live(), self.shard.facts, first_row=False)

    # --- the end of a call, and state --------------------

    def _finish(self, out: Detected, told: Told, base: int = 0) -> Detected:
        out.signals = told.in_order(self.topic, self.partition, base)
        out.watermark = self.shard.watermark
        out.entities = self.shard.entities
        return out

    def snapshot(self) -> dict[str, Any]:
        """Numbers, text, bytes and numpy arrays only; rules under their state key, so that a reload keeps unchanged ones."""
        return {
            "format": FORMAT,
            "clock": self.clock,
            "switches": self._switches,
            "account": dict(self._account),
            "pulse": self.context.pulse,
            "registry_revision": self.registry.revision,
            "rules_fingerprint": self.rules.fingerprint,
            "shard": self.shard.snapshot(),
            # A rule that never watched a series has nothing to say: fifty of sixty in most shards.
            "rules": {runner.state_key: runner.snapshot() for runner in self.watched.runners if runner.series},
        }

    @classmethod
    def restore(
        cls,
        topic: str,
        partition: int,
        rules: RuleBook,
        registry: Registry,
        settings: DetectSettings | None,
        saved: Mapping[str, Any],
        gate_settings: Any = None,
    ) -> DetectStage:
        """The stage as it was; rules that are new or changed since begin afresh over the series that are known."""
        if saved.get("format") != FORMAT:
            raise Mend(
                f"format {saved.get('format')!r} of a detect stage's state",
                mend=f"this version reads format {FORMAT}; use --rebuild-from",
            )
        stage = cls(topic, partition, rules, registry, settings, gate_settings)
        stage.clock = None if saved["clock"] is None else int(saved["clock"])
        stage._switches = int(saved["switches"])
        stage._account.update(saved.get("account", {}))
        stage.context.pulse = saved.get("pulse")
        stage.shard.restore(saved["shard"], stage.clock or 0)
        for runner in stage.watched.runners:
            state = saved["rules"].get(runner.state_key)
            if state is not None:
                runner.restore(state, stage.shard.facts)
        stage.watched.note(stage.shard.facts, stage.shard.live())
        return stage
