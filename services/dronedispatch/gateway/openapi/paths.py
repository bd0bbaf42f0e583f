"""The operations."""

from __future__ import annotations

from typing import Any

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.gateway.core.idempotency import KEY_LENGTH_MAX
from dronedispatch.gateway.core.listing import DRONES_LIMIT_MAX, LIMIT_MAX
from dronedispatch.gateway.core.stream import TOPICS
from dronedispatch.gateway.openapi.schemas import (
    DRONE_ID_PATTERN,
    PRIORITY,
    ULID_PATTERN,
    Schema,
    closed,
    maybe,
    moment,
    ref,
    text,
)

WORDS = {
    400: "Malformed: no JSON, or a parameter or header that is refused",
    401: "The operator token is missing or wrong",
    404: "There is no such thing",
    406: "None of the forms that this list has is accepted",
    409: "Its present status does not allow it",
    412: "It has changed since it was read",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "Well-formed, but a field's value is refused; `field` names it",
    503: "Nothing was stored, or nobody can answer now; try again after Retry-After",
    504: "The outcome is unknown (X-Outcome: unknown); with an Idempotency-Key repeat it with the same one",
}


def problems(*statuses: int) -> Schema:
    body = {"application/problem+json": {"schema": ref("Problem")}}
    return {str(status): {"description": WORDS[status], "content": body} for status in statuses}


def answers(status: int, name: str, description: str, kind: str = "application/json", **more: Any) -> Schema:
    return {str(status): {"description": description, "content": {kind: {"schema": ref(name)}}} | more}


def takes(schema: Schema, kind: str = "application/json") -> Schema:
    return {"required": True, "content": {kind: {"schema": schema}}}


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def path(name: str, pattern: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": text(pattern=pattern)}


def _limit(greatest: int) -> Schema:
    return query("limit", {"type": "integer", "minimum": 1, "maximum": greatest}, "Length of a page")


IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gets the same answer for 24 h; with another body 422",
    "schema": text(minLength=1, maxLength=KEY_LENGTH_MAX, pattern="^[!-~]+$"),
}
EMPTY: Schema = {"required": False, "content": {"application/json": {"schema": closed({}, [])}}}
DELIVERY = [path("delivery_id", ULID_PATTERN)]
DRONE = [path("drone_id", DRONE_ID_PATTERN)]
OPERATOR = [{"operator": list[str]()}]
STORE = (503, 504)


def _act(
    summary: str, parameters: list[Schema], body: Schema, good: Schema, *bad: int, **more: Any
) -> Schema:
    return {
        "summary": summary,
        "parameters": parameters,
        "requestBody": body,
        "responses": good | problems(*bad, *STORE),
    } | more


def _read(summary: str, parameters: list[Schema], good: Schema, *bad: int, **more: Any) -> Schema:
    return {"summary": summary, "parameters": parameters, "responses": good | problems(400, *bad)} | more


def _place() -> Schema:
    located = {"Location": {"schema": text(), "description": "Where the delivery is"}}
    good = answers(201, "Placed", "Stored on every in-sync replica", headers=located)
    return _act("Place an order", [IDEMPOTENCY_KEY], takes(ref("Order")), good, 400, 413, 415, 422)


def _deliveries() -> Schema:
    parameters = [
        query("status", text(enum=[status.value for status in DeliveryStatus]), "Only these"),
        query("drone", text(pattern=DRONE_ID_PATTERN), "Only of this drone"),
        _limit(LIMIT_MAX),
        query("after", text(pattern=ULID_PATTERN), "Cursor: the `next` of the page before"),
    ]
    good = answers(200, "DeliveryPage", "Newest first")
    rows = {"schema": text()}
    good["200"]["content"] |= {"text/csv": rows, "application/x-ndjson": rows}
    return _read(
        "List or export deliveries",
        parameters,
        good,
        406,
        503,
        description="With Accept: text/csv or application/x-ndjson all that match are streamed, up to a given `limit`.",
    )


def _drones() -> Schema:
    parameters = [
        query("status", text(enum=[status.value for status in DroneStatus]), "Only these"),
        query("type", text(enum=[kind.value for kind in DroneType]), "Only these"),
        _limit(DRONES_LIMIT_MAX),
        query("after", text(pattern=DRONE_ID_PATTERN), "Cursor: the `next` of the page before"),
    ]
    return _read("List drones", parameters, answers(200, "DronePage", "By id"), 503)


def _events() -> Schema:
    resume = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "schema": text(),
        "description": "term-seq: go on after it",
    }
    parameters = [
        query("topics", text(), f"Some of {', '.join(TOPICS)}, with commas between; default all"),
        resume,
    ]
    good = {"200": {"description": "An endless stream", "content": {"text/event-stream": {"schema": text()}}}}
    return _read(
        "Live events (server-sent)",
        parameters,
        good,
        503,
        description="`delivery` events carry an id (leader term and sequence): come back with Last-Event-ID, to any "
        "gateway, and none is missed; a `reset` event says that some may have been (the gap is too old, or the gateway "
        "was away from the broker), so read the lists again. "
        "`deliveries` holds whole documents, `drones` what has changed on the map (the first one is whole), "
        "`figures` the key figures, `zones` a new version.",
    )


def _zones() -> Schema:
    match = {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "schema": text(),
        "description": "The ETag that was read",
    }
    kind = "application/geo+json"
    return {
        "get": _read("The city", [], answers(200, "Zones", "With its version as ETag", kind)),
        "put": _act(
            "Replace the city, while it runs",
            [match],
            takes(ref("Zones"), kind),
            answers(200, "Zones", "The new city", kind),
            400,
            401,
            412,
            413,
            415,
            422,
            security=OPERATOR,
        ),
    }


def _change(summary: str, body: Schema) -> Schema:
    good = answers(200, "Delivery", "As it is now")
    return {"post": _act(summary, DELIVERY, body, good, 400, 404, 409, 413, 415, 422)}


def _wish(summary: str) -> Schema:
    good = answers(202, "Wish", "The dispatcher carries it out as soon as the drone is free")
    return {"post": _act(summary, DRONE, EMPTY, good, 400, 401, 404, 413, 415, 422, security=OPERATOR)}


def paths() -> Schema:
    """By path and method."""
    priority = takes(closed({"priority": PRIORITY}, ["priority"]))
    deadline = takes(closed({"deadline": maybe(moment("null takes it away"))}, ["deadline"]))
    return {
        "/deliveries": {"post": _place(), "get": _deliveries()},
        "/deliveries/{delivery_id}": {
            "get": _read("One delivery", DELIVERY, answers(200, "Delivery", "As stored"), 404, 503)
        },
        "/deliveries/{delivery_id}/why": {
            "get": _read(
                "Why it is not delivered yet", DELIVERY, answers(200, "Why", "The reasons"), 404, 503
            )
        },
        "/deliveries/{delivery_id}/cancel": _change("Cancel, while it is not on board", EMPTY),
        "/deliveries/{delivery_id}/priority": _change("Change the priority", priority),
        "/deliveries/{delivery_id}/deadline": _change("Change or take away the deadline", deadline),
        "/drones": {"get": _drones()},
        "/drones/{drone_id}": {
            "get": _read("One drone", DRONE, answers(200, "Drone", "Both records joined"), 404, 503)
        },
        "/drones/{drone_id}/decommission": _wish("Take a drone out of service"),
        "/drones/{drone_id}/recommission": _wish("Bring a drone back into service"),
        "/zones": _zones(),
        "/events": {"get": _events()},
        "/figures": {"get": _read("The key figures", [], answers(200, "Figures", "As of now"), 503)},
        "/health": {
            "get": {
                "summary": "Live and ready",
                "parameters": [],
                "responses": answers(200, "Health", "Ready")
                | answers(503, "Health", "Not ready, with the reason"),
            }
        },
    }
