"""Flight: speed, what a way costs the battery, how fast it charges, and what must be left.

One model for assignment, ETA and drone_sim. Battery is in per cent of a full one. A *planned* consumption is the
nominal one times 1 + `uncertainty`: drone_sim's noise is bounded by the same number, so that a plan which ends above
the reserve never strands a drone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STRANDED_PCT = 2.0  # below this a drone counts as stranded


@dataclass(frozen=True, slots=True)
class FlightModel:
    """Motion and energy of every drone.

    `cruise_mps`: metres a second. `drain_pct_per_km`: with no load; a full load of the drone's class adds
    `payload_share` of it. `charge_pct_per_min`: at a charger. `uncertainty`: the share by which consumption may exceed
    the nominal one. `reserve_pct`: what a plan leaves at the end of the way to the charge point.
    """

    cruise_mps: float = 60.0 / 3.6
    drain_pct_per_km: float = 2.0
    payload_share: float = 0.1
    charge_pct_per_min: float = 5.0
    uncertainty: float = 0.15
    reserve_pct: float = 5.0

    def __post_init__(self) -> None:
        for name in ("cruise_mps", "drain_pct_per_km", "charge_pct_per_min"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        if not 0 <= self.uncertainty < 1:
            raise ValueError("uncertainty must be in 0..1")
        if self.payload_share < 0:
            raise ValueError("payload_share must be 0 or more")
        if not STRANDED_PCT < self.reserve_pct < 100:
            raise ValueError(f"reserve_pct must be above {STRANDED_PCT} and below 100")

    def sped_up(self, factor: float) -> FlightModel:
        """The same fleet with motion and charging `factor` times as fast in real time (`--speed`)."""
        return replace(
            self,
            cruise_mps=self.cruise_mps * factor,
            charge_pct_per_min=self.charge_pct_per_min * factor,
        )

    def flight_s(self, distance_m: float) -> float:
        return distance_m / self.cruise_mps

    def load_factor(self, payload_kg: float, payload_max_kg: float) -> float:
        """Consumption with this load over consumption with none."""
        return 1.0 + self.payload_share * payload_kg / payload_max_kg

    def drain_pct(self, distance_m: float, payload_kg: float = 0.0, payload_max_kg: float = 1.0) -> float:
        """Nominal consumption."""
        return distance_m / 1000.0 * self.drain_pct_per_km * self.load_factor(payload_kg, payload_max_kg)

    def planned_pct(self, distance_m: float, payload_kg: float = 0.0, payload_max_kg: float = 1.0) -> float:
        """The most that the way may cost."""
        return self.drain_pct(distance_m, payload_kg, payload_max_kg) * (1.0 + self.uncertainty)

    def charge_s(self, from_pct: float, to_pct: float) -> float:
        return max(0.0, to_pct - from_pct) / self.charge_pct_per_min * 60.0

    @property
    def range_m(self) -> float:
        """How far a full battery goes for certain, without load, down to the reserve."""
        return (100.0 - self.reserve_pct) / (self.drain_pct_per_km * (1.0 + self.uncertainty)) * 1000.0
