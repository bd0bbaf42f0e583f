"""One order through the public door of a live system, and its end."""

from __future__ import annotations

from support import order_checks
from support.live_system import LiveSystem, eventually


def placed(system: LiveSystem, seed: int) -> str:
    """The id of a new order."""
    (delivery_id,) = system.place(1, seed=seed)
    return delivery_id


def becomes_delivered(system: LiveSystem, delivery_id: str) -> None:
    """And no drone carries two."""
    path = f"/deliveries/{delivery_id}"
    eventually(lambda: system.get(path)["status"] == "delivered", "it is delivered", 60)
    assert order_checks.shared_drones(system.stored("delivery:").values()) == []


def nobody_is_idly_busy(system: LiveSystem) -> None:
    """A drone that is busy has a delivery."""
    drones = system.stored
    eventually(lambda: not order_checks.idle_hands(drones("drone:").values()), "busy means a delivery", 20)
