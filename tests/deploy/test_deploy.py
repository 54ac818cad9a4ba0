"""Deployment files: settings, commands, ports, limits and metrics are those of the code; the tools accept them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api.metrics import Metrics
from app.cli.main import COMMANDS
from app.config import Settings
from tests.bench.load.proxy import write_configuration

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = DEPLOY / "docker" / "compose.yaml"
NGINX = DEPLOY / "nginx" / "pickture.conf"
SETTINGS = {f"PICKTURE_{name.upper()}" for name in Settings.model_fields}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return loaded


def test_every_setting_named_exists() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            named = set(re.findall(r"PICKTURE_[A-Z_]+[A-Z]", path.read_text("utf-8")))
            assert named <= SETTINGS, f"{path.name} names {named - SETTINGS}"


def test_no_registry_is_named_and_every_image_has_a_version() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "docker" / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    for image in images:
        assert "." not in image.split("/")[0] or "/" not in image, f"{image} names a registry"
        assert image == "pickture" or re.search(r":\d", image), f"{image} has no version"


def test_compose_starts_things_in_order_and_runs_commands_that_exist() -> None:
    services = compose()["services"]
    assert set(services) == {"database", "migrate", "pickture", "worker", "proxy"}
    for name in ("migrate", "pickture", "worker"):
        words = services[name]["command"]
        assert words[0] in COMMANDS
        assert services[name]["volumes"] == ["home:/var/lib/pickture"]
    assert services["migrate"]["depends_on"]["database"]["condition"] == "service_healthy"
    for name in ("pickture", "worker"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert "ports" not in services["pickture"] and "ports" not in services["database"]
    settings = services["pickture"]["environment"]
    assert settings["PICKTURE_PROXIES"] == "1" and settings["PICKTURE_START_WORKER"] == "false"
    user = services["database"]["environment"]
    assert f"{user['POSTGRES_USER']}:${{POSTGRES_PASSWORD" in settings["PICKTURE_DATABASE_URL"]
    assert settings["PICKTURE_DATABASE_URL"].endswith(f"@database:5432/{user['POSTGRES_DB']}")


def test_compose_settings_are_well_formed() -> None:
    for name, value in compose()["services"]["pickture"]["environment"].items():
        default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        default = re.sub(r"\$\{\w+:\?[^}]*\}", "secret", default)
        field = name.removeprefix("PICKTURE_").lower()
        Settings.model_validate({field: default})


def test_the_image_holds_what_the_service_needs_and_nothing_of_the_shop() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
    copied = {word for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]}
    allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {"app", "models", "augment", "migrations", "requirements.txt", "constraints.txt"} <= copied
    assert {f"!{name}" for name in copied} <= set(allowed)
    assert allowed[0] == "**", "nothing comes in that is not named: no state folder, no .env"
    assert f"EXPOSE {Settings.model_fields['port'].default}" in text
    assert "USER pickture" in text


def test_nginx_takes_bodies_as_large_as_the_service_and_in_whole() -> None:
    text = NGINX.read_text("utf-8")
    sizes = [int(number) * {"m": 2**20, "g": 2**30}[unit] for number, unit in
             re.findall(r"client_max_body_size (\d+)([mg]);", text)]  # fmt: skip
    defaults = (Settings.model_fields["max_upload_bytes"].default, Settings.model_fields["max_import_bytes"].default)
    assert tuple(sizes) == defaults
    assert "proxy_request_buffering on;" in text
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text, "what a client claims must not be passed on"
    for body in re.findall(r"return (\d+) '(\{.*\})';", text):
        problem = json.loads(body[1].replace("$request_id", "x"))
        assert problem["status"] == int(body[0]) and problem["code"]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx in PATH")
def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    write_configuration(tmp_path, 8443, 8000)
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze in PATH")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    units = []
    for path in sorted((DEPLOY / "systemd").glob("*.service")):
        # The program of an installation is not on this machine; any that is serves as well.
        text = re.sub(r"/opt/pickture/\.venv/bin/python -m app \w+( \w+)?", "/bin/true", path.read_text("utf-8"))
        unit = tmp_path / path.name
        unit.write_text(text.replace("User=pickture", "User=root").replace("Group=pickture", "Group=root"))
        units.append(str(unit))
    assert len(units) == 2
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "pickture" in line]
    assert not complaints, done.stderr


def test_units_run_commands_that_exist() -> None:
    text = "".join(path.read_text("utf-8") for path in (DEPLOY / "systemd").glob("*.service"))
    commands = re.findall(r"python -m app (\w+)", text)
    assert sorted(set(commands)) == ["db", "serve"]
    assert set(commands) <= set(COMMANDS)


# Metrics


def metric_names() -> set[str]:
    """Everything that a query may name."""
    text = Metrics().exposition().decode()
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    return {name + end for name, kind in kinds.items() for end in ends[kind]}


def named_in(text: str) -> set[str]:
    return set(re.findall(r"\bpickture_[a-z_]+", text))


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((DEPLOY / "grafana" / "pickture.json").read_text("utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(expressions) >= 20
    for expression in expressions:
        named = named_in(expression)
        assert named and named <= metric_names(), expression
        assert expression.count("(") == expression.count(")")
        if "_bucket" in expression:
            assert "histogram_quantile" in expression and "by (le" in expression, expression
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in named_in(" ".join(expressions))}
    there = {re.sub("_(bucket|sum|count)$", "", name) for name in metric_names()}
    assert {name for name in there if not name.endswith("_created")} == shown, "every metric has its place on the board"


def test_the_dashboard_s_panels_do_not_overlap_and_are_numbered_once() -> None:
    panels = json.loads((DEPLOY / "grafana" / "pickture.json").read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_alerts_and_scraping_fit_the_service() -> None:
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 5
    for rule in rules:
        assert named_in(rule["expr"]) <= metric_names(), rule["alert"]
    [job] = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yaml").read_text("utf-8"))["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    assert target == f"pickture:{Settings.model_fields['port'].default}"
    assert any(f'job="{job["job_name"]}"' in rule["expr"] for rule in rules)
