"""Under load the heavier drone is kept for what only it can carry, by how much scarcer it is."""

from __future__ import annotations

from dronedispatch.dispatcher.core.world import DeliverySnapshot
from dronedispatch.fleet.drones import DroneType
from dronedispatch.testing.views import drone_at, km, order, plan

HEAVY_KG = 9.0


def flown_by_the_heavy_one(*orders: DeliverySnapshot) -> str:
    """A heavy drone at the middle and a light one in the north-east; which order the heavy one takes."""
    drones = (drone_at("heavy", km(0, 0)), drone_at("light", km(5, 5), type=DroneType.LIGHT))
    taken = {assign.drone_id: assign.delivery_id for assign in plan(*drones, *orders).assigns}
    assert set(taken) == {"heavy", "light"}
    return taken["heavy"]


def near_both() -> list[DeliverySnapshot]:
    """A light parcel beside each of the two drones."""
    return [order("a-near", km(0.2, 0), km(3, 0)), order("b-far", km(5.2, 5), km(5, 3))]


def heavy_parcels(count: int) -> list[DeliverySnapshot]:
    return [order(f"heavy-{n}", km(2, 1 + n), km(4, n), weight_kg=HEAVY_KG) for n in range(count)]


def test_while_heavy_parcels_wait_for_the_only_drone_that_carries_them_it_passes_a_light_one_by() -> None:
    assert flown_by_the_heavy_one(*near_both(), *heavy_parcels(4)) == "heavy-0"


def test_the_heavy_drone_takes_the_light_parcel_next_to_it_while_light_ones_are_the_many() -> None:
    more = [order(f"light-{n}", km(5, 4 - n), km(4, n)) for n in range(4)]
    assert flown_by_the_heavy_one(*near_both(), *more, *heavy_parcels(1)) == "a-near"


def test_with_as_many_of_both_the_nearer_one_is_taken() -> None:
    assert flown_by_the_heavy_one(*near_both(), *heavy_parcels(2)) == "a-near"
