"""An operator's day of twelve tasks by the tool alone, and what it says when the system is frozen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.commands import ran
from support.live_system import LiveSystem, eventually

pytestmark = pytest.mark.real

PROGRAM = Path(sys.executable).parent / "dronedispatch"
TRIP = ("--from", "41.8902,12.4922", "--to", "41.9109,12.4763", "--weight", "1.2")


def run(system: LiveSystem, *words: str) -> subprocess.CompletedProcess[str]:
    """The tool, without the tokens of whoever runs the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPERATOR_")}
    return ran([PROGRAM, *words, "--home", system.home], env)


def typed(system: LiveSystem, *words: str, code: int = 0) -> str:
    """What the tool prints on standard output; it must end with `code`."""
    done = run(system, *words)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def document(system: LiveSystem, *words: str, code: int = 0) -> Any:
    return json.loads(typed(system, *words, "-o", "json", "--timeout", "60", code=code))


def place(system: LiveSystem) -> str:
    return str(document(system, "orders", "place", *TRIP)["id"])


def test_the_day_begins_with_a_look_at_the_whole(healthy: LiveSystem) -> None:
    # The file before may have stopped the broker: who was away from it says so for some seconds, and doctor with them.
    eventually(lambda: run(healthy, "doctor").returncode == 0, "there is nothing to mend", 40)
    assert "nothing to mend" in typed(healthy, "doctor")
    assert all(row["healthy"] for row in json.loads(typed(healthy, "status", "-o", "json")))
    assert "drones:" in typed(healthy, "top", "--timeout", "60")


def test_an_order_is_placed_watched_and_found_in_the_logs(healthy: LiveSystem) -> None:
    order = place(healthy)
    assert document(healthy, "orders", "why", order)["summary"]
    assert order in {one["id"] for one in document(healthy, "orders", "list")}
    steps = [json.loads(line) for line in typed(healthy, "orders", "watch", order, "-o", "json").splitlines()]
    assert steps[-1]["to"] == "delivered"
    assert document(healthy, "orders", "get", order)["status"] == "delivered"
    lines = [json.loads(line) for line in typed(healthy, "logs", "--order", order, "-o", "json").splitlines()]
    assert [line["to"] for line in lines] == ["pending", *[step["to"] for step in steps if step["from"]]]
    assert {line["request_id"] for line in lines} == {document(healthy, "orders", "get", order)["request_id"]}
    access = (healthy.home / "logs" / "access.log").read_text(encoding="utf-8")
    assert lines[0]["request_id"] in access


def test_the_same_key_is_one_order_and_a_cancelled_one_stays_cancelled(healthy: LiveSystem) -> None:
    first = document(healthy, "orders", "place", *TRIP, "--key", "by-hand-1")
    assert document(healthy, "orders", "place", *TRIP, "--key", "by-hand-1")["id"] == first["id"]
    with healthy.frozen("dispatcher"):  # or it is picked up before a slow machine has cancelled it
        order = place(healthy)
        done = document(healthy, "orders", "cancel", order)
    assert done["status"] == "cancelled"
    assert document(healthy, "orders", "cancel", order)["status"] == "cancelled"
    assert "cancelled" in typed(healthy, "logs", "--order", order)


def test_a_drone_leaves_service_and_comes_back(healthy: LiveSystem) -> None:
    drone = document(healthy, "drones", "list")[0]["id"]
    assert document(healthy, "drones", "drain", drone)["wanted"] == "decommissioned"
    assert document(healthy, "drones", "undrain", drone)["wanted"] == "commissioned"
    assert document(healthy, "drones", "get", drone)["id"] == drone


def test_the_city_is_changed_by_a_file_once_and_not_over_another_change(
    healthy: LiveSystem, tmp_path: Path
) -> None:
    file = tmp_path / "city.json"
    typed(healthy, "zones", "get", "--file", str(file))
    assert document(healthy, "zones", "diff", str(file))["changes"] == []
    city = json.loads(file.read_text(encoding="utf-8"))
    (point, *_) = (one for one in city["features"] if one["properties"]["kind"] == "charge_point")
    point["properties"]["capacity"] += 1
    file.write_text(json.dumps(city), encoding="utf-8")
    before = document(healthy, "zones", "diff", str(file), code=3)
    assert [one["sign"] for one in before["changes"]] == ["~"]
    after = document(healthy, "zones", "apply", str(file))
    assert after["version"] != before["version"]
    point["properties"]["capacity"] -= 1
    file.write_text(json.dumps(city), encoding="utf-8")
    refused = typed(healthy, "zones", "apply", str(file), "--if-match", before["version"], code=1)
    assert "nothing was done" in refused
    typed(healthy, "zones", "apply", str(file))


def test_what_happens_is_told_and_resumed(healthy: LiveSystem) -> None:
    place(healthy)
    words = ("events", "--topics", "delivery", "--count", "1", "--for", "300", "-o", "json")
    told = json.loads(typed(healthy, *words))
    place(healthy)
    resumed = json.loads(typed(healthy, *words, "--after", told["id"]))
    assert resumed["event"] in {"delivery", "reset"}
    assert json.loads(typed(healthy, *words, "--after", "0-1"))["event"] == "reset"


def test_a_refusal_names_the_field(healthy: LiveSystem) -> None:
    said = typed(healthy, "orders", "place", *TRIP[:-1], "9000", code=1)
    assert "weight" in said
    assert "no delivery" in typed(healthy, "orders", "get", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=1)


def test_no_dead_letter_lies_about(healthy: LiveSystem) -> None:
    assert isinstance(json.loads(typed(healthy, "dead-letters", "list", "-o", "json")), list)
    said = typed(healthy, "dead-letters", "drop", "no-such-id", code=1)
    assert "is not there" in said


@pytest.mark.parametrize("service", ["gateway", "lb"])
def test_a_frozen_system_is_said_and_an_order_is_not_called_refused(
    healthy: LiveSystem, service: str
) -> None:
    keyed = ("orders", "place", *TRIP, "--key", f"frozen-{service}")
    with healthy.frozen(service):
        reading = run(healthy, "orders", "list", "--timeout", "12")
        placing = run(healthy, *keyed, "--timeout", "12")
    assert reading.returncode == 1, reading
    assert len(reading.stderr.splitlines()) <= 2
    assert placing.returncode in {1, 4}, placing
    if placing.returncode == 4:
        assert f"--key frozen-{service}" in placing.stderr
    assert document(healthy, *keyed)["status"] == "pending"
