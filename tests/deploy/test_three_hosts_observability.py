"""Prometheus' configuration, the alert rules and the dashboard against a real Prometheus that scrapes the three hosts."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from order_stream import OrderStream, ask
from three_hosts import DOOR_PORT, HOSTS, PUBLIC, ThreeHosts, wait_until

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "jobs" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "jobs" / "grafana" / "dronedispatch.json").read_text(encoding="utf-8")
)
PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
PORT = 9090


def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    filled = text.replace("@RULES@", str(FOLDER / "rules")).replace("@TARGETS@", str(tmp_path))
    (tmp_path / "token").write_text("x", encoding="ascii")
    (tmp_path / "prometheus.yml").write_text(
        filled.replace("@METRICS_TOKEN@", str(tmp_path / "token")), encoding="utf-8"
    )
    for words in (
        ["check", "config", str(tmp_path / "prometheus.yml")],
        ["check", "rules", *map(str, RULES)],
    ):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_judge_by_the_same_thresholds_as_the_load_test() -> None:
    promised = tomllib.loads((ROOT / "loadtests" / "slo.toml").read_text(encoding="utf-8"))
    text = (FOLDER / "rules" / "slo.yml").read_text(encoding="utf-8")
    assert f"(dd:requests_failed:share or vector(0)) > {promised['failures_share_max']}" in text
    assert f"dd:assign_seconds:p95 > {promised['to_assigned_p95_s_max']:g}" in text


@pytest.fixture(scope="module")
def prometheus(hosts: ThreeHosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    """jobs/prometheus/start on server-1, as its job starts it, after two minutes' worth of orders' samples."""
    hosts.wait_healthy(90)  # whoever ran before may have hurt them
    machine = hosts.machines["server-1"]
    work = tmp_path_factory.mktemp("prometheus")
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work),
        "CONSUL_HTTP_ADDR": "127.0.0.1:8500",
        "CONSUL_TOKEN_FILE": str(hosts.keys / "consul" / "prometheus"),
        "METRICS_TOKEN_FILE": str(hosts.keys / "metrics_token"),
        "PROMETHEUS_WORK": str(work),
    }
    program = shutil.which("prometheus")
    assert program is not None, "Debian's package prometheus is installed (scripts/install-tools --dev)"
    listen = f"--web.listen-address={machine.address}:{PORT}"
    words = [str(FOLDER / "start"), program, f"--storage.tsdb.path={work / 'data'}", listen]
    process = machine.host.start(words, environ, machine.folder / "prometheus.log")
    doors = tuple(f"{PUBLIC[name]}:{DOOR_PORT}" for name in ("server-1", "server-2"))
    try:
        wait_until(lambda: query_or_none(hosts, "up"), "Prometheus answers with samples", 40)
        with OrderStream(hosts.world, doors, rate_per_s=4.0) as orders:
            wait_until(lambda: len(orders.accepted) >= 40, "orders flow", 60)
            wait_until(
                lambda: query_or_none(hosts, "dd:assign_seconds:p95 >= 0"), "assignments are measured", 60
            )
            yield hosts
    finally:
        process.terminate()
        process.wait(timeout=20)
        machine.host.processes.remove(process)


def query(system: ThreeHosts, expression: str) -> list[dict[str, Any]]:
    words = urllib.parse.urlencode({"query": expression})
    status, body = ask(
        system.machines["server-1"].host, f"{HOSTS['server-1']}:{PORT}", f"/api/v1/query?{words}"
    )
    if status != 200:
        raise ValueError(f"{expression}: {status} {body!r}")
    return list(json.loads(body)["data"]["result"])


def query_or_none(system: ThreeHosts, expression: str) -> list[dict[str, Any]]:
    try:
        return query(system, expression)
    except (OSError, ValueError):
        return []  # it is starting


def rules(system: ThreeHosts) -> list[dict[str, Any]]:
    status, body = ask(system.machines["server-1"].host, f"{HOSTS['server-1']}:{PORT}", "/api/v1/rules")
    assert status == 200
    return [rule for group in json.loads(body)["data"]["groups"] for rule in group["rules"]]


@pytest.mark.real
@pytest.mark.netns
def test_every_instance_is_found_and_scraped(prometheus: ThreeHosts) -> None:
    def found() -> dict[str, int]:
        rows = query(prometheus, "count by (service) (up == 1)")
        return {row["metric"]["service"]: int(row["value"][1]) for row in rows}

    wait_until(lambda: found() == prometheus.expected(), "every instance is scraped", 30)


@pytest.mark.real
@pytest.mark.netns
@pytest.mark.parametrize("expression", PANELS)
def test_every_panel_has_data(prometheus: ThreeHosts, expression: str) -> None:
    def numbers() -> list[str]:
        return [value for row in query(prometheus, expression) if (value := row["value"][1]) != "NaN"]

    # A rate has no value before the second scrape of the instance that was found last.
    wait_until(numbers, f"{expression} has data", 30)


@pytest.mark.real
@pytest.mark.netns
def test_every_alert_asks_for_something_that_exists(prometheus: ThreeHosts) -> None:
    wait_until(
        lambda: all(rule["health"] == "ok" for rule in rules(prometheus)), "every rule is evaluated", 30
    )
    alerts = [rule for rule in rules(prometheus) if rule["type"] == "alerting"]
    assert len(alerts) >= 12
    for rule in alerts:
        names = metric_names(prometheus, rule["query"])
        assert names, rule["name"]
        for name in names:
            wait_until(partial(query, prometheus, f"count({name})"), f"{rule['name']} finds {name}", 30)


@pytest.mark.real
@pytest.mark.netns
def test_nothing_is_wrong_where_nothing_is_wrong(prometheus: ThreeHosts) -> None:
    paging = {
        "RequestsFail",
        "NoDispatcherRounds",
        "ServiceMissing",
        "SlotsUnderReplicated",
        "BrokerNodeMissing",
        "DeadLetters",
    }
    firing = {
        rule["name"] for rule in rules(prometheus) if rule["type"] == "alerting" and rule["state"] == "firing"
    }
    assert firing & (paging | {"DeadLetters"}) == set()


def metric_names(system: ThreeHosts, expression: str) -> set[str]:
    """The names of series in a query: the words that Prometheus knows, and those that look like ours."""
    words = "".join(char if char.isalnum() or char in "_:" else " " for char in expression).split()
    return {
        word for word in words if word.startswith(("dd_", "dd:", "rabbitmq_", "process_")) or word == "up"
    }
