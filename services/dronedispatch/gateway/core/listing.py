"""The parameters of the lists, and the plan of scans that answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import DELIVERY_PREFIX, delivery_key, unstamp
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.gateway.core.fields import (
    DRONE_ID_PATTERN,
    ULID_PATTERN,
    ULID_PREFIX_PATTERN,
    DroneId,
    Moment,
    moment,
)
from dronedispatch.gateway.core.parameters import parameters

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
EXPORT_LIMIT_MAX = 1_000_000_000
DRONES_LIMIT_DEFAULT = 1000
DRONES_LIMIT_MAX = 10_000
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MARGIN_S = 0.01  # an id and its record round the same moment to milliseconds each in its own way

T = TypeVar("T")

_CURSOR = {"expects": "a cursor: pass the `next` of the page before"}


class DeliveryParameters(msgspec.Struct, frozen=True, kw_only=True):
    """GET /deliveries."""

    status: Annotated[DeliveryStatus, Meta(description="Only these")] | UnsetType = UNSET
    drone: Annotated[DroneId, Meta(description="Only of this drone")] | UnsetType = UNSET
    id_prefix: (
        Annotated[
            str,
            Meta(
                pattern=ULID_PREFIX_PATTERN,
                description="Only whose id begins so",
                extra={"expects": "the beginning of an id, in capital letters"},
            ),
        ]
        | UnsetType
    ) = UNSET
    created_from: Moment | UnsetType = UNSET
    created_to: Moment | UnsetType = UNSET
    limit: (
        Annotated[
            int, Meta(ge=1, le=LIMIT_MAX, description=f"Length of a page; {LIMIT_DEFAULT} if not given")
        ]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            str,
            Meta(pattern=ULID_PATTERN, description="Cursor: the `next` of the page before", extra=_CURSOR),
        ]
        | UnsetType
    ) = UNSET


class ExportParameters(DeliveryParameters, frozen=True, kw_only=True):
    """GET /deliveries as CSV or JSON lines, which are streamed: any number of rows."""

    limit: Annotated[int, Meta(ge=1, le=EXPORT_LIMIT_MAX)] | UnsetType = UNSET


class DroneParameters(msgspec.Struct, frozen=True, kw_only=True):
    """GET /drones."""

    status: Annotated[DroneStatus, Meta(description="Only these")] | UnsetType = UNSET
    type: Annotated[DroneType, Meta(description="Only these")] | UnsetType = UNSET
    limit: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=DRONES_LIMIT_MAX,
                description=f"Length of a page; {DRONES_LIMIT_DEFAULT:,} if not given",
            ),
        ]
        | UnsetType
    ) = UNSET
    after: (
        Annotated[
            str,
            Meta(
                pattern=DRONE_ID_PATTERN, description="Cursor: the `next` of the page before", extra=_CURSOR
            ),
        ]
        | UnsetType
    ) = UNSET


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """GET /deliveries: newest first. `limit` None: all of them (an export)."""

    status: DeliveryStatus | None
    drone: str | None
    after: str | None
    limit: int | None
    id_prefix: str = ""
    created_from: str | None = None  # our stamps: they compare as they follow each other
    created_to: str | None = None

    @property
    def prefix(self) -> str:
        """Of the keys that are looked at."""
        return DELIVERY_PREFIX + self.id_prefix

    @property
    def tag(self) -> str | None:
        """The one tag to scan by: a drone's deliveries are fewer than a status's."""
        if self.drone is not None:
            return f"drone={self.drone}"
        return None if self.status is None else f"status={self.status}"

    @property
    def after_key(self) -> str | None:
        """Where the scan begins, newest first: an id begins with its time, so nothing younger than `created_to` is read."""
        bounds = [] if self.after is None else [self.after]
        if self.created_to is not None:
            bounds.append(_first_id(unstamp(self.created_to) + MARGIN_S))
        return delivery_key(min(bounds)) if bounds else None

    def goes_on(self, next_after: str | None) -> str | None:
        """The scan's own cursor, or None when all that follows is older than `created_from`."""
        if next_after is None or self.created_from is None:
            return next_after
        oldest = delivery_key(_first_id(unstamp(self.created_from) - MARGIN_S))
        return next_after if next_after > oldest else None

    def wants(self, delivery: Delivery) -> bool:
        """What the tag alone cannot say (a tag is read from an index, so that the record decides)."""
        if self.status is not None and delivery.status is not self.status:
            return False
        if self.created_from is not None and delivery.created_at < self.created_from:
            return False
        if self.created_to is not None and delivery.created_at > self.created_to:
            return False
        return self.drone is None or delivery.drone_id == self.drone


@dataclass(frozen=True, slots=True)
class DroneQuery:
    """GET /drones, by id."""

    status: DroneStatus | None
    type: DroneType | None
    after: str | None
    limit: int


def delivery_query(args: Mapping[str, Sequence[str]], *, export: bool) -> DeliveryQuery:
    """Raises BadParameter, which names every parameter that is wrong."""
    found = parameters(ExportParameters if export else DeliveryParameters, args)
    return DeliveryQuery(
        status=_given(found.status, None),
        drone=_given(found.drone, None),
        after=_given(found.after, None),
        limit=_given(found.limit, None if export else LIMIT_DEFAULT),
        id_prefix=_given(found.id_prefix, ""),
        created_from=None if found.created_from is UNSET else moment(found.created_from),
        created_to=None if found.created_to is UNSET else moment(found.created_to),
    )


def drone_query(args: Mapping[str, Sequence[str]]) -> DroneQuery:
    """Raises BadParameter, which names every parameter that is wrong."""
    found = parameters(DroneParameters, args)
    return DroneQuery(
        status=_given(found.status, None),
        type=_given(found.type, None),
        after=_given(found.after, None),
        limit=_given(found.limit, DRONES_LIMIT_DEFAULT),
    )


def _first_id(wall_s: float) -> str:
    """The smallest ULID of that time."""
    ms = min(max(int(wall_s * 1000), 0), 2**48 - 1)
    return "".join(CROCKFORD[(ms >> (5 * place)) & 31] for place in range(9, -1, -1)) + "0" * 16


def _given(value: T | UnsetType, default: T) -> T:
    return default if isinstance(value, UnsetType) else value
