"""docker-compose.yml against the compose specification's schema, and the promises its comments make.

The schema is the one compose-spec published in May 2021 (Apache-2.0), as carried by docker-compose 1.29.2; the top-level
``name`` came later and is checked by hand. No Docker engine runs here, so this and the native runs of tests/e2e are the proof.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((HERE / "compose-spec.schema.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", compose["name"])
    document = {key: value for key, value in compose.items() if key != "name"}
    jsonschema.Draft201909Validator(schema).validate(document)


def test_every_port_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_every_image_is_pinned_to_a_full_version(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in images), images


def test_every_lasting_service_has_a_health_check(compose: dict[str, Any]) -> None:
    lasting = set(compose["services"]) - {"topics", "feed"}
    assert {name for name in lasting if "healthcheck" not in compose["services"][name]} == set()


def test_no_password_has_a_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert re.search(r"GF_SECURITY_ADMIN_PASSWORD: \$\{CITYWATCH_GRAFANA_PASSWORD:\?", text)


def test_every_mounted_file_is_in_the_repository(compose: dict[str, Any]) -> None:
    mounts = [v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounts and all((ROOT / mount).exists() for mount in mounts)


def test_the_worker_image_runs_as_an_unprivileged_user() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 10001" in lines
    assert any("--require-hashes" in line for line in lines)


def test_settings_of_the_worker_service_are_settings_citywatch_knows(compose: dict[str, Any]) -> None:
    from topologies.settings import load

    settings = load(environ=compose["services"]["worker"]["environment"])
    assert settings.broker == "kafka:19092"


def test_every_command_of_the_file_is_one_citywatch_knows(compose: dict[str, Any]) -> None:
    import citywatch

    commands = [service["command"] for service in compose["services"].values() if "build" in service]
    assert ["worker"] in commands
    for words in commands:
        parsed = citywatch._parser(words[0]).parse_args(words)
        assert callable(parsed.run)
