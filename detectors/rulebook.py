"""The rulebook: all rules of a city, read from a folder of TOML files, checked as a whole, and named by a fingerprint.

All mistakes in all files are reported at once (:meth:`RuleBook.problems`), each as one line: file, place, what, mend.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from detectors.base import Detector, Params, registered
from detectors.families import FAMILIES_FILE, Families, Family, FamilyTable
from detectors.families import problems as family_problems
from detectors.rule import Rule
from detectors.rule_checks import check
from detectors.toml_form import Problem, mistakes
from streams.errors import Mend

#: Of a rule's file, what cannot change an answer: how it is called, where its numbers come from, how it is tested.
_NOT_SEMANTIC = ("version", "title", "title_zh", "provenance", "case")
#: Of a rule, what the states of its detector and its alarms rest on; the rest may change and the states live on.
_STATE_FIELDS = ("name", "match", "detector", "levels", "direction", "momentary", "quiet_s")


class RuleError(Mend):
    """A rulebook that cannot be used. Reads as one line; ``problems`` has them all."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        more = f" (and {len(problems) - 1} more: citywatch rules check)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)


@dataclass(frozen=True)
class RuleBook:
    """Rules in the order of their names, with families; immutable, so a switch replaces the whole book.

    >>> book = RuleBook.of([], Families(FamilyTable()))
    >>> len(book), len(book.fingerprint)
    (0, 16)
    """

    rules: tuple[Rule, ...]
    families: Families
    params: Mapping[str, Params] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: list[Rule], families: Families) -> RuleBook:
        """A book of rules that are already typed and checked (tests, tools)."""
        detectors = _detectors()
        ordered = tuple(sorted(rules, key=lambda rule: rule.name))
        return cls(ordered, families, {rule.name: _params(rule, detectors) for rule in ordered})

    @classmethod
    def from_dir(cls, folder: str | Path) -> RuleBook:
        """All ``*.toml`` of a folder. Raises RuleError with every problem of every file."""
        return _opened(*_read(Path(folder)))

    def to_bytes(self) -> bytes:
        """The whole book, titles and provenance too, so that who has lost the files decides as before."""
        return msgspec.json.encode({"rules": self.rules, "families": list(self.families.values())})

    @classmethod
    def from_bytes(cls, data: bytes) -> RuleBook:
        """The book of :meth:`to_bytes`. Raises :class:`Mend` where this version cannot read it."""
        try:
            told = msgspec.json.decode(data, type=_Archived)
            return cls.of(told.rules, Families(FamilyTable(told.families)))
        except (msgspec.DecodeError, KeyError) as error:
            raise Mend(f"kept rules cannot be read ({error})", "checkpoint store", "use the version that wrote them") from None

    @classmethod
    def default(cls) -> RuleBook:
        """The house's own rulebook, which is package data of :mod:`detectors.rules`."""
        with resources.as_file(resources.files("detectors") / "rules") as folder:
            return cls.from_dir(folder)

    @staticmethod
    def problems(folder: str | Path) -> list[str]:
        """One line per problem, ``file: [place] what; mend``; an empty list where the book can be used."""
        return _read(Path(folder))[2]

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __getitem__(self, name: str) -> Rule:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    def of_stream(self, stream: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.match.stream == stream)

    def detector(self, rule: Rule) -> type[Detector[Any]]:
        """The class a rule uses; instantiate it with ``book.params[rule.name]`` and the shared series."""
        return registered()[rule.detector["use"]]

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """Per rule, 16 hex digits over everything that can change an answer; not title, provenance and cases."""
        return {rule.name: _digest(self._semantic(rule)) for rule in self.rules}

    @cached_property
    def state_keys(self) -> Mapping[str, str]:
        """Per rule, 16 hex digits over what its states rest on: equal keys, and a reload keeps the states."""
        trees = {rule.name: self._semantic(rule) for rule in self.rules}
        return {name: _digest({key: tree[key] for key in (*_STATE_FIELDS, "revision")}) for name, tree in trees.items()}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the whole book: two books with the same one give the same answers."""
        return _digest({"rules": dict(self.fingerprints), "families": self.families.canonical()})

    def version(self, rule: Rule) -> str:
        """What signals and incidents show as the rule's version: the written one and the fingerprint's first 8 digits."""
        return f"{rule.version}+{self.fingerprints[rule.name][:8]}"

    def _semantic(self, rule: Rule) -> dict[str, Any]:
        tree: dict[str, Any] = msgspec.to_builtins(rule)
        for name in _NOT_SEMANTIC:
            del tree[name]
        # Typed parameters, so that defaults count and 20 equals 20.0; and the revision of the detector's code.
        tree["detector"] = {"use": rule.detector["use"], **msgspec.to_builtins(self.params[rule.name])}
        tree["revision"] = self.detector(rule).revision
        return tree


class _Archived(msgspec.Struct):
    """A book as bytes."""

    rules: list[Rule]
    families: list[Family]


def _digest(tree: Any) -> str:
    text = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _detectors() -> Mapping[str, type[Detector[Any]]]:
    import detectors  # noqa: F401  (importing the package registers every detector of the house)

    return registered()


def _params(rule: Rule, detectors: Mapping[str, type[Detector[Any]]]) -> Params:
    given = {key: value for key, value in rule.detector.items() if key != "use"}
    return msgspec.convert(given, detectors[rule.detector["use"]].Params)


def _opened(rules: list[Rule], families: Families, problems: list[str]) -> RuleBook:
    if problems:
        raise RuleError(problems)
    return RuleBook.of(rules, families)


def _line(file: str, problem: Problem) -> str:
    place, what, mend = problem
    return f"{file}: " + (f"[{place}] " if place else "") + what + (f"; {mend}" if mend else "")


def _toml(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The file's tree, or None and the line that says why not (TOML's own sentence names line and column)."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), ""
    except tomllib.TOMLDecodeError as error:
        return None, _line(path.name, ("", f"not TOML: {error}", "mend the syntax there"))
    except UnicodeDecodeError as error:
        return None, _line(path.name, ("", f"not UTF-8 at byte {error.start}", "save the file as UTF-8"))
    except OSError as error:
        return None, _line(path.name, ("", f"cannot be read: {error.strerror}", "check the file's permissions"))


def _families(path: Path, found: list[str]) -> Families:
    if not path.is_file():
        found.append(_line(path.name, ("", "is missing", "a rulebook needs its correlation families beside it")))
        return Families(FamilyTable())
    tree, why = _toml(path)
    if tree is None:
        found.append(why)
        return Families(FamilyTable())
    wrong = mistakes(tree, FamilyTable)
    if wrong:
        found.extend(_line(path.name, problem) for problem in wrong)
        # Go on with the families that can be read, so that one slip does not make every rule's family unknown.
        whole = [f for f in tree.get("family", []) if isinstance(f, dict) and not mistakes({"family": [f]}, FamilyTable)]
        return Families(msgspec.convert({"family": whole}, FamilyTable))
    table = msgspec.convert(tree, FamilyTable)
    found.extend(_line(path.name, problem) for problem in family_problems(table))
    return Families(table)


def _read(folder: Path) -> tuple[list[Rule], Families, list[str]]:
    if not folder.is_dir():
        return [], Families(FamilyTable()), [f"{folder}: no such folder of rules; name a folder with rule files (*.toml)"]
    # A link that is switched to other rules while they are read must not give half of each.
    folder = folder.resolve()
    detectors = _detectors()
    found: list[str] = []
    families = _families(folder / FAMILIES_FILE, found)
    rules: list[Rule] = []
    file_of: dict[str, str] = {}
    paths = [path for path in sorted(folder.glob("*.toml")) if path.name != FAMILIES_FILE]
    if not paths:
        found.append(f"{folder}: holds no rule files; a rule is a file like gas-leak.toml")
    for path in paths:
        tree, why = _toml(path)
        if tree is None:
            found.append(why)
            continue
        wrong = mistakes(tree, Rule)
        if wrong:
            found.extend(_line(path.name, problem) for problem in wrong)
            continue
        rule = msgspec.convert(tree, Rule)
        if rule.name in file_of:
            mend = "give one of the two another name"
            found.append(_line(path.name, ("name", f"{rule.name!r} is already the rule of {file_of[rule.name]}", mend)))
        file_of.setdefault(rule.name, path.name)
        found.extend(_line(path.name, problem) for problem in check(rule, detectors, families))
        rules.append(rule)
    on_trial = {rule.name for rule in rules if rule.shadow}
    for family in families.values():
        for escalation in family.escalate:
            for name in sorted({name for need in escalation.needs for name in need.rules} - set(file_of)):
                place = f"family {family.name}, escalate {escalation.name}"
                found.append(_line(FAMILIES_FILE, (place, f"needs a rule {name!r} that is not in the book", "mend its name")))
            for name in sorted({name for need in escalation.needs for name in need.rules} & on_trial):
                place = f"family {family.name}, escalate {escalation.name}"
                mend = "a rule that only corroborates says opens = false instead of shadow"
                found.append(
                    _line(FAMILIES_FILE, (place, f"needs the rule {name!r}, which is on trial and tells nothing", mend))
                )
        for guest in family.guest:
            for name in sorted({*guest.rules, *guest.given} - set(file_of)):
                place = f"family {family.name}, guest {guest.family}"
                found.append(_line(FAMILIES_FILE, (place, f"names a rule {name!r} that is not in the book", "mend its name")))
    return rules, families, found
