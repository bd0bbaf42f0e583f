"""How promises have been kept: the confidence that an ETA states is measured, not assumed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dronedispatch.fleet.deliveries import Delivery, Eta
from dronedispatch.fleet.documents import unstamp


@dataclass(frozen=True, slots=True)
class PromiseRecord:
    """`kept` of `promised`."""

    kept: int = 0
    promised: int = 0

    @property
    def confidence(self) -> float:
        """By Laplace's rule of succession, so that few deliveries do not claim certainty."""
        return round((self.kept + 1) / (self.promised + 2), 2)


def record_of(deliveries: Iterable[Delivery]) -> PromiseRecord:
    """How the promises of the 201 were kept; deliveries without one, or not delivered, do not count."""
    found = [kept for one in deliveries if (kept := kept_by(one, one.promised or one.eta)) is not None]
    return PromiseRecord(kept=sum(found), promised=len(found))


def kept_by(delivery: Delivery, eta: Eta | None) -> bool | None:
    """Whether it came by the ETA; None: that cannot be said."""
    if eta is None or delivery.delivered_at is None:
        return None
    try:
        return unstamp(delivery.delivered_at) <= unstamp(eta.at)
    except ValueError:  # a time that nobody can read
        return None
