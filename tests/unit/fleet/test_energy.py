"""One model of motion and energy for assignment, ETA and drone_sim."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.energy import FlightModel


def test_a_plan_counts_with_the_worst_that_noise_can_do() -> None:
    flight = FlightModel()
    assert flight.planned_pct(10_000) == pytest.approx(flight.drain_pct(10_000) * 1.15)


def test_a_full_load_costs_the_payload_share_more() -> None:
    flight = FlightModel(payload_share=0.2)
    assert flight.drain_pct(1_000, 3.0, 3.0) == pytest.approx(2.0 * 1.2)
    assert flight.drain_pct(1_000, 1.5, 3.0) == pytest.approx(2.0 * 1.1)


def test_sixty_kilometres_an_hour_fly_ten_in_ten_minutes() -> None:
    assert FlightModel().flight_s(10_000) == pytest.approx(600.0)


def test_speed_multiplies_motion_and_charging_and_leaves_consumption_alone() -> None:
    flight, fast = FlightModel(), FlightModel().sped_up(15.0)
    assert fast.flight_s(10_000) == pytest.approx(flight.flight_s(10_000) / 15.0)
    assert fast.charge_s(20.0, 80.0) == pytest.approx(flight.charge_s(20.0, 80.0) / 15.0)
    assert fast.drain_pct(10_000) == flight.drain_pct(10_000)


def test_a_battery_that_is_full_enough_charges_no_time() -> None:
    assert FlightModel().charge_s(90.0, 80.0) == 0.0


def test_the_range_ends_at_the_reserve() -> None:
    flight = FlightModel()
    assert flight.planned_pct(flight.range_m) == pytest.approx(100.0 - flight.reserve_pct)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cruise_mps": 0.0},
        {"drain_pct_per_km": -1.0},
        {"charge_pct_per_min": 0.0},
        {"uncertainty": 1.0},
        {"payload_share": -0.1},
        {"reserve_pct": 2.0},
        {"reserve_pct": 100.0},
    ],
)
def test_a_model_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        FlightModel(**wrong)
