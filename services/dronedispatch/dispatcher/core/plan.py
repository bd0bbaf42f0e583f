"""What a round has decided: typed intents, each with the versions that it was decided on.

The shell writes them in the order of `Plan`'s fields, each field as one batch a step; every write is a CAS on the
version in the intent, a lost CAS drops that intent alone, and the next round sees why. No intent depends on another
one of the same plan having been written, except where its docstring says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version


@dataclass(frozen=True, slots=True)
class Advance:
    """Write the delivery: IN_PROGRESS (picked up), DELIVERED. The drone that did it is `drone_id`."""

    delivery_id: str
    version: Version
    to: DeliveryStatus
    drone_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Write the delivery: FAILED, with the last known position of the parcel."""

    delivery_id: str
    version: Version
    drone_id: str | None
    last_at: Point | None
    cause: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Write the delivery: assigned -> pending (a silent drone, a swap, a decommissioned drone).

    The drone is freed by a `Free` of the same plan when it should be; if only one of both is written, reconcile heals.
    """

    delivery_id: str
    version: Version
    drone_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Write the delivery: pending -> assigned to a drone that holds the intent already (an assignment cut short)."""

    delivery_id: str
    version: Version
    drone_id: str
    orders_seq: int
    cause: str


@dataclass(frozen=True, slots=True)
class Free:
    """Write the drone: -> IDLE with orders to hold (a drone in the air stays where it is until told otherwise).

    `after_delivery`: the delivery whose write of this same plan (Advance, Undo or Fail) must have succeeded first;
    None: free it in any case.
    """

    drone_id: str
    version: Version
    cause: str
    after_delivery: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Write the drone: -> CHARGING, orders: one CHARGE stop at `charge_point` until `until_pct`.

    From CHARGING (another station, another `until_pct`) only the orders change. `after_delivery`: as that of a Free.
    """

    drone_id: str
    version: Version
    charge_point: str
    until_pct: float
    cause: str
    after_delivery: str | None = None


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Write the drone: to IDLE (activate, unretire), RETIRING (orders: the CHARGE stop `charge_point`) or INACTIVE.

    From RETIRING to RETIRING (another station) only the orders change.
    """

    drone_id: str
    version: Version
    to: DroneStatus
    cause: str
    charge_point: str | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Write the drone: -> BUSY with the delivery's id and version, orders [pick-up, drop-off]; then the delivery:
    pending -> assigned. If the second write certainly failed, take the first back.

    `pickup_s`, `dropoff_s`: planned wall times, for the ETA.
    """

    drone_id: str
    drone_version: Version
    delivery_id: str
    delivery_version: Version
    pickup_s: float
    dropoff_s: float
    cost_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing to write: why a pending order waits, and for which drone (None: for none)."""

    delivery_id: str
    drone_id: str | None
    dropoff_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`again`: another round at once may do more with what this one frees. `unflyable`: open delivery -> why no drone can
    ever fly it as things are; it fails when that has lasted for `give_up_after_s`.
    """

    advances: tuple[Advance, ...] = ()
    fails: tuple[Fail, ...] = ()
    undos: tuple[Undo, ...] = ()
    finishes: tuple[Finish, ...] = ()
    frees: tuple[Free, ...] = ()
    charges: tuple[Charge, ...] = ()
    statuses: tuple[SetStatus, ...] = ()
    assigns: tuple[Assign, ...] = ()
    holds: tuple[Hold, ...] = ()
    unflyable: Mapping[str, str] = field(default_factory=dict)
    again: bool = False

    @property
    def writes(self) -> int:
        """How many intents want a write."""
        return sum(
            map(
                len,
                (
                    self.advances,
                    self.fails,
                    self.undos,
                    self.finishes,
                    self.frees,
                    self.charges,
                    self.statuses,
                    self.assigns,
                ),
            )
        )

    def __str__(self) -> str:
        """The round's sentence: "assigned 3, charging 1, waiting 2"."""
        parts = {
            "advanced": len(self.advances),
            "failed": len(self.fails),
            "undone": len(self.undos),
            "finished": len(self.finishes),
            "freed": len(self.frees),
            "charging": len(self.charges),
            "moved": len(self.statuses),
            "assigned": len(self.assigns),
            "waiting": len(self.holds),
        }
        said = ", ".join(f"{word} {count}" for word, count in parts.items() if count)
        return said or "nothing to do"
