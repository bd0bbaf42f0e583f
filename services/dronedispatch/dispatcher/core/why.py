"""Why an order is where it is: what the round would do with it, and for every drone the constraint that fails, in figures.

It asks the code that decides (`plan_round`, `why_not_counted`, `weigh`): an explanation of its own could be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dronedispatch.dispatcher.core.fleet_arrays import Stance
from dronedispatch.dispatcher.core.fleet_cache import ReadyDrones, cache_of
from dronedispatch.dispatcher.core.lookahead import Weighed, weigh
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.readiness import why_not_counted, why_not_ready
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.tuning import Policy
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG, DroneStatus, DroneType

NO_WAY_PCT = -100_000.0  # no battery is short by so much: the length of no way is counted in


class DroneReason(msgspec.Struct, frozen=True, kw_only=True):
    """What one drone has to do with the order.

    `fits`: it could fly it, now or after what it does. Margins below 0 are what is missing: of payload, and of battery
    above the reserve for the way to the pick-up, with the parcel and on to a charge point. `pickup_in_s`: real seconds.
    Null: the drone does not come so far as to be measured.
    """

    drone_id: str
    type: DroneType
    status: DroneStatus
    fits: bool
    reason: str
    payload_margin_kg: float | None = None
    energy_margin_pct: float | None = None
    pickup_in_s: float | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of GET /why/{delivery_id}; `drones`: those that fit first, by the time of their pick-up.

    `doubt`: why an order that has a drone fails unless that changes; None: it goes its way.
    """

    delivery_id: str
    status: DeliveryStatus
    summary: str
    drones: tuple[DroneReason, ...] = ()
    doubt: str | None = None


def explain(world: World, now_s: float, delivery_id: str, plan: Plan | None = None) -> Why | None:
    """None: no open delivery has that id. `now_s`: wall seconds. `plan`: of this world and time, if it is made already."""
    deliveries = {d.id: d for d in sorted(world.deliveries, key=lambda d: (d.created_s, d.id))}
    delivery = deliveries.get(delivery_id)
    if delivery is None:
        return None
    if delivery.status is not DeliveryStatus.PENDING:
        doubt = (plan or plan_round(world, now_s)).unflyable.get(delivery_id)
        return Why(
            delivery_id=delivery_id,
            status=delivery.status,
            summary=f"is {delivery.status} with {delivery.drone_id}",
            doubt=doubt,
        )
    chosen, summary = _verdict(plan or plan_round(world, now_s), delivery_id)
    cached = cache_of(world)
    drones = cached.views
    stations = Stations(world, cached)
    weighed = weigh(world, now_s, ReadyDrones(cached, ()), deliveries, [delivery], stations, all_pairs=True)
    rows = {drone.id: row for row, drone in enumerate(weighed.fleet.drones)}
    reasons = [_reason(world, delivery, drone, weighed, rows, chosen) for drone in drones]
    reasons.sort(
        key=lambda one: (not one.fits, one.pickup_in_s is None, one.pickup_in_s or 0.0, one.drone_id)
    )
    return Why(delivery_id=delivery_id, status=delivery.status, summary=summary, drones=tuple(reasons))


def _verdict(plan: Plan, delivery_id: str) -> tuple[str | None, str]:
    """(the drone that the round has chosen, one sentence)."""
    for assign in plan.assigns:
        if assign.delivery_id == delivery_id:
            return assign.drone_id, f"{assign.drone_id} takes it in this round"
    for hold in plan.holds:
        if hold.delivery_id == delivery_id:
            return hold.drone_id, hold.reason
    return None, "an assignment of it is being finished or undone"


def _reason(
    world: World,
    delivery: DeliverySnapshot,
    drone: DroneSnapshot,
    weighed: Weighed,
    rows: Mapping[str, int],
    chosen: str | None,
) -> DroneReason:
    ahead = world.tuning.policy is Policy.LOOKAHEAD
    refusal = (why_not_counted if ahead else why_not_ready)(drone, world.tuning)
    row = rows.get(drone.id)
    if refusal is not None or row is None:
        reason = refusal or "its record and its order are being brought together"
        return DroneReason(drone_id=drone.id, type=drone.type, status=drone.status, fits=False, reason=reason)
    pairs = weighed.pairs
    pair = row * len(weighed.orders)  # all pairs, row by row; the order in question is the first column
    payload_kg = float(pairs.payload_margin_kg[pair])
    energy_pct = float(pairs.energy_margin_pct[pair])
    possible = bool(pairs.possible[pair])
    fits = payload_kg >= 0.0 and (possible if ahead else energy_pct >= 0.0)
    pickup_s = round(float(pairs.pickup_s[pair]), 1) if fits else None
    if payload_kg < 0.0:
        reason = f"parcel of {delivery.weight_kg:g} kg, limit {PAYLOAD_MAX_KG[drone.type]:g} kg"
    elif energy_pct < NO_WAY_PCT:
        reason = "has no way there: no-fly areas or the boundary are between them"
    elif energy_pct < 0.0:
        reason = f"battery is {-energy_pct:.1f} % short" + (", fits once it has charged" if fits else "")
    else:
        reason = _free(drone, Stance(int(weighed.fleet.stance[row])))
    if drone.id == chosen:
        reason = f"is chosen: {reason}"
    return DroneReason(
        drone_id=drone.id,
        type=drone.type,
        status=drone.status,
        fits=fits,
        reason=reason,
        payload_margin_kg=round(payload_kg, 3),
        energy_margin_pct=round(energy_pct, 2) if energy_pct >= NO_WAY_PCT else None,
        pickup_in_s=pickup_s,
    )


def _free(drone: DroneSnapshot, stance: Stance) -> str:
    if stance is Stance.LATER:
        return f"fits after its drop-off of {drone.delivery_id}"
    if stance is Stance.HELD:
        return f"fits, but flies to the pick-up of {drone.delivery_id}"
    return "fits, charging" if stance is Stance.PLUGGED else "fits now"
