"""Who says what at the broker: the names on the wire, and for each service what it publishes, works off and subscribes to.

From this one table come what a process declares and what the broker lets its user do. Standard library only: the scripts
that set a broker up read it too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

DELIVERY_REQUESTS = "delivery_requests"
DRONE_UPDATES = "drone_updates"
DELIVERY_STATUS = "delivery_status"
DRONE_ORDERS = "drone_orders"
DELIVERY_CHANGES = (
    "delivery_changes"  # in batches; delivery_status tells the same one by one, while somebody listens there
)
DEAD_LETTERS = "dead_letters"
WORK_QUEUES = (DELIVERY_REQUESTS, DRONE_UPDATES)  # each fed by the exchange of its name


class Traffic(NamedTuple):
    """Of one service. `publishes`: exchanges, each of one service alone. `works_off`: work queues. `subscribes`: exchanges
    that it hears through queues of its own, named `<exchange>.<instance>`.
    """

    publishes: tuple[str, ...] = ()
    works_off: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()

    @property
    def work_queues(self) -> tuple[str, ...]:
        """Those that it declares: it fills or empties them."""
        return tuple(name for name in WORK_QUEUES if name in (*self.publishes, *self.works_off))

    @property
    def fanouts(self) -> tuple[str, ...]:
        """The exchanges that it publishes to or hears."""
        return tuple(dict.fromkeys((*self.publishes, *self.works_off, *self.subscribes)))


TRAFFIC: Mapping[str, Traffic] = {
    "gateway": Traffic(
        publishes=(DELIVERY_REQUESTS,), subscribes=(DELIVERY_CHANGES, DELIVERY_STATUS, DRONE_UPDATES)
    ),
    "dispatcher": Traffic(
        publishes=(DELIVERY_CHANGES, DELIVERY_STATUS, DRONE_ORDERS),
        works_off=(DELIVERY_REQUESTS, DRONE_UPDATES),
    ),
    "drone-sim": Traffic(publishes=(DRONE_UPDATES,), subscribes=(DRONE_ORDERS,)),
}


class Permission(NamedTuple):
    """RabbitMQ's three patterns; a name that none of them matches is refused."""

    configure: str
    write: str
    read: str


def permission(service: str) -> Permission:
    """What the broker lets the user of `service` do.

    Write: what it publishes, its dead letters, and its own queues (to bind one takes a write on it). Nobody may write to the
    default exchange, which leads into every queue.
    """
    own = TRAFFIC[service]
    queues = [rf"({_any(own.subscribes)})\..+"] if own.subscribes else []
    used = rf"{_any((*own.fanouts, DEAD_LETTERS))}"
    written = rf"{_any((*own.publishes, DEAD_LETTERS))}"
    return Permission(_whole(used, *queues), _whole(written, *queues), _whole(used, *queues))


def _any(names: tuple[str, ...]) -> str:
    return "|".join(re.escape(name) for name in names)


def _whole(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"
