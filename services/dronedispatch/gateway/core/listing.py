"""The parameters of the lists, and the plan of scans that answers them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import DELIVERY_PREFIX, delivery_key
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.gateway.core.body import BadField

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
DRONES_LIMIT_DEFAULT = 1000
DRONES_LIMIT_MAX = 10_000
ID_LENGTH_MAX = 64

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_DRONE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}")  # with "drone=" it is a tag of at most 64 bytes

E = TypeVar("E", DeliveryStatus, DroneStatus, DroneType)


class BadParameter(BadField):
    """A parameter of the query is refused (400)."""


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """GET /deliveries: newest first. `limit` None: all of them (an export)."""

    status: DeliveryStatus | None
    drone: str | None
    after: str | None
    limit: int | None

    @property
    def tag(self) -> str | None:
        """The one tag to scan by: a drone's deliveries are fewer than a status's."""
        if self.drone is not None:
            return f"drone={self.drone}"
        return None if self.status is None else f"status={self.status}"

    @property
    def after_key(self) -> str | None:
        return None if self.after is None else delivery_key(self.after)

    def wants(self, delivery: Delivery) -> bool:
        """What the tag alone cannot say (a tag is read from an index, so that the record decides)."""
        if self.status is not None and delivery.status is not self.status:
            return False
        return self.drone is None or delivery.drone_id == self.drone


@dataclass(frozen=True, slots=True)
class DroneQuery:
    """GET /drones, by id."""

    status: DroneStatus | None
    type: DroneType | None
    after: str | None
    limit: int


def is_delivery_id(text: str) -> bool:
    """Whether `text` is a ULID in its canonical form."""
    return _ULID.fullmatch(text) is not None


def is_drone_id(text: str) -> bool:
    """Whether `text` may name a drone: letters, digits, dot, dash, underscore; at most 56."""
    return _DRONE_ID.fullmatch(text) is not None


def delivery_query(args: Mapping[str, Sequence[str]], *, export: bool) -> DeliveryQuery:
    """Raises BadParameter, which names the parameter."""
    found = _once(args, ("status", "drone", "limit", "after"))
    drone, after = found.get("drone"), found.get("after")
    if drone is not None and not is_drone_id(drone):
        raise BadParameter("drone", "is no id of a drone")
    if after is not None and not is_delivery_id(after):
        raise BadParameter("after", "is no cursor: pass the `next` of the page before")
    default, greatest = (None, 1_000_000_000) if export else (LIMIT_DEFAULT, LIMIT_MAX)
    return DeliveryQuery(
        status=_choice(DeliveryStatus, "status", found.get("status")),
        drone=drone,
        after=after,
        limit=_limit(found.get("limit"), greatest) if "limit" in found else default,
    )


def drone_query(args: Mapping[str, Sequence[str]]) -> DroneQuery:
    """Raises BadParameter, which names the parameter."""
    found = _once(args, ("status", "type", "limit", "after"))
    after = found.get("after")
    if after is not None and not is_drone_id(after):
        raise BadParameter("after", "is no cursor: pass the `next` of the page before")
    return DroneQuery(
        status=_choice(DroneStatus, "status", found.get("status")),
        type=_choice(DroneType, "type", found.get("type")),
        after=after,
        limit=_limit(found["limit"], DRONES_LIMIT_MAX) if "limit" in found else DRONES_LIMIT_DEFAULT,
    )


def no_query(args: Mapping[str, Sequence[str]]) -> None:
    """Raises BadParameter for any parameter."""
    _once(args, ())


def id_of_key(key: str) -> str:
    """delivery:<ulid> -> <ulid>."""
    return key.removeprefix(DELIVERY_PREFIX)


def _once(args: Mapping[str, Sequence[str]], known: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, values in args.items():
        if name not in known:
            raise BadParameter(name[:80], f"unknown parameter; known: {', '.join(known) or 'none'}")
        if len(values) != 1:
            raise BadParameter(name, "is given more than once")
        found[name] = values[0]
    return found


def _choice(kind: type[E], field: str, text: str | None) -> E | None:
    if text is None:
        return None
    for member in kind:
        if member.value == text:
            return member
    raise BadParameter(field, f"is none of {', '.join(kind)}")


def _limit(text: str | None, greatest: int) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= greatest:
        raise BadParameter("limit", f"expected a whole number from 1 to {greatest}")
    return int(text)
