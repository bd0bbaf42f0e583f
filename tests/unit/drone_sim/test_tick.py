"""The fleet's tick: who has news, who charges, who is silent; the schedule; the slots."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.docks import Dock, plugged_in, settle
from dronedispatch.drone_sim.core.flight import Noise
from dronedispatch.drone_sim.core.placement import class_of, drone_id, place
from dronedispatch.drone_sim.core.schedule import ELAPSED_TICKS_MAX, beat
from dronedispatch.drone_sim.core.slots import share_of, slot_of
from dronedispatch.drone_sim.core.tick import Fleet, Tick, fly_fleet
from dronedispatch.fleet.drones import Commands, DroneType, Stop, StopKind
from dronedispatch.fleet.positions import LatLon, Point
from dronedispatch.testing.airspace import OpenSky

SKY = OpenSky()
QUIET = Noise(share=0.0, seed=1)
STATION = SKY.plane.to_latlon(Point(0.0, 0.0))


def parked(name: str) -> Craft:
    return Craft(id=name, type=DroneType.LIGHT, at=Point(0.0, 0.0), battery_pct=50.0)


def to_charge(name: str) -> Craft:
    orders = Commands(seq=1, stops=(Stop(kind=StopKind.CHARGE, pos=STATION, station="s"),))
    return msgspec.structs.replace(parked(name), orders=orders)


def fly_on(fleet: Fleet, tick: Tick) -> Fleet:
    return Fleet(crafts=tick.crafts, docks={**fleet.docks, **tick.docks}, capacity=fleet.capacity)


def run(fleet: Fleet, number: int, dt_s: float = 1.0) -> Tick:
    return fly_fleet(fleet, number=number, dt_s=dt_s, air=SKY, noise=QUIET, refresh_ticks=10)


def test_a_parked_drone_is_told_once_in_the_refresh_interval() -> None:
    fleet = Fleet(crafts={f"d{n}": parked(f"d{n}") for n in range(20)}, docks={}, capacity={})
    told = [drone for number in range(10) for drone in run(fleet, number).changed]
    assert sorted(told) == sorted(fleet.crafts)


def test_a_silent_drone_neither_moves_nor_tells() -> None:
    fleet = Fleet(crafts={"a": to_charge("a")}, docks={"s": Dock()}, capacity={"s": 1}, silent={"a"})
    ticks = [run(fleet, number) for number in range(10)]
    assert [tick.changed for tick in ticks] == [()] * 10
    assert ticks[-1].crafts == fleet.crafts


def test_a_station_charges_as_many_as_it_has_places_in_order_of_arrival() -> None:
    fleet = Fleet(crafts={n: to_charge(n) for n in "abc"}, docks={"s": Dock()}, capacity={"s": 2})
    arrived = run(fleet, 1)
    assert arrived.docks == {"s": Dock(queue=("a", "b", "c"))}
    charging = run(fly_on(fleet, arrived), 2, dt_s=100.0)
    assert [charging.crafts[n].battery_pct for n in "abc"] == [60.0, 60.0, 50.0]
    assert [charging.crafts[n].docked for n in "abc"] == ["s", "s", None]
    full = run(fly_on(fleet, charging), 3, dt_s=400.0)
    assert full.docks == {"s": Dock(queue=("c",))}


def test_a_drone_that_is_called_away_gives_its_place_to_the_next() -> None:
    fleet = Fleet(crafts={n: to_charge(n) for n in "ab"}, docks={"s": Dock()}, capacity={"s": 1})
    standing = fly_on(fleet, run(fleet, 1))
    called = {**standing.crafts, "a": msgspec.structs.replace(parked("a"), orders=Commands(seq=2))}
    after = run(Fleet(crafts=called, docks=standing.docks, capacity={"s": 1}), 2)
    assert after.docks == {"s": Dock(queue=("b",))}


def test_drones_of_another_process_keep_their_place_at_a_shared_station() -> None:
    dock = Dock(queue=("theirs", "ours", "gone"))
    settled = settle(dock, present=["ours", "new"], ours={"ours", "gone", "new"})
    assert settled == Dock(queue=("theirs", "ours", "new"))
    assert plugged_in(dock, 1) == ("theirs",)
    assert plugged_in(dock, 0) == ()


def test_a_late_tick_is_flown_in_full_and_the_next_one_is_due_on_the_old_grid() -> None:
    late = beat(due_s=100.0, began_s=100.3, previous_s=99.0, period_s=1.0)
    assert late.late_s == pytest.approx(0.3)
    assert late.elapsed_s == pytest.approx(1.3)
    assert (late.skipped, late.next_due_s) == (0, 101.0)


def test_whole_periods_that_were_missed_are_skipped_and_never_caught_up_in_a_burst() -> None:
    stalled = beat(due_s=100.0, began_s=103.5, previous_s=99.0, period_s=1.0)
    assert (stalled.skipped, stalled.next_due_s) == (3, 104.0)


def test_a_process_that_was_stopped_does_not_let_its_drones_jump() -> None:
    assert beat(due_s=1.0, began_s=600.0, previous_s=0.0, period_s=1.0).elapsed_s == ELAPSED_TICKS_MAX


@given(processes=st.integers(1, 6), slots=st.integers(1, 32), seed=st.integers(0, 1000))
def test_shares_settle_with_every_slot_held_by_one_process(processes: int, slots: int, seed: int) -> None:
    names = [f"sim-{n}" for n in range(processes)]
    held: dict[str, set[int]] = {name: set() for name in names}
    rng = Random(seed)
    for slot in range(slots):
        held[rng.choice(names)].add(slot)
    for _ in range(slots + 2):
        for name in names:
            share = share_of(name, names, held[name], slots)
            held[name] -= set(share.release)
            taken = set().union(*held.values())
            free = [slot for slot in share.claim if slot not in taken]
            held[name] |= set(free[: max(0, share.wanted - len(held[name]))])
    assert sorted(slot for slots_of in held.values() for slot in slots_of) == list(range(slots))
    assert max(map(len, held.values())) <= -(-slots // processes)


def test_the_fleet_is_placed_alike_for_a_seed_a_third_of_each_class() -> None:
    homes = (LatLon(lat=41.845, lon=12.4275), LatLon(lat=41.935, lon=12.5425))
    names = [drone_id(number) for number in range(18)]
    fleet = [place(name, seed=4, homes=homes) for name in names]
    assert fleet == [place(name, seed=4, homes=homes) for name in names]
    assert len(set(fleet)) == 18
    assert [sum(class_of(n) is kind for n in range(18)) for kind in DroneType] == [6, 6, 6]


def test_the_slot_of_a_drone_is_the_same_in_every_process() -> None:
    assert [slot_of(f"drone-{n:05d}", 16) for n in (1, 2, 3)] == [11, 1, 7]
