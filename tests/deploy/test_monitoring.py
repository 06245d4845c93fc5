"""Prometheus rules, their tests, and the dashboard: every metric they name is one the worker exposes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from topologies.metrics import Metrics

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
PROMTOOL = shutil.which("promtool")


def exposed() -> set[str]:
    text = Metrics(rules=["r"], categories=["gas"]).exposition().decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    names = set()
    for name, kind in families:
        names |= {name, f"{name}_total"} if kind == "counter" else {name, f"{name}_bucket", f"{name}_info"}
    return names


def named_in(expressions: list[str]) -> set[str]:
    return {name for text in expressions for name in re.findall(r"citywatch_[a-z0-9_]+", text)}


def test_every_metric_of_the_alerting_rules_exists() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "citywatch.rules.yml").read_text(encoding="utf-8"))
    named = named_in([rule["expr"] for group in rules["groups"] for rule in group["rules"]])
    assert named and named <= exposed()


def test_every_metric_of_the_dashboard_exists() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "citywatch.json").read_text(encoding="utf-8"))
    named = named_in([target["expr"] for panel in board["panels"] for target in panel["targets"]])
    assert named and named <= exposed()


def test_every_alert_says_how_to_mend_it() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "citywatch.rules.yml").read_text(encoding="utf-8"))
    assert all({"summary", "mend"} <= set(rule["annotations"]) for group in rules["groups"] for rule in group["rules"])


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian package prometheus) is not on the PATH")
def test_promtool_accepts_configuration_rules_and_their_tests() -> None:
    assert PROMTOOL is not None
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "citywatch.rules.test.yml"]):
        done = subprocess.run([PROMTOOL, *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
