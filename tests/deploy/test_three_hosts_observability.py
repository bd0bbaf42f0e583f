"""Prometheus' configuration, the alert rules and the dashboard against a real Prometheus that scrapes the three hosts."""

from __future__ import annotations

import json
import shutil
import textwrap
import tomllib
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hcl2
import pytest

from support.commands import ran
from support.order_stream import OrderStream, ask
from support.three_hosts import DOOR_PORT, HOSTS, PUBLIC, ThreeHosts
from support.waiting import wait_until

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
SERVICES = ("lb", "gateway", "kvfront", "kvstore", "dispatcher", "drone-sim")


def configuration(work: Path, token: Path) -> Path:
    """What the job's template makes of the configuration, with the checkout's rules."""
    variables = hcl2.loads((ROOT / "jobs" / "prometheus.nomad.hcl").read_text(encoding="utf-8"))
    text = next(
        str(value) for key, value in variables["locals"][0]["files"].items() if "prometheus.yml" in key
    )
    for mark, value in (
        ('{{ env "NOMAD_SECRETS_DIR" }}/metrics_token', token),
        ('{{ env "NOMAD_TASK_DIR" }}', work),
        ("${var.release}/etc/prometheus/rules", FOLDER / "rules"),
    ):
        assert mark in text
        text = text.replace(mark, str(value))
    body = text.partition("<<-EOT\n")[2].rpartition("EOT")[0]
    (work / "prometheus.yml").write_text(textwrap.dedent(body), encoding="utf-8")
    return work / "prometheus.yml"


def write_targets(system: ThreeHosts, work: Path) -> None:
    """What the job's templates make of Consul's catalogue; Nomad renders the real ones (tests/nomad)."""
    found = [
        one["Service"]
        for name in SERVICES
        for one in system.ask_consul("server-1", f"/v1/health/service/{name}")
    ]
    ours = [
        {
            "targets": [f"{one['Address']}:{one['Meta']['metrics_port']}"],
            "labels": {"service": one["Service"], "instance": one["ID"]},
        }
        for one in found
    ]
    (work / "dronedispatch.yml").write_text(json.dumps(ours), encoding="utf-8")
    brokers = [
        {"targets": [f"{address}:15692"], "labels": {"service": "rabbitmq", "instance": name}}
        for name, address in HOSTS.items()
        if "server" in name
    ]
    (work / "rabbitmq.yml").write_text(json.dumps(brokers), encoding="utf-8")


def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x", encoding="ascii")
    for words in (
        ["check", "config", str(configuration(tmp_path, tmp_path / "token"))],
        ["check", "rules", *map(str, RULES)],
    ):
        done = ran(["promtool", *words])
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_judge_by_the_same_thresholds_as_the_load_test() -> None:
    promised = tomllib.loads((ROOT / "loadtests" / "slo.toml").read_text(encoding="utf-8"))
    text = (FOLDER / "rules" / "slo.yml").read_text(encoding="utf-8")
    assert f"(dd:requests_failed:share or vector(0)) > {promised['failures_share_max']}" in text
    assert f"dd:assign_seconds:p95 > {promised['to_assigned_p95_s_max']:g}" in text


@pytest.fixture(scope="module")
def prometheus(hosts: ThreeHosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    """Prometheus on server-1, as its job starts it, after two minutes' worth of orders' samples."""
    hosts.wait_healthy(90)  # whoever ran before may have hurt them
    machine = hosts.machines["server-1"]
    work = tmp_path_factory.mktemp("prometheus")
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work)}
    write_targets(hosts, work)
    file = configuration(work, hosts.keys / "metrics_token")
    program = shutil.which("prometheus")
    assert program is not None, "Debian's package prometheus is installed (scripts/install-tools --dev)"
    listen = f"--web.listen-address={machine.address}:{PORT}"
    words = [program, f"--config.file={file}", f"--storage.tsdb.path={work / 'data'}", listen]
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
        process.wait(timeout=600)
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
