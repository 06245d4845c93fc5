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

Tree = dict[str, Any]


class Step(NamedTuple):
    """``up`` leads to the number the step stands under, ``down`` back to the one before."""

    up: Callable[[Tree], Tree]
    down: Callable[[Tree], Tree]


def _knows_its_writer(tree: Tree) -> Tree:
    return {**tree, "written_by": "format 1"}


def _without_writer(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name != "written_by"}


#: 2: the bytes carry a checksum (format.py), and the checkpoint says which version wrote it.
STEPS: dict[int, Step] = {2: Step(_knows_its_writer, _without_writer)}

#: Raised with every change that an older reader could misread.
FORMAT = 2
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
