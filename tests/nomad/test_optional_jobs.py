"""Locust and Prometheus as jobs, found in Consul by name: the one drives and judges, the other sees every instance."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from typing import Any

import pytest
from loadtests import slo
from scripts.cluster.deploy import ORDER

from support.nomad_machine import Machine, fetch

pytestmark = [pytest.mark.real, pytest.mark.netns]

JUDGED = re.compile(r"^created -> assigned p95 .* (ok|VIOLATED)$", re.MULTILINE)


def address(machine: Machine, service: str) -> str:
    """Where Consul says that the one passing instance of `service` is."""
    (found,) = machine.consul(f"/v1/health/service/{service}?passing")
    return f"{found['Service']['Address']}:{found['Service']['Port']}"


def deployed(machine: Machine, job: str) -> str:
    """The job's address, once scripts/deploy has brought it up."""
    done = machine.script("deploy", job)
    assert done.returncode == 0, done.stdout + done.stderr
    return address(machine, job)


def said(machine: Machine, job: str) -> str:
    """Both streams of the job's one instance."""
    (one,) = machine.running(job)
    streams = ((), ("-stderr",))
    return "".join(machine.nomad("alloc", "logs", *words, one["ID"]).stdout for words in streams)


def post(url: str, **fields: str) -> dict[str, Any]:
    """What a form's answer decodes to."""
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
        return dict(json.load(answer))


def test_locust_in_the_cluster_drives_load_and_gives_its_verdict(system: Machine) -> None:
    ui = f"http://{deployed(system, 'locust')}"
    try:
        with urllib.request.urlopen(ui, timeout=30) as page:
            assert "Locust" in page.read().decode()
        begun = post(f"{ui}/swarm", user_count="5", spawn_rate="5", orders_per_minute="120")
        assert begun["success"] is True, begun
        enough = slo.load_slo().orders_min + 5
        system.until(lambda: placed(ui) >= enough, "there is enough to judge", 120)
        assert post(f"{ui}/stop")["success"] is True
        system.until(lambda: JUDGED.search(said(system, "locust")), "the verdict is in its log", 90)
    finally:
        system.nomad("job", "stop", "-purge", "locust")


def placed(ui: str) -> int:
    """The orders that Locust has counted as good."""
    rows = (fetch(f"{ui}/stats/requests") or {"stats": []})["stats"]
    return sum(one["num_requests"] - one["num_failures"] for one in rows if one["method"] == "POST")


def test_prometheus_scrapes_every_instance_and_the_broker(system: Machine) -> None:
    there = deployed(system, "prometheus")
    wanted = sorted([name for name in ORDER for _ in system.running(name)] + ["rabbitmq"])

    def up() -> list[str]:
        found = (fetch(f"http://{there}/api/v1/targets?state=active") or {"data": {"activeTargets": []}})[
            "data"
        ]
        return sorted(one["labels"]["service"] for one in found["activeTargets"] if one["health"] == "up")

    try:
        system.until(lambda: up() == wanted, "every target is up", 90)
        rules = fetch(f"http://{there}/api/v1/rules")["data"]["groups"]
        assert {one["name"] for one in rules} == {"fleet", "store", "broker", "slo"}
        assert all(rule["health"] in {"ok", "unknown"} for group in rules for rule in group["rules"])
    finally:
        system.nomad("job", "stop", "-purge", "prometheus")
