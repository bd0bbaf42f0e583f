"""A fleet in the air: clocks that jump, cities that change, orders that are called back, and what a tick publishes."""

from __future__ import annotations

import json

import msgspec
import pytest
import shapely
from shapely.affinity import translate

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.faults import Fault, FaultKind
from dronedispatch.drone_sim.fleet_flight import FleetFlight
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import DELIVERY_PREFIX, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Commands, DroneStatus, Stop, StopKind, Telemetry
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.client import Cas, Op
from dronedispatch.kv.errors import Unavailable
from dronedispatch.testing.errands import send_off, updates
from dronedispatch.testing.fleet import a_drone, telemetry_for
from dronedispatch.testing.town import Town
from dronedispatch.testing.views import OPEN_SKY
from support.generated_cities import moved_by, renamed, with_no_fly
from support.towns import a_fleet, beats, becomes, stored

FIRST = drone_id(0)


async def under_way(town: Town, drones: int = 1) -> FleetFlight:
    """A fleet whose first drone flies to fetch something."""
    fleet = await a_fleet(town, drones)
    await send_off(town, FIRST)
    await beats(fleet)
    return fleet


def first_of(fleet: FleetFlight) -> Craft:
    return fleet.state.crafts[FIRST]


def put_down(fleet: FleetFlight, away_m: float) -> None:
    """The first drone is so far from its goal now."""
    goal = first_of(fleet).path[-1]
    fleet.state.crafts[FIRST] = msgspec.structs.replace(
        first_of(fleet), at=Point(goal.x_m - away_m, goal.y_m)
    )


async def test_a_wall_clock_that_jumps_moves_no_drone(town: Town) -> None:
    fleet = await under_way(town, 3)
    before = first_of(fleet).odometer_m
    town.clock.jump_wall(86_400.0)
    await beats(fleet)
    moved_m = first_of(fleet).odometer_m - before
    assert moved_m == pytest.approx(10 * 60 / 3.6)
    await fleet.claims.once()
    assert len(fleet.claims.held()) == 16


async def test_a_city_with_another_middle_moves_no_drone(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    before = {name: told.pos for name, told in (await town.telemetry()).items()}
    document = json.loads(json.dumps(default_city().document))
    (rim,) = (f for f in document["features"] if f["properties"]["kind"] == "boundary")
    rim["geometry"]["coordinates"][0][1][0] = rim["geometry"]["coordinates"][0][2][0] = 12.7
    await becomes(town, document)
    await beats(fleet, 10)
    after = {name: told.pos for name, told in (await town.telemetry()).items()}
    assert fleet.simulation.air.plane != default_city().plane
    for name, pos in before.items():
        assert (after[name].lat, after[name].lon) == pytest.approx((pos.lat, pos.lon))


async def test_a_no_fly_area_that_is_drawn_across_a_path_is_flown_around(town: Town) -> None:
    fleet = await under_way(town)
    flown = first_of(fleet)
    goal = flown.path[-1]
    middle = Point((flown.at.x_m + goal.x_m) / 2, (flown.at.y_m + goal.y_m) / 2)
    await becomes(town, with_no_fly(OPEN_SKY, [shapely.Point(middle).buffer(400.0, cap_style="square")]))
    (new,) = fleet.simulation.air.city.no_fly
    for _ in range(60):
        await beats(fleet)
        assert not new.holds(first_of(fleet).at)
    assert first_of(fleet).stops_done == 1


async def test_a_parcel_that_went_to_another_drone_is_not_picked_up_even_when_the_hint_was_lost(
    town: Town,
) -> None:
    fleet = await under_way(town)
    put_down(fleet, 100.0)
    recalled = a_drone(FIRST, orders=Commands(seq=2))
    await town.kv.put(drone_key(FIRST), encode(recalled))
    await beats(fleet)
    told = (await town.telemetry())[FIRST]
    assert (told.orders_seq, told.stops_done) == (2, 0)


async def test_a_drone_that_cannot_ask_waits_at_the_pick_up_and_flies_on_when_it_can(town: Town) -> None:
    fleet = await under_way(town)
    put_down(fleet, 100.0)

    def fail(op: Op) -> None:
        if op.key.startswith(DELIVERY_PREFIX):
            raise Unavailable("not now")

    town.kv.before = fail
    await beats(fleet, 3)
    assert first_of(fleet).stops_done == 0
    town.kv.before = lambda _op: None
    await beats(fleet)
    assert first_of(fleet).stops_done == 1


async def test_a_large_tick_is_published_in_parts_that_say_so(town: Town) -> None:
    fleet = town.add_fleet(1200)
    town.clock.advance(1.0)
    await fleet.claims.once()
    await beats(fleet)
    parts = updates(town)
    assert [(event.part, event.parts) for event in parts] == [(0, 3), (1, 3), (2, 3)]
    assert sum(len(event.drones) for event in parts) == 1200


async def test_a_docked_drone_charges_in_the_store_and_makes_room_when_it_is_full(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(1)
    air = fleet.simulation.air
    station = air.city.charge_points[0]
    stop = Stop(kind=StopKind.CHARGE, pos=station.pos, station=station.id)
    low = telemetry_for(FIRST, pos=station.pos, battery_pct=95.0, tick=1)
    drone = a_drone(FIRST, status=DroneStatus.CHARGING, orders=Commands(seq=1, stops=(stop,)))
    await town.kv.put(drone_key(FIRST), encode(drone))
    fleet.state.drop(range(16))
    await town.kv.put(telemetry_key(FIRST), encode(low))
    await fleet.claims.release_all()
    told: list[Telemetry] = []
    for _ in range(40):
        await town.tick()
        told.append((await town.telemetry())[FIRST])
    assert station.id in {one.at_charge for one in told}
    assert told[-1].battery_pct == 100.0
    assert told[-1].at_charge is None
    assert (await stored(town.kv, f"dock:{station.id}")).value == b'{"queue":[]}'


async def test_a_registered_drone_is_inactive_until_the_dispatcher_wakes_it(town: Town) -> None:
    town.add_fleet(1)
    await town.ticks(1)
    assert (await town.drones())[FIRST].status is DroneStatus.INACTIVE


NORTH, SOUTH = (-300, 200, 300, 300), (-300, -300, 300, -200)
WEST, EAST = (-300, -300, -200, 300), (200, -300, 300, 300)


@pytest.mark.parametrize(
    "boxes", [[NORTH, SOUTH, WEST, EAST], [(-300, -300, 300, 300)]], ids=["round it", "over it"]
)
async def test_a_drone_with_no_way_to_its_stop_hovers_and_never_enters_an_area(
    town: Town, boxes: list[tuple[int, int, int, int]]
) -> None:
    fleet = await under_way(town)
    flown = first_of(fleet)
    goal = flown.path[-1]
    walls = [translate(shapely.box(*ends), goal.x_m, goal.y_m) for ends in boxes]
    await becomes(town, with_no_fly(OPEN_SKY, walls))
    here = first_of(fleet).at
    await beats(fleet, 2)
    craft = first_of(fleet)
    assert craft.walled_in
    assert not craft.arrived
    assert craft.at == here
    await becomes(town, dict(OPEN_SKY.document))
    await beats(fleet)
    assert first_of(fleet).at != here


async def test_a_fleet_far_from_a_new_city_is_shipped_there_and_flies_to_no_place_of_the_old_one(
    town: Town,
) -> None:
    fleet = await under_way(town, 3)
    await becomes(town, moved_by(OPEN_SKY, -7.6, 10.5))
    city = fleet.simulation.air.city
    for craft in fleet.state.crafts.values():
        assert city.why_not_here(city.plane.to_latlon(craft.at)) is None
        assert craft.battery_pct == 100.0
    here = first_of(fleet).at
    await beats(fleet)
    assert first_of(fleet).walled_in
    assert first_of(fleet).at == here


async def test_a_drone_stands_at_no_charge_point_that_is_gone(town: Town) -> None:
    fleet = await a_fleet(town, 1)
    craft = first_of(fleet)
    fleet.state.crafts[FIRST] = msgspec.structs.replace(craft, docked="charge-north-east")
    await becomes(town, renamed(OPEN_SKY, "charge-north-east"))
    assert first_of(fleet).docked is None


async def test_what_happens_to_a_drone_while_a_tick_is_stored_is_told_by_the_next(town: Town) -> None:
    fleet = await a_fleet(town, 1)
    await send_off(town, FIRST)

    def empty_it(op: Op) -> None:
        if isinstance(op, Cas) and op.key == telemetry_key(FIRST):
            town.kv.after = lambda _op: None
            assert fleet.faults.strike(Fault(drone_id=FIRST, kind=FaultKind.BATTERY, battery_pct=0.0))

    town.kv.after = empty_it
    await beats(fleet, 2)
    assert (await town.telemetry())[FIRST].battery_pct == 0.0
    assert fleet.faults.silent() == {FIRST}
