"""The key figures count every order once, whoever tells of it."""

from __future__ import annotations

import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta, Transition
from dronedispatch.fleet.documents import stamp
from dronedispatch.fleet.promises import PromiseRecord, record_of
from dronedispatch.gateway.core.figures import Ledger, created_s
from dronedispatch.testing.fleet import a_delivery

NOW_S = 1_800_000_000.0


def order(age_s: float) -> str:
    return str(ULID.from_timestamp(NOW_S - age_s))


def test_an_id_tells_when_it_was_made() -> None:
    assert created_s(order(12.0)) == pytest.approx(NOW_S - 12.0, abs=0.001)


def test_a_life_is_counted_at_each_of_its_stations() -> None:
    ledger, one = Ledger(), order(30.0)
    ledger.changed(one, DeliveryStatus.PENDING, stamp(NOW_S - 30))
    assert ledger.figures(NOW_S, {}, 1.0).pending == 1
    assigned, pending = DeliveryStatus.ASSIGNED, DeliveryStatus.PENDING
    moves = [(28, assigned), (27, assigned), (25, pending), (24, assigned), (20, DeliveryStatus.IN_PROGRESS)]
    for age_s, to in moves:
        ledger.changed(one, to, stamp(NOW_S - age_s))
    figures = ledger.figures(NOW_S, {}, 1.0)
    assert (figures.pending, figures.assigned, figures.in_progress) == (0, 0, 1)
    assert figures.to_assign_mean_s == pytest.approx(2.0, abs=0.01)
    ledger.changed(one, DeliveryStatus.DELIVERED, stamp(NOW_S))
    ledger.changed(one, DeliveryStatus.DELIVERED, stamp(NOW_S))
    figures = ledger.figures(NOW_S, {"idle": 3}, 60.0)
    assert (figures.in_progress, figures.delivered, figures.sample) == (0, 1, 1)
    assert figures.to_deliver_mean_s == pytest.approx(30.0, abs=0.01)
    assert (figures.drones, figures.speed) == ({"idle": 3}, 60.0)


def test_orders_a_minute_are_those_of_the_last_minute() -> None:
    ledger = Ledger()
    for age_s in (5.0, 59.0, 61.0, 500.0):
        ledger.changed(order(age_s), DeliveryStatus.PENDING, stamp(NOW_S))
    assert ledger.figures(NOW_S, {}, 1.0).orders_per_minute == 2
    assert ledger.figures(NOW_S + 30, {}, 1.0).orders_per_minute == 1


def test_a_scan_names_what_no_event_told_and_what_has_gone_silently() -> None:
    ledger, told, gone, news = Ledger(), order(1), order(2), order(3)
    ledger.changed(told, DeliveryStatus.PENDING, stamp(NOW_S))
    ledger.changed(gone, DeliveryStatus.IN_PROGRESS, stamp(NOW_S))
    found = {told: DeliveryStatus.PENDING, news: DeliveryStatus.ASSIGNED}
    assert ledger.corrected(found, NOW_S) == ([news], [gone])
    ledger.changed(gone, DeliveryStatus.DELIVERED, stamp(NOW_S))
    assert ledger.corrected(found, NOW_S) == ([], [])
    assert ledger.delivered == 1


def test_a_scan_that_began_before_the_end_does_not_bring_an_order_back() -> None:
    ledger, one = Ledger(), order(1)
    ledger.changed(one, DeliveryStatus.IN_PROGRESS, stamp(NOW_S))
    ledger.changed(one, DeliveryStatus.DELIVERED, stamp(NOW_S))
    ledger.corrected({one: DeliveryStatus.IN_PROGRESS}, NOW_S)
    assert ledger.open == {}
    assert ledger.delivered == 1


def test_a_count_of_the_store_replaces_what_was_remembered() -> None:
    ledger = Ledger()
    ledger.counted(70, [delivered(promise_s=NOW_S, came_s=NOW_S)])
    figures = ledger.figures(NOW_S, {}, 1.0)
    assert (figures.delivered, figures.sample) == (70, 1)
    assert figures.to_deliver_mean_s == pytest.approx(100.0)


def test_confidence_is_the_share_of_promises_kept_and_never_certain() -> None:
    kept, broken = delivered(NOW_S + 1, NOW_S), delivered(NOW_S - 1, NOW_S)
    assert record_of([]) == PromiseRecord(0, 0)
    assert PromiseRecord(0, 0).confidence == 0.5
    assert record_of([kept, kept, broken]) == PromiseRecord(2, 3)
    assert PromiseRecord(98, 98).confidence == 0.99


def delivered(promise_s: float, came_s: float) -> Delivery:
    eta = Eta(at=stamp(promise_s), confidence=0.5, basis="test")
    made, taken, came = (stamp(at_s) for at_s in (NOW_S - 100, NOW_S - 99, came_s))
    return a_delivery(id=order(100), created_at=made, assigned_at=taken, delivered_at=came, eta=eta)


@pytest.mark.parametrize("spoilt", ["id", "created_at", "at"])
def test_an_order_with_a_time_that_cannot_be_read_is_counted_and_is_in_no_mean(spoilt: str) -> None:
    ledger, bad = Ledger(), "not a ULID" if spoilt == "id" else order(30.0)
    at = "yesterday" if spoilt == "at" else stamp(NOW_S)
    ledger.changed(bad, DeliveryStatus.PENDING, at)
    ledger.changed(bad, DeliveryStatus.ASSIGNED, at)
    assert ledger.corrected({bad: DeliveryStatus.ASSIGNED}, NOW_S) == ([], [])
    assert ledger.figures(NOW_S, {}, 1.0).assigned == 1
    ledger.changed(bad, DeliveryStatus.DELIVERED, at)
    created_at = "yesterday" if spoilt == "created_at" else stamp(NOW_S - 30)
    history = (Transition(at=at, from_=None, to=DeliveryStatus.ASSIGNED, cause="test"),)
    ledger.counted(7, [a_delivery(id=bad, created_at=created_at, delivered_at=at, history=history)])
    figures = ledger.figures(NOW_S, {}, 1.0)
    assert (figures.assigned, figures.delivered) == (0, 7)
