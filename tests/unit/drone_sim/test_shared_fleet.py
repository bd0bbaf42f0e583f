"""Several drone_sims share one fleet: every drone is flown by one of them, and those of a dead one are taken over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from dronedispatch.drone_sim.app import FleetFlight
from dronedispatch.drone_sim.core.craft import telemetry_of
from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.core.slots import slot_of
from dronedispatch.drone_sim.records import Records
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import ZONES_KEY, decode, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Drone, DroneStatus, Orders, Stop, StopKind, Telemetry
from dronedispatch.fleet.messages import DRONE_UPDATES, DroneUpdates
from dronedispatch.fleet.positions import Plane, Point
from dronedispatch.kv.client import Get, Op
from dronedispatch.kv.errors import OutcomeUnknown, Unavailable
from dronedispatch.testing.fleet import a_drone, at_km, telemetry_for
from dronedispatch.testing.town import Town

BEAT = Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(speed=10.0)
    yield town
    await town.close()


def updates(town: Town) -> list[DroneUpdates]:
    return [
        decode(DroneUpdates, message.body)
        for target, message in town.bus.published
        if target == DRONE_UPDATES
    ]


async def send_off(town: Town, name: str, *, hint: bool = True) -> None:
    """Orders to fly 5 km north."""
    item = await town.kv.get(drone_key(name))
    assert item is not None
    stops = (Stop(kind=StopKind.PICKUP, pos=at_km(0.0, 5.0), delivery_id="d"),)
    drone = a_drone(name, status=DroneStatus.BUSY, orders=Orders(seq=1, stops=stops))
    await town.kv.cas(item.key, item.version, encode(drone))
    for fleet in town.fleets if hint else ():
        fleet.simulation.hinted_at([name])


async def test_one_process_registers_and_flies_the_whole_fleet(town: Town) -> None:
    fleet = town.add_fleet(18)
    await town.ticks(2)
    assert len(await town.drones()) == 18
    assert len(await town.telemetry()) == 18
    assert len(fleet.flown.crafts) == 18


async def test_a_second_start_registers_nothing_anew(town: Town) -> None:
    await town.kv.put(drone_key(drone_id(0)), encode(a_drone(drone_id(0), cause="kept")))
    town.add_fleet(3)
    await town.ticks(2)
    assert (await town.drones())[drone_id(0)].cause == "kept"


async def test_two_processes_fly_each_drone_once(town: Town) -> None:
    one, two = town.add_fleet(40, "sim-1"), town.add_fleet(40, "sim-2")
    await town.ticks(6)
    assert sorted([*one.flown.crafts, *two.flown.crafts]) == sorted(await town.drones())
    assert not one.flown.crafts.keys() & two.flown.crafts.keys()
    assert len(one.claims.held()) == len(two.claims.held()) == 8


async def test_the_slots_of_a_dead_process_are_taken_over_and_its_drones_fly_on(town: Town) -> None:
    one, two = town.add_fleet(40, "sim-1"), town.add_fleet(40, "sim-2")
    await town.ticks(6)
    name = next(iter(one.flown.crafts))
    await send_off(town, name)
    await town.ticks(3)
    before = (await town.telemetry())[name]
    town.lose(one)
    await town.ticks(9)
    after = (await town.telemetry())[name]
    assert name in two.flown.crafts
    assert after.odometer_m > before.odometer_m > 0
    assert after.tick > before.tick
    assert two.claims.held() == tuple(range(16))


async def test_an_old_holder_whose_leases_ran_out_writes_nothing_and_gives_its_slots_up(town: Town) -> None:
    one = town.add_fleet(20, "sim-1")
    await town.ticks(2)
    town.lose(one)
    town.add_fleet(20, "sim-2")
    await town.ticks(9)
    taken = await town.telemetry()
    await one.tick(BEAT)
    assert await town.telemetry() == taken
    await one.claims.once()
    assert one.flown.crafts == {}


async def test_an_older_token_writes_nothing_even_when_its_holder_believes_in_it(town: Town) -> None:
    one = town.add_fleet(6, "sim-1")
    await town.ticks(2)
    tokens = {slot: one.claims.token(slot) for slot in one.claims.held()}
    town.lose(one)
    town.add_fleet(6, "sim-2")
    await town.ticks(9)
    taken = await town.telemetry()
    records = Records(town.kv, one.flown, lambda slot: tokens[slot], at_plane)
    told = [telemetry_of(craft, at_plane(), tick=999, at="x") for craft in one.flown.crafts.values()]
    written = await records.write(told, {})
    assert written.told == []
    assert written.lost_slots == {slot_of(name, 16) for name in taken}
    assert await town.telemetry() == taken


async def test_a_former_holders_last_word_is_taken_up_and_not_overwritten(town: Town) -> None:
    one = town.add_fleet(1, "sim-1")
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await town.ticks(2)
    item = await town.kv.get(telemetry_key(drone_id(0)))
    assert item is not None
    told = decode(Telemetry, item.value)
    last = msgspec.structs.replace(told, stops_done=1, tick=told.tick + 1, pos=at_km(0.0, 5.0))
    town.lose(one)
    two = town.add_fleet(1, "sim-2")
    town.clock.advance(7.0)
    await two.claims.once()
    await town.kv.cas(item.key, item.version, encode(last))  # it was under way when the lease ran out
    for _ in range(3):
        await two.tick(BEAT)
    stored = (await town.telemetry())[drone_id(0)]
    assert (stored.stops_done, stored.pos) == (1, last.pos)
    assert stored.tick > last.tick


async def test_telemetry_that_is_repaired_is_written_again(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    sound = await town.kv.get(telemetry_key(drone_id(0)))
    assert sound is not None
    await town.kv.put(sound.key, b"{broken")
    await send_off(town, drone_id(0))
    for _ in range(3):
        await fleet.tick(BEAT)
    await town.kv.put(sound.key, sound.value)
    for _ in range(3):
        await fleet.tick(BEAT)
    assert (await town.telemetry())[drone_id(0)].odometer_m > 0


async def test_a_released_slot_is_claimed_by_another_without_waiting_for_its_lease(town: Town) -> None:
    one = town.add_fleet(20, "sim-1")
    await town.ticks(1)
    two = town.add_fleet(20, "sim-2")
    await one.claims.release_all()
    town.lose(one)
    await town.ticks(1)
    assert len(two.flown.crafts) == 20


async def test_a_store_that_fails_stops_no_flight_and_the_telemetry_comes_later(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await town.ticks(1)

    def fail(op: Op) -> None:
        if not isinstance(op, Get):
            raise Unavailable("not now")

    town.kv.before = fail
    stored = (await town.telemetry())[drone_id(0)]
    for _ in range(3):
        town.clock.advance(0.1)
        await fleet.tick(BEAT)
    assert (await town.telemetry())[drone_id(0)] == stored
    town.kv.before = lambda _op: None
    await fleet.tick(BEAT)
    assert (await town.telemetry())[drone_id(0)].odometer_m > stored.odometer_m + 300


async def test_only_what_is_stored_is_published_and_the_others_are_said_to_fly(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await send_off(town, drone_id(0))

    def fail(op: Op) -> None:
        if op.key == telemetry_key(drone_id(0)) and not isinstance(op, Get):
            raise Unavailable("not now")

    town.kv.before = fail
    await fleet.tick(BEAT)
    last = updates(town)[-1]
    assert drone_id(0) not in {told.id for told in last.drones}
    assert drone_id(0) in last.alive
    assert {*last.alive, *(told.id for told in last.drones)} == set(fleet.flown.crafts)


async def test_a_write_of_unknown_outcome_is_read_again_before_the_next_one(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)

    def forget(op: Op) -> None:
        if op.key == telemetry_key(drone_id(0)) and not isinstance(op, Get):
            raise OutcomeUnknown("it may have been")

    await send_off(town, drone_id(0))
    town.kv.after = forget
    await fleet.tick(BEAT)
    assert fleet.flown.unsure == {drone_id(0)}
    town.kv.after = lambda _op: None
    for _ in range(2):
        await fleet.tick(BEAT)
    assert fleet.flown.unsure == set()
    assert (await town.telemetry())[drone_id(0)].tick == fleet.flown.number


async def test_a_hint_brings_new_orders_at_the_next_tick_and_without_hints_all_are_read(town: Town) -> None:
    fleet = town.add_fleet(18)
    await town.ticks(2)
    names = sorted(fleet.flown.crafts)
    await send_off(town, names[0])
    await fleet.tick(BEAT)
    assert fleet.flown.crafts[names[0]].orders.seq == 1
    town.bus.stop_broker()
    for name in names[1:]:
        await send_off(town, name, hint=False)
    await fleet.tick(BEAT)
    assert {craft.orders.seq for craft in fleet.flown.crafts.values()} == {1}


async def test_a_lost_hint_costs_at_most_one_turn_of_reading(town: Town) -> None:
    fleet = town.add_fleet(18)
    await town.ticks(2)
    for name in fleet.flown.crafts:
        await send_off(town, name, hint=False)
    for _ in range(10):
        await fleet.tick(BEAT)
    assert {craft.orders.seq for craft in fleet.flown.crafts.values()} == {1}


@pytest.mark.parametrize("key", [drone_key(drone_id(0)), telemetry_key(drone_id(0))])
async def test_a_record_that_cannot_be_read_keeps_its_drone_on_the_ground_and_is_left_alone(
    town: Town, key: str
) -> None:
    await town.kv.put(drone_key(drone_id(0)), encode(a_drone(drone_id(0))))
    await town.kv.put(key, b"{broken")
    fleet = town.add_fleet(3)
    await town.ticks(2)
    item = await town.kv.get(key)
    assert item is not None
    assert item.value == b"{broken"
    assert drone_id(0) not in fleet.flown.crafts
    assert len(fleet.flown.crafts) == 2


async def test_telemetry_that_became_unreadable_in_flight_is_never_overwritten(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await town.kv.put(telemetry_key(drone_id(0)), b"{broken")
    await send_off(town, drone_id(0))
    for _ in range(12):
        await fleet.tick(BEAT)
    item = await town.kv.get(telemetry_key(drone_id(0)))
    assert item is not None
    assert item.value == b"{broken"


async def test_a_wall_clock_that_jumps_moves_no_drone(town: Town) -> None:
    fleet = town.add_fleet(3)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    before = fleet.flown.crafts[drone_id(0)].odometer_m
    town.clock.jump_wall(86_400.0)
    await fleet.tick(BEAT)
    moved_m = fleet.flown.crafts[drone_id(0)].odometer_m - before
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
    flown = fleet.flown.crafts[drone_id(0)]
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
        assert not new.holds(fleet.flown.crafts[drone_id(0)].at)
    assert fleet.flown.crafts[drone_id(0)].stops_done == 1


async def test_a_parcel_that_went_to_another_drone_is_not_picked_up_even_when_the_hint_was_lost(
    town: Town,
) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    craft = fleet.flown.crafts[drone_id(0)]
    goal = craft.path[-1]
    fleet.flown.crafts[drone_id(0)] = msgspec.structs.replace(craft, at=Point(goal.x_m - 100.0, goal.y_m))
    recalled = a_drone(drone_id(0), orders=Orders(seq=2))
    await town.kv.put(drone_key(drone_id(0)), encode(recalled))
    await fleet.tick(BEAT)
    told = (await town.telemetry())[drone_id(0)]
    assert (told.orders_seq, told.stops_done) == (2, 0)


async def test_a_drone_that_cannot_ask_hovers_before_the_pick_up_and_flies_on_when_it_can(town: Town) -> None:
    fleet = town.add_fleet(1)
    await town.ticks(2)
    await send_off(town, drone_id(0))
    await fleet.tick(BEAT)
    craft = fleet.flown.crafts[drone_id(0)]
    goal = craft.path[-1]
    fleet.flown.crafts[drone_id(0)] = msgspec.structs.replace(craft, at=Point(goal.x_m - 100.0, goal.y_m))

    def fail(op: Op) -> None:
        if op.key == drone_key(drone_id(0)):
            raise Unavailable("not now")

    town.kv.before = fail
    for _ in range(3):
        await fleet.tick(BEAT)
    assert fleet.flown.crafts[drone_id(0)].stops_done == 0
    town.kv.before = lambda _op: None
    await fleet.tick(BEAT)
    assert fleet.flown.crafts[drone_id(0)].stops_done == 1


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
        drone = a_drone(name, status=DroneStatus.CHARGING, orders=Orders(seq=1, stops=(stop,)))
        await town.kv.put(drone_key(name), encode(drone))
    fleet.flown.drop(range(16))
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
