"""What changed from one format number to the next, both ways, so that workers of two versions can share a group.

A version reads every format since :data:`OLDEST` and writes its own or the one before it (setting ``checkpoint_format``).
While a group is upgraded worker by worker, the new ones write the format of before: whatever moves back to an old worker can
be read there. A step is given the whole tree of :func:`topologies.checkpoints.format.encode` before its values are wrapped,
the states of the stages in it, and returns another; it never touches the one it was given.

Whoever changes what a checkpoint holds (also the inner number of a stage's state) raises :data:`FORMAT`, writes the step, and
adds checkpoints of the version before to tests/topologies/checkpoints_of_before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Tree = dict[str, Any]


class Step(NamedTuple):
    """``up`` leads to the number the step stands under, ``down`` back to the one before."""

    up: Callable[[Tree], Tree]
    down: Callable[[Tree], Tree]


def _knows_its_writer(tree: Tree) -> Tree:
    return {**tree, "written_by": "format 1"}


def _without_writer(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name != "written_by"}


_NEVER = np.iinfo(np.int64).min
#: Columns of an alarm up to format 2, and what stood in them where no rung was ever reached.
_ALARM = {"level": 0, "worst": 0, "busy": False, "last": _NEVER, "raised": _NEVER}
_ALARM |= {"held": False, "count": 0, "since": _NEVER, "within": 0, "within_since": _NEVER}


def _alarms_by_slot(tree: Tree) -> Tree:
    """An alarm had a row for every slot of its rule; it has one for those that ever reached a rung, and says which."""

    def few(alarm: Tree) -> Tree:  # whether it is busy stands with the slots now, and so in front
        slot = np.flatnonzero(alarm["last"] != _NEVER).astype(np.int32)
        some = {name: alarm[name][slot] for name in sorted(_ALARM, key=lambda name: name != "busy")}
        return {"size": len(alarm["last"]), "slot": slot, **some}

    return _with_alarms(tree, 3, few)


def _alarms_of_all(tree: Tree) -> Tree:
    def all_slots(alarm: Tree) -> Tree:
        found = {}
        for name, blank in _ALARM.items():
            some = alarm[name]
            found[name] = np.full((alarm["size"], *some.shape[1:]), blank, dtype=some.dtype)
            found[name][alarm["slot"]] = some
        return found

    return _with_alarms(tree, 2, all_slots)


def _with_alarms(tree: Tree, number: int, change: Callable[[Tree], Tree]) -> Tree:
    """The tree with the alarms of a detect stage changed; its state has the format ``number`` then."""
    if tree.get("key", ("",))[0] != "detect" or "rules" not in tree["state"]:
        return tree
    rules = {key: {**rule, "alarm": change(rule["alarm"])} for key, rule in tree["state"]["rules"].items()}
    return {**tree, "state": {**tree["state"], "format": number, "rules": rules}}


#: 2: the bytes carry a checksum (format.py), and the checkpoint says which version wrote it.
#: 3: an alarm is kept for the slots that ever reached a rung, not for all.
STEPS: dict[int, Step] = {
    2: Step(_knows_its_writer, _without_writer),
    3: Step(_alarms_by_slot, _alarms_of_all),
}

#: Raised with every change that an older reader could misread.
FORMAT = 3
#: Read since. What is older was never released.
OLDEST = 1
#: From this number on the body stands behind its checksum.
CHECKED = 2


def up(tree: Tree, number: int, to: int) -> Tree:
    """A tree of format ``number`` as one of format ``to``."""
    for step in range(number + 1, to + 1):
        tree = STEPS[step].up(tree)
    return tree


def down(tree: Tree, number: int, to: int) -> Tree:
    """A tree of format ``number`` as the older format ``to`` has it."""
    for step in range(number, to, -1):
        tree = STEPS[step].down(tree)
    return tree
