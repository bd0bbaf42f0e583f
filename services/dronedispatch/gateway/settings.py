"""GATEWAY_*: what a gateway is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronedispatch.fleet.energy import FlightModel
from dronedispatch.runtime.settings import AmqpSettings, ProcessSettings

KEEP_DAYS_MIN = 2  # above what an Idempotency-Key is kept for (core/idempotency.py)


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds are real ones. `speed`: simulated seconds per second, for an ETA without the dispatcher's state.

    `flight`: as the dispatcher's: orders that no class could fly with it are refused.
    """

    process: ProcessSettings = field(default_factory=ProcessSettings)
    amqp: AmqpSettings = field(default_factory=AmqpSettings)
    flight: FlightModel = field(default_factory=FlightModel)
    speed: float = 1.0
    order_bytes_max: int = 16 * 1024
    zones_bytes_max: int = 1024 * 1024  # as much as the store takes for one value
    store_timeout_s: float = 10.0
    zones_poll_s: float = 1.0
    forecast_poll_s: float = 1.0
    picture_poll_s: float = 2.0  # how late the dashboard is at most when the broker is away
    sweep_s: float = 1800.0
    keep_days: float = 7.0  # finished deliveries leave the store after so many days, 2 or more; 0: never
    export_dir: str | None = None  # where they are written first, as NDJSON; none: nowhere
    events_kept: int = 5000
    watchers_max: int = 500  # open event streams; one more is told to try another gateway
    # Names that clients call this system by, with commas between; ".example.org": all below it; "*": any. Addresses,
    # localhost, names without a dot and the machine's own are always right: a stranger cannot make them resolve to us
    # (DNS rebinding).
    host_names: str = ""

    def __post_init__(self) -> None:
        for name in (
            "speed",
            "store_timeout_s",
            "zones_poll_s",
            "forecast_poll_s",
            "picture_poll_s",
            "sweep_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("order_bytes_max", "zones_bytes_max", "events_kept", "watchers_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more")
        if self.keep_days != 0 and not self.keep_days >= KEEP_DAYS_MIN:
            raise ValueError(
                f"keep_days must be 0 (finished deliveries stay for ever) or at least {KEEP_DAYS_MIN}: "
                "an Idempotency-Key that outlived its delivery would order it anew"
            )
        if max(self.order_bytes_max, self.zones_bytes_max) > self.process.body_bytes_max:
            raise ValueError("order_bytes_max and zones_bytes_max cannot be above body_bytes_max")
