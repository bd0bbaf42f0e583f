"""The live events over HTTP: what a client sees, in which order, with and without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest_asyncio

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import drone_key, encode, stamp, telemetry_key
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry, drone_tags
from dronedispatch.fleet.messages import DeliveryStatusChanged
from dronedispatch.fleet.positions import LatLon
from support.gateway_client import Api
from support.ids import new_id
from support.waiting import deadline


@dataclass
class Event:
    """One server-sent event."""

    name: str
    data: Any
    id: str | None


@dataclass
class Stream:
    """Reads one event stream; what came while something else was waited for is kept in `seen`."""

    answer: aiohttp.ClientResponse
    seen: list[Event] = field(default_factory=list)

    async def next(self, name: str) -> Event:
        async with deadline():
            while True:
                event = await self._read()
                self.seen.append(event)
                if event.name == name:
                    return event

    async def ended(self) -> bool:
        async with deadline():
            return not await self.answer.content.read() or True

    async def _read(self) -> Event:
        event = Event("", None, None)
        while line := (await self.answer.content.readline()).decode():
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                event.name = value
            elif key == "id":
                event.id = value
            elif key == "data":
                event.data = msgspec.json.decode(value)
            elif line == "\n" and event.name:
                return event
        raise ConnectionError("the stream has ended")


class Town(Api):
    """Its streams, and what the dispatcher and the fleet do."""

    answers: list[aiohttp.ClientResponse]

    async def open(self, last: str | None = None, topics: str | None = None) -> Stream:
        headers = {} if last is None else {"Last-Event-ID": last}
        answer = await self.http.get("/events" + (f"?topics={topics}" if topics else ""), headers=headers)
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        self.answers.append(answer)
        return Stream(answer)

    def tell(self, delivery_id: str, status: DeliveryStatus, seq: int) -> None:
        event = DeliveryStatusChanged(
            id=new_id(),
            at=stamp(self.gateway.clock.wall_s()),
            request_id="r",
            delivery_id=delivery_id,
            status=status,
            drone_id="d1",
            cause="test",
            term=3,
            seq=seq,
        )
        self.gateway.feed.status_changed(event, encode(event))

    async def add_drone(self, drone_id: str, lat: float, tick: int = 1) -> None:
        drone = Drone(id=drone_id, type=DroneType.LIGHT, status=DroneStatus.IDLE, status_at="t")
        await self.gateway.kv.put(drone_key(drone_id), encode(drone), tags=drone_tags(drone))
        seen = Telemetry(id=drone_id, pos=LatLon(lat, 12.5), battery_pct=80.0, tick=tick, at="t")
        await self.gateway.kv.put(telemetry_key(drone_id), encode(seen))


@pytest_asyncio.fixture
async def town(api: Api) -> AsyncIterator[Town]:
    made = Town(api.gateway, api.http)
    made.answers = []
    yield made
    for answer in made.answers:
        answer.close()


async def test_a_change_of_status_comes_with_an_id_and_its_whole_delivery_after_it(town: Town) -> None:
    placed = (await town.place())["id"]
    stream = await town.open()
    await stream.next("figures")
    await town.move(placed, DeliveryStatus.ASSIGNED, drone_id="d1")
    town.tell(placed, DeliveryStatus.ASSIGNED, seq=1)
    event = await stream.next("delivery")
    assert (event.id, event.data["delivery_id"], event.data["status"]) == ("3-1", placed, "assigned")
    details = await stream.next("deliveries")
    assert [(one["id"], one["status"]) for one in details.data["deliveries"]] == [(placed, "assigned")]


async def test_who_comes_back_to_another_gateway_with_its_last_id_misses_nothing(town: Town) -> None:
    for seq in (1, 2, 3):
        town.tell(new_id(), DeliveryStatus.ASSIGNED, seq)
    stream = await town.open(last="3-1", topics="delivery")
    assert [(await stream.next("delivery")).id for _ in range(2)] == ["3-2", "3-3"]


async def test_who_was_away_too_long_is_told_to_start_afresh(town: Town) -> None:
    town.tell(new_id(), DeliveryStatus.ASSIGNED, seq=50)
    stream = await town.open(last="3-1", topics="delivery")
    await stream.next("reset")
    assert stream.seen[0].name == "reset"


async def test_a_placed_order_shows_at_once(town: Town) -> None:
    stream = await town.open(topics="deliveries")
    placed = (await town.place())["id"]
    event = await stream.next("deliveries")
    assert event.data["deliveries"][0]["id"] == placed


async def test_without_any_message_the_store_alone_keeps_the_picture(town: Town) -> None:
    await town.add_drone("d1", lat=41.9)
    placed = (await town.place())["id"]
    stream = await town.open()
    whole = await stream.next("drones")
    assert whole.data["whole"]
    assert [one["id"] for one in whole.data["drones"]] == ["d1"]
    await town.move(placed, DeliveryStatus.ASSIGNED, drone_id="d1")
    await town.add_drone("d1", lat=41.95, tick=2)
    changed = await stream.next("drones")
    assert not changed.data["whole"]
    assert changed.data["drones"][0]["pos"]["lat"] == 41.95
    await town.move(placed, DeliveryStatus.IN_PROGRESS)
    await town.move(placed, DeliveryStatus.DELIVERED)
    async with deadline():
        while (await stream.next("figures")).data["delivered"] != 1:
            pass
    shown = [one for event in stream.seen if event.name == "deliveries" for one in event.data["deliveries"]]
    assert shown[-1]["status"] == "delivered"


async def test_telemetry_is_dropped_unread_while_nobody_watches(town: Town) -> None:
    assert not town.gateway.feed.watched
    stream = await town.open(topics="drones")
    await town.add_drone("d1", lat=41.9)
    await stream.next("drones")
    assert town.gateway.feed.watched


async def test_figures_are_answered_to_who_asks_once(town: Town) -> None:
    await town.place()
    async with town.http.get("/figures") as answer:
        figures = await answer.json()
    assert (figures["pending"], figures["orders_per_minute"], figures["delivered"]) == (1, 1, 0)


async def test_the_past_is_answered_in_steps_and_as_a_table(town: Town) -> None:
    async with town.http.get("/figures?step=300") as answer:
        found = await answer.json()
    assert (answer.status, found["step_s"]) == (200, 300)
    assert {point["orders"] for point in found["points"]} <= {0, None}
    async with town.http.get("/figures", headers={"Accept": "text/csv"}) as answer:
        table = await answer.text()
    assert answer.content_type == "text/csv"
    assert len(table.splitlines()) == 1 + 181
    async with town.http.get("/figures?from=yesterday&step=7") as answer:
        problem = await answer.json()
    assert (answer.status, [one["field"] for one in problem["errors"]]) == (400, ["from", "step"])
    async with town.http.get("/figures", headers={"Accept": "image/png"}) as answer:
        assert answer.status == 406


async def test_a_new_city_is_told(town: Town) -> None:
    stream = await town.open(topics="zones")
    async with town.http.get("/zones") as answer:
        await town.gateway.kv.put("zones", await answer.read())
    assert (await stream.next("zones")).data["version"] == "1.1"


async def test_a_stopping_gateway_ends_its_streams_so_that_clients_go_elsewhere(town: Town) -> None:
    stream = await town.open()
    town.gateway.feed.close()
    assert await stream.ended()
