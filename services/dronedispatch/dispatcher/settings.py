"""The dispatcher's settings, read once from the environment (DISPATCHER_...)."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.runtime.settings import AmqpSettings, ProcessSettings

LEADER_KEY = "dronedispatch/dispatcher/leader"


@dataclass(frozen=True, slots=True)
class Settings:
    """`round_s`: the periodic round. `gather_s`: the pause after a round, until many orders
    wait. `scan_s`,
    `fleet_scan_s`: how often open deliveries, and drones with their telemetry, are read as a whole (the fleet as often as
    the deliveries while no drone_updates come). `speed`: simulated seconds a second. `locks`: take locks on pairs.
    """

    process: ProcessSettings = field(default_factory=ProcessSettings)
    amqp: AmqpSettings = field(default_factory=AmqpSettings)
    tuning: Tuning = field(default_factory=Tuning)
    flight: FlightModel = field(default_factory=FlightModel)
    round_s: float = 1.0
    gather_s: float = 0.2
    scan_s: float = 2.0
    fleet_scan_s: float = 20.0
    speed: float = 1.0
    locks: bool = True
    lock_ttl_ms: int = 3_000
    leader_key: str = LEADER_KEY

    def __post_init__(self) -> None:
        for name in ("round_s", "scan_s", "fleet_scan_s", "speed"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        if not 0 <= self.gather_s < self.round_s:
            raise ValueError("gather_s must be 0 or more and below round_s")
        if self.fleet_scan_s < self.scan_s:
            raise ValueError("fleet_scan_s must not be below scan_s")
        if not 100 <= self.lock_ttl_ms <= 60_000:
            raise ValueError("lock_ttl_ms must be in 100..60000")
