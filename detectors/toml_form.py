"""The form of a rule file: every mistake of name and type at once, each with its place and the nearest right name.

msgspec stops at the first mistake it meets; somebody who writes a rule wants all of them. So structs are walked field by
field and only the leaves are left to msgspec, whose sentences carry the rest of the path.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

#: ``(place, what, mend)``
Problem = tuple[str, str, str]


def nearest(name: str, known: Iterable[str], what: str = "known are") -> str:
    """The mend for a wrong name.

    >>> nearest("threshhold", ["threshold", "stuck"])
    "did you mean 'threshold'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"{what} {', '.join(names) or 'none'}"


def mistakes(tree: Any, kind: Any, place: str = "") -> list[Problem]:
    """All mistakes of form in ``tree`` as a value of ``kind``; an empty list means :func:`msgspec.convert` will take it."""
    struct = _struct_of(kind, tree)
    if struct is not None:
        return _in_struct(tree, struct, place)
    kind = _bare(kind)
    if typing.get_origin(kind) is list and isinstance(tree, list):
        (item,) = typing.get_args(kind)
        if _struct_of(item, {}) is not None:
            return [m for i, part in enumerate(tree) for m in mistakes(part, item, f"{place}[{i}]")]
    return []


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return kind


def _struct_of(kind: Any, tree: Any) -> type[msgspec.Struct] | None:
    """The struct a table is meant as: ``kind`` itself, or the one struct of a union."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        structs = [k for k in typing.get_args(kind) if isinstance(k, type) and issubclass(k, msgspec.Struct)]
        if len(structs) == 1 and isinstance(tree, dict):
            return structs[0]
    return None


def _in_struct(tree: Any, struct: type[msgspec.Struct], place: str) -> list[Problem]:
    if not isinstance(tree, dict):
        return [(place, f"expected a table, got {tree!r}", f"its fields are {', '.join(_names(struct))}")]
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    found: list[Problem] = [
        (_join(place, name), f"no field {name!r}", nearest(name, fields, "fields here are"))
        for name in tree
        if name not in fields
    ]
    for name, field in fields.items():
        where = _join(place, name)
        if name not in tree:
            if field.required:
                found.append((where, "is missing", f"add {name} = …"))
            continue
        inside = mistakes(tree[name], field.type, where)
        if not inside:
            inside = _leaf(tree[name], field.type, where)
        found.extend(inside)
    return found


def _leaf(value: Any, kind: Any, place: str) -> list[Problem]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said = str(error)
        at = re.search(r" - at `\$(.*)`$", said)
        what = said[: at.start()] if at else said
        return [(place + (at.group(1) if at else ""), what.replace("`", ""), f"it is {_short(value)} now")]
    return []


def _names(struct: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
