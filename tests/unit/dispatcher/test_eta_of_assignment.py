"""An assigned order's ETA is its drone's; what the 201 promised is kept, and what confidence is measured on."""

from __future__ import annotations

from dronedispatch.dispatcher.core.etas import Etas
from dronedispatch.dispatcher.core.plan import Assign
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta, move_delivery
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.promises import PromiseRecord, record_of
from dronedispatch.kv.version import Version
from dronedispatch.testing.clock import START_WALL_S
from dronedispatch.testing.fleet import AT, a_delivery
from dronedispatch.testing.town import Town

PROMISE = Eta(at=stamp(START_WALL_S + 9_000.0), confidence=0.5, basis="the 201")
FIRST = Version(1, 1)


def assign(delivery: Delivery, dropoff_s: float) -> Assign:
    return Assign("drone-00001", FIRST, delivery.id, FIRST, START_WALL_S, START_WALL_S + dropoff_s, 0.0)


def flown(etas: Etas, *, planned_s: float, took_s: float) -> Delivery:
    """An order that was assigned at once and arrived; `etas` has seen it."""
    one = a_delivery(eta=PROMISE)
    eta = etas.of(assign(one, planned_s), START_WALL_S)
    one = move_delivery(
        one, DeliveryStatus.ASSIGNED, at=AT, cause="assigned", drone_id="drone-00001", eta=eta
    )
    one = move_delivery(one, DeliveryStatus.IN_PROGRESS, at=AT, cause="picked up")
    one = move_delivery(one, DeliveryStatus.DELIVERED, at=stamp(START_WALL_S + took_s), cause="delivered")
    etas.look(one)
    return one


async def test_an_assigned_order_tells_when_its_drone_will_be_there_and_it_is(town: Town) -> None:
    order = await town.order(a_delivery(eta=PROMISE))
    await town.ticks(2)
    under_way = await town.delivery(order.id)
    await town.ticks(60)
    arrived = await town.delivery(order.id)
    assert under_way.drone_id is not None and under_way.eta is not None
    assert under_way.promised == PROMISE
    assert under_way.drone_id in under_way.eta.basis
    late_s = unstamp(arrived.delivered_at or "") - unstamp(under_way.eta.at)
    assert -10.0 < late_s <= 0.0


def test_an_assignment_that_is_undone_brings_the_promise_back() -> None:
    one = a_delivery(eta=PROMISE)
    eta = Etas().of(assign(one, 60.0), START_WALL_S)
    held = move_delivery(one, DeliveryStatus.ASSIGNED, at=AT, cause="assigned", drone_id="d", eta=eta)
    undone = move_delivery(held, DeliveryStatus.PENDING, at=AT, cause="a better drone")
    assert (held.eta, held.promised) == (eta, PROMISE)
    assert (undone.eta, undone.promised) == (PROMISE, None)


def test_the_confidence_of_an_assignment_is_how_the_last_ones_were_kept() -> None:
    etas = Etas()
    for took_s in (50.0, 55.0, 500.0):
        flown(etas, planned_s=60.0, took_s=took_s)
    assert etas.of(assign(a_delivery(), 60.0), START_WALL_S).confidence == PromiseRecord(2, 3).confidence


def test_the_confidence_of_the_201_is_measured_on_what_the_201_said() -> None:
    late_for_its_assignment = flown(Etas(), planned_s=60.0, took_s=500.0)
    assert record_of([late_for_its_assignment]) == PromiseRecord(1, 1)
