"""An operator's day by a client that a public generator makes of docs/openapi.json: its names are all that is used here."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scripts.local.home import CHECKOUT

from dronedispatch.gateway.openapi.document import document
from support.commands import ran
from support.live_system import AGAIN, LiveSystem
from support.waiting import patient_s, wait_until

pytestmark = pytest.mark.real

PACKAGE = "client_made_of_openapi"
INNER = {"feature_geometry", "feature_properties", "placed_status"}  # of a component: made where they stand
AREA = [[[12.586, 41.885], [12.595, 41.885], [12.5905, 41.895], [12.586, 41.885]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the client; the generator must have had nothing to remark on."""
    folder = tmp_path_factory.mktemp("generated") / PACKAGE
    config = folder.with_suffix(".json")
    config.write_text(json.dumps({"post_hooks": []}), encoding="utf-8")  # nothing formats it: nobody reads it
    words = ["generate", "--path", str(CHECKOUT / "docs/openapi.json"), "--meta", "none", "--fail-on-warning"]
    generator = Path(sys.executable).parent / "openapi-python-client"
    done = ran([generator, *words, "--output-path", folder, "--config", config])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr
    sys.path.insert(0, str(folder.parent))
    yield folder
    sys.path.remove(str(folder.parent))
    for name in [one for one in sys.modules if one.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_every_name_of_a_generated_client_is_one_of_ours(made: Path) -> None:
    calls = {path.stem for path in made.glob("api/*/*.py")} - {"__init__"}
    assert calls == {call["operationId"] for item in document()["paths"].values() for call in item.values()}
    models = {path.stem for path in made.glob("models/*.py")} - {"__init__"}
    assert models - {snake(name) for name in document()["components"]["schemas"]} == INNER


class Day:
    """The generated client of one operator."""

    def __init__(self, system: LiveSystem) -> None:
        token = (system.home / "tokens" / "operator").read_text(encoding="utf-8").strip()
        client = importlib.import_module(PACKAGE)
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.client = client.AuthenticatedClient(
            base_url=system.url, token=token, timeout=patient_s(), raise_on_unexpected_status=True
        )

    def ask(self, call: str, *given: Any, **named: Any) -> Any:
        """The whole answer; one that asks to be asked again is."""
        ask = importlib.import_module(f"{PACKAGE}.api.{call}").sync_detailed
        answers: list[Any] = []

        def told() -> bool:
            answers[:] = [ask(*given, client=self.client, **named)]
            return answers[0].status_code not in AGAIN

        wait_until(told, f"an answer to {call}")
        return answers[0]

    def done(self, call: str, *given: Any, **named: Any) -> Any:
        """What the call gives, which is no problem document."""
        parsed = self.ask(call, *given, **named).parsed
        assert not isinstance(parsed, self.models.Problem), parsed
        return parsed

    def place(self, key: str, weight: float = 1.2) -> Any:
        at = self.models.Position
        origin, destination = at(lat=41.8902, lon=12.4922), at(lat=41.9109, lon=12.4763)
        order = self.models.Order(origin=origin, destination=destination, weight=weight)
        key = f"generated-{os.getpid()}-{key}"
        return self.ask("deliveries.place_order", body=order, idempotency_key=key).parsed


@pytest.fixture
def day(made: Path, healthy: LiveSystem) -> Iterator[Day]:
    assert made.is_dir()
    one = Day(healthy)
    with one.client:  # or its connections are left to the garbage collector, which warns of them
        yield one


def look_and_sign_in(day: Day, _: LiveSystem) -> None:
    """1 how the system is, 2 its last hour, 3 sign in."""
    assert day.done("live.get_health").ready
    now = day.done("live.get_figures").at
    past = day.done("live.get_figures", from_=now - timedelta(hours=1), to=now, step=60)
    assert isinstance(past, day.models.FiguresSeries)
    assert past.from_ <= past.points[-1].at <= past.to  # times, no texts
    assert day.done("operator.sign_in").signed_in
    assert day.done("operator.get_session").signed_in


def work_on_an_order(day: Day, system: LiveSystem) -> None:
    """4 place, 5 why, 6 priority, 7 deadline; a wrong order is told its field."""
    placed = day.place("first")
    assert placed.status == "pending"
    assert day.done("deliveries.explain_delivery", placed.id).summary
    refused = day.place("too-heavy", weight=9000.0)
    assert [error.field for error in refused.errors] == ["weight"]
    with system.frozen("dispatcher"):  # or it is delivered before a slow machine has changed it
        order = day.place("changed").id
        change = day.models.PriorityChange(priority=7)
        assert day.done("deliveries.set_priority", order, body=change).priority == 7
        moment = datetime(2030, 12, 31, 23, 59, tzinfo=UTC)
        change = day.models.DeadlineChange(deadline=moment)
        assert day.done("deliveries.set_deadline", order, body=change).deadline == moment


def work_on_several(day: Day, system: LiveSystem) -> None:
    """8 search, 9 several at once and back, 10 cancel."""
    with system.frozen("dispatcher"):
        orders = [day.place(f"several-{number}").id for number in range(2)]
        for order in orders:
            [found] = day.done("deliveries.list_deliveries", id_prefix=order[:22], limit=1).deliveries
            assert found.id == order
            for priority in (9, 0):
                change = day.models.PriorityChange(priority=priority)
                assert day.done("deliveries.set_priority", order, body=change).priority == priority
            day.done("deliveries.cancel_delivery", order)
            assert day.done("deliveries.get_delivery", order).status == "cancelled"


def work_on_the_fleet(day: Day, _: LiveSystem) -> None:
    """11 a drone out of service and back, a no-fly area and back, 12 the figures, and away."""
    drone = day.done("drones.list_drones", limit=1).drones[0].id
    assert day.done("drones.decommission_drone", drone).wanted == "decommissioned"
    assert day.done("drones.recommission_drone", drone).wanted == "commissioned"
    assert day.done("drones.get_drone", drone).id == drone

    answer = day.ask("city.get_zones")
    city, features = answer.parsed, answer.parsed.features
    no_fly = day.models.FeatureKind.NO_FLY
    properties = day.models.FeatureProperties(kind=no_fly, id="by-a-generated-client")
    geometry = day.models.FeatureGeometry.from_dict({"type": "Polygon", "coordinates": AREA})
    area = day.models.Feature(type_="Feature", properties=properties, geometry=geometry)
    more = day.models.Zones(type_=city.type_, features=[*features, area])
    stored = day.ask("city.replace_zones", body=more, if_match=answer.headers["ETag"])
    assert area in stored.parsed.features
    assert day.ask("city.replace_zones", body=more, if_match=answer.headers["ETag"]).parsed.status == 412
    day.done("city.replace_zones", body=city, if_match=stored.headers["ETag"])
    assert day.done("city.get_zones") == city

    assert day.done("live.get_figures").drones.additional_properties
    assert not day.done("operator.sign_out").signed_in


@pytest.mark.parametrize("work", [look_and_sign_in, work_on_an_order, work_on_several, work_on_the_fleet])
def test_a_day_of_twelve_tasks_is_done_by_a_generated_client(
    day: Day, healthy: LiveSystem, work: Callable[[Day, LiveSystem], None]
) -> None:
    work(day, healthy)
