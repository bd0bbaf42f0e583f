"""A fleet in the air: clocks that jump, cities that change, orders that are called back, and what a tick publishes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.faults import Fault, FaultKind
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import DELIVERY_PREFIX, ZONES_KEY, decode, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, Stop, StopKind, Telemetry
from dronedispatch.fleet.positions import Plane, Point
from dronedispatch.kv.client import Cas, Op
from dronedispatch.kv.errors import Unavailable
from dronedispatch.testing.errands import send_off, updates
from dronedispatch.testing.fleet import a_drone, telemetry_for
from dronedispatch.testing.town import Town

BEAT = Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(speed=10.0)
    yield town
    await town.close()


async def test_a_wall_clock_that_jumps_moves_no_drone(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    before = fleet.state.crafts[drone_id(0)].odometer_m
    town.clock.jump_wall(86_400.0)
    await fleet.tick(BEAT)
    moved_m = fleet.state.crafts[drone_id(0)].odometer_m - before
    assert moved_m == pytest.approx(10 * 60 / 3.6)
    assert await claims_survive(town, fleet)


def at_plane() -> Plane:
    return default_city().plane


async def claims_survive(town: Town, fleet: FleetFlight) -> bool:
    await fleet.claims.once()
    return len(fleet.claims.held()) == 16


async def test_a_city_with_another_middle_moves_no_drone(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    before = {name: told.pos for name, told in (await town.telemetry()).items()}
    document = json.loads(json.dumps(default_city().document))
    (rim,) = (f for f in document["features"] if f["properties"]["kind"] == "boundary")
    rim["geometry"]["coordinates"][0][1][0] = rim["geometry"]["coordinates"][0][2][0] = 12.7
    await town.kv.put(ZONES_KEY, encode(document))
    await fleet.zones.once()
    for _ in range(10):
        await fleet.tick(BEAT)
    after = {name: told.pos for name, told in (await town.telemetry()).items()}
    assert fleet.simulation.air.plane != default_city().plane
    for name, pos in before.items():
        assert (after[name].lat, after[name].lon) == pytest.approx((pos.lat, pos.lon))


async def test_a_no_fly_area_that_is_drawn_across_a_path_is_flown_around(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    flown = fleet.state.crafts[drone_id(0)]
    goal = flown.path[-1]
    middle = Point((flown.at.x_m + goal.x_m) / 2, (flown.at.y_m + goal.y_m) / 2)
    corners = [(-400.0, -400.0), (400.0, -400.0), (400.0, 400.0), (-400.0, 400.0), (-400.0, -400.0)]
    ring = [at_plane().to_latlon(Point(middle.x_m + x_m, middle.y_m + y_m)) for x_m, y_m in corners]
    document = json.loads(json.dumps(default_city().open_sky().document))
    area = {"type": "Polygon", "coordinates": [[[pos.lon, pos.lat] for pos in ring]]}
    document["features"].append(
        {"type": "Feature", "properties": {"kind": "no_fly", "id": "new"}, "geometry": area}
    )
    await town.kv.put(ZONES_KEY, encode(document))
    assert (await fleet.zones.once()).startswith("zones ")
    (new,) = fleet.simulation.air.city.no_fly
    for _ in range(60):
        await fleet.tick(BEAT)
        assert not new.holds(fleet.state.crafts[drone_id(0)].at)
    assert fleet.state.crafts[drone_id(0)].stops_done == 1


async def test_a_parcel_that_went_to_another_drone_is_not_picked_up_even_when_the_hint_was_lost(
    town: Town,
) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    craft = fleet.state.crafts[drone_id(0)]
    goal = craft.path[-1]
    fleet.state.crafts[drone_id(0)] = msgspec.structs.replace(craft, at=Point(goal.x_m - 100.0, goal.y_m))
    recalled = a_drone(drone_id(0), orders=Commands(seq=2))
    await town.kv.put(drone_key(drone_id(0)), encode(recalled))
    await fleet.tick(BEAT)
    told = (await town.telemetry())[drone_id(0)]
    assert (told.orders_seq, told.stops_done) == (2, 0)


async def test_a_drone_that_cannot_ask_waits_at_the_pick_up_and_flies_on_when_it_can(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    craft = fleet.state.crafts[drone_id(0)]
    goal = craft.path[-1]
    fleet.state.crafts[drone_id(0)] = msgspec.structs.replace(craft, at=Point(goal.x_m - 100.0, goal.y_m))

    def fail(op: Op) -> None:
        if op.key.startswith(DELIVERY_PREFIX):
            raise Unavailable("not now")

    town.kv.before = fail
    for _ in range(3):
        await fleet.tick(BEAT)
    assert fleet.state.crafts[drone_id(0)].stops_done == 0
    town.kv.before = lambda _op: None
    await fleet.tick(BEAT)
    assert fleet.state.crafts[drone_id(0)].stops_done == 1


async def test_a_large_tick_is_published_in_parts_that_say_so(town: Town) -> None:
    fleet = town.add_fleet(1200)
    town.clock.advance(1.0)
    await fleet.claims.once()
    await fleet.tick(BEAT)
    parts = updates(town)
    assert [(event.part, event.parts) for event in parts] == [(0, 3), (1, 3), (2, 3)]
    assert sum(len(event.drones) for event in parts) == 1200


async def test_a_docked_drone_charges_in_the_store_and_makes_room_when_it_is_full(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(1)
    air = fleet.simulation.air
    station = air.city.charge_points[0]
    stop = Stop(kind=StopKind.CHARGE, pos=station.pos, station=station.id)
    low = telemetry_for(drone_id(0), pos=station.pos, battery_pct=95.0, tick=1)
    for name in (drone_id(0),):
        old = await town.kv.get(telemetry_key(name))
        assert old is not None
        drone = a_drone(name, status=DroneStatus.CHARGING, orders=Commands(seq=1, stops=(stop,)))
        await town.kv.put(drone_key(name), encode(drone))
    fleet.state.drop(range(16))
    await town.kv.put(telemetry_key(drone_id(0)), encode(low))
    await fleet.claims.release_all()
    told: list[Telemetry] = []
    for _ in range(40):
        await town.tick()
        told.append((await town.telemetry())[drone_id(0)])
    assert station.id in {one.at_charge for one in told}
    assert told[-1].battery_pct == 100.0
    assert told[-1].at_charge is None
    dock = await town.kv.get(f"dock:{station.id}")
    assert dock is not None
    assert dock.value == b'{"queue":[]}'


async def test_a_registered_drone_is_inactive_until_the_dispatcher_wakes_it(town: Town) -> None:
    town.add_fleet(1)
    await town.ticks(1)
    item = await town.kv.get(drone_key(drone_id(0)))
    assert item is not None
    assert decode(Drone, item.value).status is DroneStatus.INACTIVE


ROUND_THE_STOP = [
    (-300, 200, 300, 300),
    (-300, -300, 300, -200),
    (-300, -300, -200, 300),
    (200, -300, 300, 300),
]


@pytest.mark.parametrize("boxes", [ROUND_THE_STOP, [(-300, -300, 300, 300)]], ids=["round it", "over it"])
async def test_a_drone_with_no_way_to_its_stop_hovers_and_never_enters_an_area(
    town: Town, boxes: list[tuple[int, int, int, int]]
) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    flown = fleet.state.crafts[drone_id(0)]
    goal = flown.path[-1]
    document = json.loads(json.dumps(default_city().open_sky().document))
    for number, (west, south, east, north) in enumerate(boxes):
        corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
        ring = [at_plane().to_latlon(Point(goal.x_m + x_m, goal.y_m + y_m)) for x_m, y_m in corners]
        area = {"type": "Polygon", "coordinates": [[[pos.lon, pos.lat] for pos in ring]]}
        properties = {"kind": "no_fly", "id": f"wall-{number}"}
        document["features"].append({"type": "Feature", "properties": properties, "geometry": area})
    await town.kv.put(ZONES_KEY, encode(document))
    await fleet.zones.once()
    here = fleet.state.crafts[drone_id(0)].at
    await fleet.tick(BEAT)
    await fleet.tick(BEAT)
    craft = fleet.state.crafts[drone_id(0)]
    assert craft.walled_in
    assert not craft.arrived
    assert craft.at == here
    await town.kv.put(ZONES_KEY, encode(default_city().open_sky().document))
    await fleet.zones.once()
    await fleet.tick(BEAT)
    assert fleet.state.crafts[drone_id(0)].at != here


async def test_a_fleet_far_from_a_new_city_is_shipped_there_and_flies_to_no_place_of_the_old_one(
    town: Town,
) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    document = json.loads(json.dumps(default_city().open_sky().document))

    def moved(part: object) -> object:
        if isinstance(part, list) and part and isinstance(part[0], float):
            return [part[0] - 7.6, part[1] + 10.5]
        return [moved(one) for one in part] if isinstance(part, list) else part

    for feature in document["features"]:
        feature["geometry"]["coordinates"] = moved(feature["geometry"]["coordinates"])
    await town.kv.put(ZONES_KEY, encode(document))
    await fleet.zones.once()
    city = fleet.simulation.air.city
    for craft in fleet.state.crafts.values():
        assert city.why_not_here(city.plane.to_latlon(craft.at)) is None
        assert craft.battery_pct == 100.0
    here = fleet.state.crafts[drone_id(0)].at
    await fleet.tick(BEAT)
    assert fleet.state.crafts[drone_id(0)].walled_in
    assert fleet.state.crafts[drone_id(0)].at == here


async def test_a_drone_stands_at_no_charge_point_that_is_gone(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    craft = fleet.state.crafts[drone_id(0)]
    fleet.state.crafts[drone_id(0)] = msgspec.structs.replace(craft, docked="charge-north-east")
    document = json.loads(json.dumps(default_city().open_sky().document))
    for feature in document["features"]:
        if feature["properties"]["id"] == "charge-north-east":
            feature["properties"]["id"] = "renamed"
    await town.kv.put(ZONES_KEY, encode(document))
    await fleet.zones.once()
    assert fleet.state.crafts[drone_id(0)].docked is None


async def test_what_happens_to_a_drone_while_a_tick_is_stored_is_told_by_the_next(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))

    def empty_it(op: Op) -> None:
        if isinstance(op, Cas) and op.key == telemetry_key(drone_id(0)):
            town.kv.after = lambda _op: None
            assert fleet.faults.strike(Fault(drone_id=drone_id(0), kind=FaultKind.BATTERY, battery_pct=0.0))

    town.kv.after = empty_it
    for _ in range(2):
        await fleet.tick(BEAT)
    assert (await town.telemetry())[drone_id(0)].battery_pct == 0.0
    assert fleet.faults.silent() == {drone_id(0)}
