"""The calls of the API, one entry each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.gateway.core.fields import DeliveryId, DroneId
from dronedispatch.gateway.core.headers import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, LAST_EVENT_ID, Header
from dronedispatch.gateway.core.history import FiguresParameters
from dronedispatch.gateway.core.listing import DeliveryParameters, DroneParameters
from dronedispatch.gateway.core.order import DeadlineBody, NoMembers, OrderBody, PriorityBody
from dronedispatch.gateway.core.parameters import NoParameters
from dronedispatch.gateway.core.stream import EventParameters
from dronedispatch.gateway.core.views import (
    DeliveryPage,
    DesiredStateView,
    DronePage,
    DroneView,
    Placed,
    SessionView,
    WhyView,
)

GEOJSON = "application/geo+json"
JSON = "application/json"
STORE = (503, 504)
BODY = (400, 403, 413, 415, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedAnswer:
    """One that is no error. `kind`: a struct, or the name of a component that is made of none."""

    status: int
    kind: type[msgspec.Struct] | str | None
    what: str
    media: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    more_media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`id`: the name of the function that a generated client has for it. `bad`: the statuses of its problem documents."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str = ""
    path_fields: tuple[tuple[str, Any], ...] = ()
    query: type[msgspec.Struct] = NoParameters
    headers: tuple[Header, ...] = ()
    body: type[msgspec.Struct] | str | None = None
    body_media: str = JSON
    body_required: bool = True
    answers: Sequence[DocumentedAnswer] = field(default_factory=tuple)
    bad: tuple[int, ...] = ()
    operator: bool = False


_DELIVERY = (("delivery_id", DeliveryId),)
_DRONE = (("drone_id", DroneId),)
_DELIVERY_ETAG = (("ETag", "The record's version, for If-Match"),)
_ZONES_ETAG = (("ETag", "The city's version, for If-Match"),)


def _change(name: str, operation_id: str, summary: str, body: type[msgspec.Struct], **more: Any) -> Operation:
    return Operation(
        method="post",
        path=f"/deliveries/{{delivery_id}}/{name}",
        id=operation_id,
        tag="deliveries",
        summary=summary,
        path_fields=_DELIVERY,
        body=body,
        headers=(IF_MATCH,),
        answers=[DocumentedAnswer(status=200, kind=Delivery, what="As it is now", headers=_DELIVERY_ETAG)],
        bad=(*BODY, 404, 409, 412, *STORE),
        **more,
    )


def _wish(name: str, operation_id: str, summary: str) -> Operation:
    return Operation(
        method="post",
        path=f"/drones/{{drone_id}}/{name}",
        id=operation_id,
        tag="drones",
        summary=summary,
        path_fields=_DRONE,
        body=NoMembers,
        body_required=False,
        answers=[
            DocumentedAnswer(
                status=202,
                kind=DesiredStateView,
                what="The dispatcher carries it out as soon as the drone is free",
            )
        ],
        bad=(*BODY, 401, 404, *STORE),
        operator=True,
    )


OPERATIONS = (
    Operation(
        method="post",
        path="/deliveries",
        id="place_order",
        tag="deliveries",
        summary="Place an order",
        headers=(IDEMPOTENCY_KEY,),
        body=OrderBody,
        answers=[
            DocumentedAnswer(
                status=201,
                kind=Placed,
                what="Stored on every in-sync replica",
                headers=(("Location", "Where the delivery is"),),
            )
        ],
        bad=(*BODY, *STORE),
    ),
    Operation(
        method="get",
        path="/deliveries",
        id="list_deliveries",
        tag="deliveries",
        summary="List or export deliveries",
        description="A search reads no more than the index of its status or drone, the ids that begin so, and the time that "
        "is asked for; a page that found little says where to go on (`next`). With Accept: text/csv or "
        "application/x-ndjson all that match are streamed, up to a `limit` that may then be any.",
        query=DeliveryParameters,
        answers=[
            DocumentedAnswer(
                status=200,
                kind=DeliveryPage,
                what="Newest first",
                more_media=("text/csv", "application/x-ndjson"),
            )
        ],
        bad=(400, 406, 503),
    ),
    Operation(
        method="get",
        path="/deliveries/{delivery_id}",
        id="get_delivery",
        tag="deliveries",
        summary="One delivery",
        path_fields=_DELIVERY,
        answers=[DocumentedAnswer(status=200, kind=Delivery, what="As stored", headers=_DELIVERY_ETAG)],
        bad=(400, 404, 503),
    ),
    Operation(
        method="get",
        path="/deliveries/{delivery_id}/why",
        id="explain_delivery",
        tag="deliveries",
        summary="Why it is not delivered yet",
        path_fields=_DELIVERY,
        answers=[DocumentedAnswer(status=200, kind=WhyView, what="The reasons")],
        bad=(400, 404, 503),
    ),
    _change("cancel", "cancel_delivery", "Cancel, while it is not on board", NoMembers, body_required=False),
    _change("priority", "set_priority", "Change the priority", PriorityBody),
    _change("deadline", "set_deadline", "Change or take away the deadline", DeadlineBody),
    Operation(
        method="get",
        path="/drones",
        id="list_drones",
        tag="drones",
        summary="List drones",
        query=DroneParameters,
        answers=[DocumentedAnswer(status=200, kind=DronePage, what="By id")],
        bad=(400, 503),
    ),
    Operation(
        method="get",
        path="/drones/{drone_id}",
        id="get_drone",
        tag="drones",
        summary="One drone",
        path_fields=_DRONE,
        answers=[DocumentedAnswer(status=200, kind=DroneView, what="Both of its records joined")],
        bad=(400, 404, 503),
    ),
    _wish("decommission", "decommission_drone", "Take a drone out of service"),
    _wish("recommission", "recommission_drone", "Bring a drone back into service"),
    Operation(
        method="get",
        path="/zones",
        id="get_zones",
        tag="city",
        summary="The city",
        headers=(IF_NONE_MATCH,),
        answers=[
            DocumentedAnswer(
                status=200, kind="Zones", what="With its version as ETag", media=GEOJSON, headers=_ZONES_ETAG
            ),
            DocumentedAnswer(
                status=304, kind=None, what="The one that the client has is still the present one"
            ),
        ],
        bad=(400, 503),
    ),
    Operation(
        method="put",
        path="/zones",
        id="replace_zones",
        tag="city",
        summary="Replace the city, while it runs",
        headers=(IF_MATCH,),
        body="Zones",
        body_media=GEOJSON,
        answers=[
            DocumentedAnswer(
                status=200, kind="Zones", what="The new city", media=GEOJSON, headers=_ZONES_ETAG
            )
        ],
        bad=(*BODY, 401, 412, *STORE),
        operator=True,
    ),
    Operation(
        method="get",
        path="/session",
        id="get_session",
        tag="operator",
        summary="Whether this browser is signed in",
        answers=[DocumentedAnswer(status=200, kind=SessionView, what="Signed in or not")],
        bad=(400,),
    ),
    Operation(
        method="post",
        path="/session",
        id="sign_in",
        tag="operator",
        summary="Sign in: the token once, then a cookie",
        description="For pages in a browser. The cookie is HttpOnly and SameSite=Strict and is taken wherever the operator "
        "token is, from this system's own pages, for 12 hours (one on plain HTTP) or until the token is rotated. "
        "Refused (403) beyond loopback without TLS.",
        body=NoMembers,
        body_required=False,
        answers=[
            DocumentedAnswer(
                status=200,
                kind=SessionView,
                what="Signed in",
                headers=(("Set-Cookie", "The session"),),
            )
        ],
        bad=(*BODY, 401),
        operator=True,
    ),
    Operation(
        method="delete",
        path="/session",
        id="sign_out",
        tag="operator",
        summary="Sign out of this browser",
        body=NoMembers,
        body_required=False,
        answers=[
            DocumentedAnswer(
                status=200,
                kind=SessionView,
                what="Signed out",
                headers=(("Set-Cookie", "Takes the session away"),),
            )
        ],
        bad=BODY,
    ),
    Operation(
        method="get",
        path="/events",
        id="follow_events",
        tag="live",
        summary="Live events (server-sent)",
        description="`delivery` events carry an id (leader term and sequence): come back with Last-Event-ID, to any "
        "gateway, and what was missed is told in order; a `reset` event says that it cannot be (the gap is "
        "too old, or the gateway was away from the broker), so read the lists again. The first `beat` of a stream, "
        "and the first after a `reset`, carries the id to come back with. `deliveries` holds whole"
        " documents, `drones` what has changed on the map (the first one is whole), `figures` the key "
        "figures, `zones` a new version. `x-events` has the schema of each.",
        query=EventParameters,
        headers=(LAST_EVENT_ID,),
        answers=[
            DocumentedAnswer(status=200, kind="events", what="An endless stream", media="text/event-stream")
        ],
        bad=(400, 503),
    ),
    Operation(
        method="get",
        path="/figures",
        id="get_figures",
        tag="live",
        summary="The key figures, now or of the last hours",
        description="Without a parameter: as of now. With one, or as text/csv or application/x-ndjson: the past, from one "
        "record a minute that the system keeps for 7 days, the same from every gateway.",
        query=FiguresParameters,
        answers=[
            DocumentedAnswer(
                status=200,
                kind="FiguresAnswer",
                what="As of now, or the past, oldest first",
                more_media=("text/csv", "application/x-ndjson"),
            )
        ],
        bad=(400, 406, 503),
    ),
    Operation(
        method="get",
        path="/health",
        id="get_health",
        tag="live",
        summary="Live and ready",
        answers=[
            DocumentedAnswer(status=200, kind="Health", what="Ready"),
            DocumentedAnswer(status=503, kind="Health", what="Not ready, with the reason"),
        ],
    ),
)
