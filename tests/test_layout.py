"""The layout shows the architecture: no import circles, no nameless rooms, no file with two ideas."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
PACKAGES = ("streams", "detectors", "topologies", "alert_sinks", "replay")


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components with more than one module (Tarjan, iterative by depth-first finish times)."""
    order: list[str] = []
    seen: set[str] = set()
    for start in imports:
        stack = [(start, iter(imports[start]))] if start not in seen else []
        seen.add(start)
        while stack:
            node, targets = stack[-1]
            target = next((t for t in targets if t not in seen), None)
            if target is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(imports[target])))
    importers: dict[str, set[str]] = {name: set() for name in imports}
    for name, targets in imports.items():
        for target in targets:
            importers[target].add(name)
    found, taken = [], set()
    for root in reversed(order):
        if root in taken:
            continue
        component, todo = set(), [root]
        while todo:
            node = todo.pop()
            if node not in taken:
                taken.add(node)
                component.add(node)
                todo.extend(importers[node])
        if len(component) > 1:
            found.append(component)
    return found


def test_there_are_no_import_circles() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) & graph.modules for module in graph.modules}
    assert circles(imports) == []


def test_the_circle_finder_sees_a_circle() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def test_no_file_is_named_after_nothing() -> None:
    nameless = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|handler|stuff)$")
    assert [path.name for path in tracked() if nameless.search(path.stem)] == []


def test_no_module_is_longer_than_one_sitting() -> None:
    lines = {
        path: path.read_text(encoding="utf-8").count("\n") for path in tracked() if "tests" not in path.parts and path.exists()
    }
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > 400} == {}
