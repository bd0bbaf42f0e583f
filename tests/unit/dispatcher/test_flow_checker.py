"""The independent checker convicts what it is there for: each planted wrong is found, and a right flow passes."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, move_delivery
from dronedispatch.fleet.drones import Commands, Drone, DroneStatus, Stop, StopKind
from dronedispatch.testing.fleet import AT, a_delivery, a_drone, telemetry_for
from dronedispatch.testing.flow_checker import FlowChecker, FlowVerdict


def assigned(delivery: Delivery, drone_id: str = "drone-00001") -> Delivery:
    to = DeliveryStatus.ASSIGNED
    return move_delivery(delivery, to, at=AT, cause="assigned", drone_id=drone_id, orders_seq=1)


def delivered(delivery: Delivery) -> Delivery:
    fetched = move_delivery(assigned(delivery), DeliveryStatus.IN_PROGRESS, at=AT, cause="picked up")
    return move_delivery(fetched, DeliveryStatus.DELIVERED, at=AT, cause="dropped off")


def with_orders(delivery: Delivery, name: str = "drone-00001", seq: int = 1) -> Drone:
    stops = tuple(Stop(kind=kind, delivery_id=delivery.id) for kind in (StopKind.PICKUP, StopKind.DROPOFF))
    return a_drone(name, orders=Commands(seq=seq, stops=stops))


def judge(checker: FlowChecker, *deliveries: Delivery, drones: tuple[Drone, ...] = ()) -> FlowVerdict:
    return checker.verdict({d.id: d for d in deliveries}, {drone.id: drone for drone in drones})


def test_a_flow_as_it_should_be_passes() -> None:
    checker, order = FlowChecker(), a_delivery()
    checker.accept(order.id)
    checker.see_drone(with_orders(order))
    checker.see_telemetry(telemetry_for(orders_seq=1, stops_done=2))
    verdict = judge(checker, delivered(order), drones=(a_drone(),))
    assert verdict.violations == {}
    assert (verdict.delivered, verdict.observed) == (1, 1)


def test_an_accepted_order_that_is_not_in_the_store_is_lost() -> None:
    checker = FlowChecker(accepted={"gone"})
    assert judge(checker).violations == {"lost": ("gone",)}


def test_an_order_that_is_open_in_the_end_is_stuck() -> None:
    order = a_delivery()
    assert judge(FlowChecker(accepted={order.id}), order).violations == {"stuck": (order.id,)}


@pytest.mark.parametrize(
    "fetched",
    [[("drone-00001", 1), ("drone-00002", 1)], [("drone-00001", 1), ("drone-00001", 2)]],
    ids=["by two drones", "by one drone by two orders"],
)
def test_a_parcel_that_was_fetched_twice_is_flown_twice(fetched: list[tuple[str, int]]) -> None:
    checker, order = FlowChecker(), a_delivery()
    for name, seq in fetched:
        checker.see_drone(with_orders(order, name, seq))
        checker.see_telemetry(telemetry_for(name, orders_seq=seq, stops_done=1))
    assert list(judge(checker, delivered(order)).violations) == ["flown_twice"]


def test_a_drone_that_turned_back_before_the_pick_up_has_not_flown_the_parcel() -> None:
    checker, order = FlowChecker(), a_delivery()
    checker.see_drone(with_orders(order, "drone-00001"))
    checker.see_telemetry(telemetry_for("drone-00001", orders_seq=1, stops_done=0))
    checker.see_drone(with_orders(order, "drone-00002"))
    checker.see_telemetry(telemetry_for("drone-00002", orders_seq=1, stops_done=2))
    assert judge(checker, delivered(order)).violations == {}


def test_a_drone_that_is_busy_with_an_ended_delivery_is_found() -> None:
    order = delivered(a_delivery())
    busy = a_drone(status=DroneStatus.BUSY, delivery_id=order.id)
    assert list(judge(FlowChecker(), order, drones=(busy,)).violations) == ["busy_without_delivery"]


def test_a_drone_on_two_deliveries_is_found() -> None:
    checker, one, two = FlowChecker(), assigned(a_delivery()), assigned(a_delivery())
    assert checker.suspects([one, two]) == {"drone-00001": (one.id, two.id)}
    checker.confirm([one, two])
    assert list(judge(checker).violations) == ["on_two_deliveries"]


def test_what_was_read_while_it_changed_is_no_drone_on_two_deliveries() -> None:
    order = a_delivery()
    first, then = assigned(order), assigned(a_delivery())
    scanned = {one.id: one for one in (first, then)}  # before its delivery, and after its drone was free
    checker = FlowChecker()
    checker.confirm_twice([first, then], [delivered(order), then])
    assert checker.verdict(scanned, {}, settled=False, snapshot=False).violations == {}
    checker.confirm_twice([first, then], [first, then])
    assert list(judge(checker).violations) == ["on_two_deliveries"]


def test_a_battery_below_zero_is_found() -> None:
    checker = FlowChecker()
    checker.see_telemetry(telemetry_for(battery_pct=-0.1))
    assert judge(checker).violations == {"battery_below_zero": ("drone-00001",)}


def test_a_history_that_goes_on_after_its_end_is_found() -> None:
    order = delivered(a_delivery())
    again = delivered(a_delivery(id=order.id, history=order.history))
    assert list(judge(FlowChecker(accepted={order.id}), again).violations) == ["bad_history"]
