"""Several drone_sims share one fleet: every drone is flown by one of them, and those of a dead one are taken over."""

from __future__ import annotations

import msgspec
import pytest

from dronedispatch.drone_sim.core.craft import telemetry_of
from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.core.slots import slot_of
from dronedispatch.drone_sim.records import Records, TelemetryWrite
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.fleet.documents import decode, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Telemetry, has_done_something
from dronedispatch.kv.client import Cas, Get, Op
from dronedispatch.kv.errors import OutcomeUnknown, Unavailable
from dronedispatch.kv.version import Version
from dronedispatch.testing.errands import send_off, updates
from dronedispatch.testing.fleet import PLANE, a_drone, at_km
from dronedispatch.testing.town import Town
from support.towns import a_fleet, beats, stored

STORE_TICKS = Settings().store_ticks
FIRST = drone_id(0)


async def told_of_first(town: Town) -> Telemetry:
    """As it is stored."""
    return (await town.telemetry())[FIRST]


async def test_one_process_registers_and_flies_the_whole_fleet(town: Town) -> None:
    fleet = await a_fleet(town, 18)
    assert len(await town.drones()) == 18
    assert len(await town.telemetry()) == 18
    assert len(fleet.state.crafts) == 18


async def test_a_second_start_registers_nothing_anew(town: Town) -> None:
    await town.kv.put(drone_key(FIRST), encode(a_drone(FIRST, cause="kept")))
    await a_fleet(town, 3)
    assert (await town.drones())[FIRST].cause == "kept"


async def test_two_processes_fly_each_drone_once(town: Town) -> None:
    one, two = town.add_fleet(40, "sim-1"), town.add_fleet(40, "sim-2")
    await town.ticks(6)
    assert sorted([*one.state.crafts, *two.state.crafts]) == sorted(await town.drones())
    assert not one.state.crafts.keys() & two.state.crafts.keys()
    assert len(one.claims.held()) == len(two.claims.held()) == 8


async def test_the_slots_of_a_dead_process_are_taken_over_and_its_drones_fly_on(town: Town) -> None:
    one, two = town.add_fleet(40, "sim-1"), town.add_fleet(40, "sim-2")
    await town.ticks(6)
    name = next(iter(one.state.crafts))
    await send_off(town, name)
    await town.ticks(3)
    before = (await town.telemetry())[name]
    town.lose(one)
    await town.ticks(9)
    after = (await town.telemetry())[name]
    assert name in two.state.crafts
    assert after.odometer_m > before.odometer_m > 0
    assert after.tick > before.tick
    assert two.claims.held() == tuple(range(16))


async def test_an_old_holder_whose_leases_ran_out_writes_nothing_and_gives_its_slots_up(town: Town) -> None:
    one = await a_fleet(town, 20)
    town.lose(one)
    town.add_fleet(20, "sim-2")
    await town.ticks(9)
    taken = await town.telemetry()
    await beats(one)
    assert await town.telemetry() == taken
    await one.claims.once()
    assert one.state.crafts == {}


async def test_an_older_token_writes_nothing_even_when_its_holder_believes_in_it(town: Town) -> None:
    one = await a_fleet(town, 6)
    tokens = {slot: one.claims.token(slot) for slot in one.claims.held()}
    town.lose(one)
    town.add_fleet(6, "sim-2")
    await town.ticks(9)
    taken = await town.telemetry()
    writes = [
        TelemetryWrite(telemetry_of(craft, PLANE, tick=999, at="x"), one.state.version(name), token)
        for name, craft in one.state.crafts.items()
        if (token := tokens[slot_of(name, 16)]) is not None
    ]
    written = await Records(town.kv).write(writes)
    assert written.telemetry == {}
    assert written.fenced == set(taken)
    assert await town.telemetry() == taken


async def test_a_former_holders_last_word_is_taken_up_and_not_overwritten(town: Town) -> None:
    one = await a_fleet(town, 1)
    await send_off(town, FIRST)
    await town.ticks(2)
    item = await stored(town.kv, telemetry_key(FIRST))
    told = decode(Telemetry, item.value)
    last = msgspec.structs.replace(told, stops_done=1, tick=told.tick + 1, pos=at_km(0.0, 5.0))
    town.lose(one)
    two = town.add_fleet(1, "sim-2")
    town.clock.advance(7.0)
    await two.claims.once()
    await town.kv.cas(item.key, item.version, encode(last))  # it was under way when the lease ran out
    await beats(two, 3)
    kept = await told_of_first(town)
    assert (kept.stops_done, kept.pos) == (1, last.pos)
    assert kept.tick > last.tick


async def test_telemetry_that_is_repaired_is_written_again(town: Town) -> None:
    fleet = await a_fleet(town, 1)
    sound = await stored(town.kv, telemetry_key(FIRST))
    await town.kv.put(sound.key, b"{broken")
    await send_off(town, FIRST)
    await beats(fleet, 3)
    await town.kv.put(sound.key, sound.value)
    await beats(fleet, 3)
    assert (await told_of_first(town)).odometer_m > 0


async def test_a_released_slot_is_claimed_by_another_without_waiting_for_its_lease(town: Town) -> None:
    one = town.add_fleet(20, "sim-1")
    await town.ticks(1)
    two = town.add_fleet(20, "sim-2")
    await one.claims.release_all()
    town.lose(one)
    await town.ticks(1)
    assert len(two.state.crafts) == 20


async def test_a_store_that_fails_stops_no_flight_and_the_telemetry_comes_later(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await send_off(town, FIRST)
    await town.ticks(1)

    def fail(op: Op) -> None:
        if not isinstance(op, Get):
            raise Unavailable("not now")

    town.kv.before = fail
    kept = await told_of_first(town)
    for _ in range(3):
        town.clock.advance(0.1)
        await beats(fleet)
    assert await told_of_first(town) == kept
    town.kv.before = lambda _op: None
    await beats(fleet, STORE_TICKS)
    assert (await told_of_first(town)).odometer_m > kept.odometer_m + 300


async def test_only_what_is_stored_is_published_and_the_others_are_said_to_fly(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await send_off(town, FIRST)

    def fail(op: Op) -> None:
        if op.key == telemetry_key(FIRST) and not isinstance(op, Get):
            raise Unavailable("not now")

    town.kv.before = fail
    await beats(fleet)
    last = updates(town)[-1]
    assert FIRST not in {told.id for told in last.drones}
    assert FIRST in last.alive
    assert {*last.alive, *(told.id for told in last.drones)} == set(fleet.state.crafts)


async def test_a_write_of_unknown_outcome_is_read_again_before_the_next_one(town: Town) -> None:
    fleet = await a_fleet(town, 3)

    def forget(op: Op) -> None:
        if op.key == telemetry_key(FIRST) and not isinstance(op, Get):
            raise OutcomeUnknown("it may have been")

    await send_off(town, FIRST)
    town.kv.after = forget
    await beats(fleet)
    assert fleet.state.unsure == {FIRST}
    town.kv.after = lambda _op: None
    await beats(fleet)
    assert fleet.state.unsure == set()
    assert (await told_of_first(town)).tick == fleet.state.number


async def recall_at_the_pick_up(town: Town, up_to: int = 1) -> None:
    """The dispatcher marks the orders of the first drone just before its pick-up by the first of them is stored."""
    key = telemetry_key(FIRST)
    marked: list[bytes] = []

    def mark(op: Op) -> None:
        if isinstance(op, Cas) and op.key == key and decode(Telemetry, op.value).stops_done and not marked:
            found = town.kv.records[key]
            told = decode(Telemetry, found.value)
            marked.append(encode(msgspec.structs.replace(told, recalled_seq=up_to)))
            town.kv.records[key] = msgspec.structs.replace(
                found, value=marked[0], version=Version(found.version.epoch, found.version.n + 1_000)
            )

    town.kv.before = mark
    await send_off(town, FIRST)
    for _ in range(60):
        await beats(town.fleets[0])
        if marked:
            return


@pytest.mark.parametrize("up_to", [1, 3])
async def test_a_pick_up_that_loses_to_a_recall_has_not_happened_and_the_mark_stays(
    town: Town, up_to: int
) -> None:
    one = await a_fleet(town, 1)
    await recall_at_the_pick_up(town, up_to)
    told = await told_of_first(town)
    assert (told.stops_done, told.is_recalled(1)) == (0, True)
    await beats(one, 2 * STORE_TICKS)
    town.lose(one)
    town.add_fleet(1, "sim-2")
    await town.ticks(10 + STORE_TICKS)
    later = await told_of_first(town)
    assert later.tick > told.tick
    assert (later.stops_done, later.is_recalled(1)) == (0, True)
    assert not any(one.stops_done for event in updates(town) for one in event.drones)


async def test_newer_orders_after_a_recall_are_flown(town: Town) -> None:
    one = await a_fleet(town, 1)
    await recall_at_the_pick_up(town)
    await send_off(town, FIRST, seq=2)
    await beats(one, 60)
    told = await told_of_first(town)
    assert (told.orders_seq, told.stops_done, told.recalled_seq) == (2, 1, msgspec.UNSET)


async def test_a_drone_that_merely_moves_is_told_in_each_tick_and_stored_in_its_turn(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await send_off(town, FIRST)
    stored = []
    for _ in range(2 * STORE_TICKS):
        await beats(fleet)
        stored.append((await told_of_first(town)).tick)
        (told,) = (one for one in updates(town)[-1].drones if one.id == FIRST)
        assert told.tick == fleet.state.number
    assert len(set(stored)) == 2


async def test_without_a_broker_every_movement_is_stored(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await send_off(town, FIRST)
    town.bus.stop_broker()
    for _ in range(3):
        await beats(fleet)
        assert (await told_of_first(town)).tick == fleet.state.number


async def test_what_a_drone_has_done_is_stored_before_it_is_told(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await send_off(town, FIRST)
    for _ in range(60):
        await beats(fleet)
        stored = await town.telemetry()
        for told in updates(town)[-1].drones:
            assert not has_done_something(stored[told.id], told)
    assert stored[FIRST].stops_done == 1
    assert stored[FIRST].speed_mps == 0.0


async def test_a_successor_flies_on_from_what_is_stored_with_ticks_beyond_all_that_was_told(
    town: Town,
) -> None:
    one = await a_fleet(town, 1)
    await send_off(town, FIRST)
    await beats(one, STORE_TICKS - 1)
    last = updates(town)[-1].drones[0]
    kept = await told_of_first(town)
    assert kept.tick < last.tick
    town.lose(one)
    two = town.add_fleet(1, "sim-2")
    town.clock.advance(7.0)
    await two.claims.once()
    await beats(two)
    after = updates(town)[-1].drones[0]
    assert after.tick > last.tick
    assert kept.odometer_m < after.odometer_m <= last.odometer_m
    assert after.battery_pct > last.battery_pct - 1.0


async def test_a_hint_brings_new_orders_at_the_next_tick_and_without_hints_all_are_read(town: Town) -> None:
    fleet = await a_fleet(town, 18)
    names = sorted(fleet.state.crafts)
    await send_off(town, names[0])
    await beats(fleet)
    assert fleet.state.crafts[names[0]].orders.seq == 1
    town.bus.stop_broker()
    for name in names[1:]:
        await send_off(town, name, hint=False)
    await beats(fleet)
    assert {craft.orders.seq for craft in fleet.state.crafts.values()} == {1}


async def test_a_lost_hint_costs_at_most_one_turn_of_reading(town: Town) -> None:
    fleet = await a_fleet(town, 18)
    for name in fleet.state.crafts:
        await send_off(town, name, hint=False)
    await beats(fleet, 10)
    assert {craft.orders.seq for craft in fleet.state.crafts.values()} == {1}


@pytest.mark.parametrize("key", [drone_key(FIRST), telemetry_key(FIRST)])
async def test_a_record_that_cannot_be_read_keeps_its_drone_on_the_ground_and_is_left_alone(
    town: Town, key: str
) -> None:
    await town.kv.put(drone_key(FIRST), encode(a_drone(FIRST)))
    await town.kv.put(key, b"{broken")
    fleet = await a_fleet(town, 3)
    assert (await stored(town.kv, key)).value == b"{broken"
    assert FIRST not in fleet.state.crafts
    assert len(fleet.state.crafts) == 2


async def test_telemetry_that_became_unreadable_in_flight_is_never_overwritten(town: Town) -> None:
    fleet = await a_fleet(town, 3)
    await town.kv.put(telemetry_key(FIRST), b"{broken")
    await send_off(town, FIRST)
    await beats(fleet, 12)
    assert (await stored(town.kv, telemetry_key(FIRST))).value == b"{broken"
