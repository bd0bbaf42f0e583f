"""drone_sim's settings, read once from the environment (DRONE_SIM_...)."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronedispatch.fleet.energy import FlightModel
from dronedispatch.runtime.settings import AmqpSettings, ProcessSettings

DRONES_MAX = 99_999
STORE_TICKS_MAX = 20  # PARKED_SHARE times that stays below CONTINUE_TICKS


@dataclass(frozen=True, slots=True)
class Settings:
    """`drones`: the fleet's size over all processes, at least: a smaller number than are registered retires nobody (that is
    an operator's decommission); `seed` places them. `noise`: by how much consumption differs from its
    mean, as a share. `slots`: into how many parts the fleet is divided among processes (the same for all of them).
    `refresh_ticks`: a parked drone tells of itself every so often; `read_ticks`: every drone's orders are read once in so
    many ticks (the others when the dispatcher points at them); `store_ticks`: telemetry of a drone that merely moves is
    stored every so often, and told in every tick.
    """

    process: ProcessSettings = field(default_factory=ProcessSettings)
    amqp: AmqpSettings = field(default_factory=AmqpSettings)
    flight: FlightModel = field(default_factory=FlightModel)
    drones: int = 18
    seed: int = 1
    tick_ms: int = 1000
    speed: float = 1.0
    noise: float = 0.15
    slots: int = 16
    lease_ttl_ms: int = 6_000
    refresh_ticks: int = 10
    read_ticks: int = 10
    store_ticks: int = 5
    zones_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.drones <= DRONES_MAX:
            raise ValueError(f"drones must be in 0..{DRONES_MAX}")
        if not 10 <= self.tick_ms <= 60_000:
            raise ValueError("tick_ms must be in 10..60000")
        if not 0 < self.speed <= 1000:
            raise ValueError("speed must be above 0 and at most 1000")
        if not 0 <= self.noise <= self.flight.uncertainty:
            raise ValueError(
                f"noise must be in 0..{self.flight.uncertainty:g} (uncertainty): plans count on no more"
            )
        if not 1 <= self.slots <= 256:
            raise ValueError("slots must be in 1..256")
        if not 1_000 <= self.lease_ttl_ms <= 60_000:
            raise ValueError("lease_ttl_ms must be in 1000..60000")
        for name in ("refresh_ticks", "read_ticks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more")
        if not 1 <= self.store_ticks <= STORE_TICKS_MAX:
            raise ValueError(
                f"store_ticks must be in 1..{STORE_TICKS_MAX}: a successor's ticks begin after all that were told"
            )
        if not self.zones_s > 0:
            raise ValueError("zones_s must be above 0")

    @property
    def period_s(self) -> float:
        """Seconds from tick to tick."""
        return self.tick_ms / 1000
