"""What the incident stage asks of the rule book and of the registry, and nothing more.

Structural types: the real ones are ``detectors.rulebook.RuleBook`` and ``streams.registry.Registry``; tests bring tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from detectors.families import Family
from detectors.rule import Rule


class Book(Protocol):
    """A rule book: the rules, what they are together, and the correlation families."""

    @property
    def rules(self) -> Sequence[Rule]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def families(self) -> Mapping[str, Family]: ...


class Assets(Protocol):
    """A registry: what is known of an asset at a time, what lies near a place, who reports through a gateway."""

    @property
    def revision(self) -> int: ...
    def at(self, asset_id: str, ts: int) -> Any: ...
    def near(self, lat: float, lon: float, radius_m: float, kinds: Collection[str]) -> Iterable[tuple[Any, float]]: ...
    def behind(self, gateway: str) -> Collection[str]: ...


class NoAssets:
    """A city without a registry: nothing is known of anything."""

    revision = 0

    def at(self, asset_id: str, ts: int) -> Any:
        return None

    def near(self, lat: float, lon: float, radius_m: float, kinds: Collection[str]) -> Iterable[tuple[Any, float]]:
        return ()

    def behind(self, gateway: str) -> Collection[str]:
        return ()
