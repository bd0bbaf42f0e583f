"""What the API takes and gives, as JSON Schema."""

from __future__ import annotations

from typing import Any

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType, StopKind
from dronedispatch.gateway.core.order import PRIORITY_MAX, WEIGHT_MAX_KG

Schema = dict[str, Any]

ULID_PATTERN = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
DRONE_ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,55}$"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str = "", **more: Any) -> Schema:
    return {"type": "string"} | ({"description": description} if description else {}) | more


def moment(description: str) -> Schema:
    return text(description, format="date-time")


def maybe(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def closed(properties: Schema, required: list[str], description: str = "") -> Schema:
    """An object without other members."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def shown(properties: Schema, description: str = "") -> Schema:
    """An object of an answer: all members are there, later versions may add more."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
    }


NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PRIORITY: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": PRIORITY_MAX,
    "description": "0 is normal, 9 the most urgent",
}
WEIGHT: Schema = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": WEIGHT_MAX_KG,
    "description": "Kilograms; at most what the strongest drone carries",
}

SCHEMAS: Schema = {
    "Position": closed(
        {
            "lat": {"type": "number", "minimum": -90, "maximum": 90},
            "lon": {"type": "number", "minimum": -180, "maximum": 180},
        },
        ["lat", "lon"],
        "WGS84 degrees. An origin or destination must lie inside the city and outside its no-fly areas (422 otherwise).",
    ),
    "Order": closed(
        {
            "origin": ref("Position"),
            "destination": ref("Position"),
            "weight": WEIGHT,
            "priority": PRIORITY | {"default": 0},
            "deadline": maybe(moment("Should be delivered by then; must not be past")),
        },
        ["origin", "destination", "weight"],
    )
    | {
        "example": {
            "origin": {"lat": 41.8902, "lon": 12.4922},
            "destination": {"lat": 41.9109, "lon": 12.4818},
            "weight": 2.5,
        }
    },
    "Eta": shown(
        {
            "at": moment("Delivered by then"),
            "confidence": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "The share of recent deliveries that came by the time promised to them",
            },
            "basis": text("What the estimate rests on"),
        }
    ),
    "Placed": shown(
        {
            "id": text("ULID", pattern=ULID_PATTERN),
            "status": text(const="pending"),
            "created_at": moment("The moment of the first attempt with this key"),
            "eta": ref("Eta"),
        },
        "The order is in the store on every in-sync replica.",
    ),
    "Transition": shown(
        {
            "at": moment(""),
            "from": maybe(text()),
            "to": ref("DeliveryStatus"),
            "cause": text(),
            "drone_id": maybe(text()),
        }
    ),
    "DeliveryStatus": text(enum=[status.value for status in DeliveryStatus]),
    "Delivery": shown(
        {
            "id": text("ULID", pattern=ULID_PATTERN),
            "status": ref("DeliveryStatus"),
            "origin": ref("Position"),
            "destination": ref("Position"),
            "weight": NUMBER,
            "priority": PRIORITY,
            "deadline": maybe(moment("")),
            "drone_id": maybe(text()),
            "created_at": moment(""),
            "assigned_at": maybe(moment("")),
            "picked_up_at": maybe(moment("")),
            "delivered_at": maybe(moment("")),
            "ended_at": maybe(moment("Delivered, cancelled or failed")),
            "eta": maybe(ref("Eta")),
            "promised": maybe(ref("Eta")),
            "last_pos": maybe(ref("Position")),
            "history": {"type": "array", "items": ref("Transition")},
        }
    ),
    "DeliveryPage": shown(
        {"deliveries": {"type": "array", "items": ref("Delivery")}, "next": maybe(text("Pass it as `after`"))}
    ),
    "Why": shown(
        {
            "delivery_id": text(),
            "status": ref("DeliveryStatus"),
            "summary": text("One sentence"),
        },
        "For a pending order the dispatcher adds, for every drone, the constraint that fails and its margin.",
    ),
    "Stop": shown(
        {
            "kind": text(enum=[kind.value for kind in StopKind]),
            "pos": maybe(ref("Position")),
            "delivery_id": maybe(text()),
        }
    ),
    "Drone": shown(
        {
            "id": text(),
            "type": text(enum=[kind.value for kind in DroneType]),
            "status": ref("DroneStatus"),
            "status_at": moment(""),
            "cause": text("Why it has this status"),
            "delivery_id": maybe(text()),
            "decommissioned": {"type": "boolean"},
            "orders": shown({"seq": COUNT, "stops": {"type": "array", "items": ref("Stop")}}),
            "pos": maybe(ref("Position")),
            "battery_pct": maybe(NUMBER),
            "at_charge": maybe(text("The charge point it is plugged in at")),
            "queued_at": maybe(text("The charge point it waits at")),
            "speed_mps": maybe(NUMBER),
            "heading_deg": maybe(NUMBER),
            "orders_seq": maybe(COUNT),
            "stops_done": maybe(COUNT),
            "odometer_m": maybe(NUMBER),
            "route": {"type": "array", "items": ref("Position")},
            "tick": maybe(COUNT),
            "at": maybe(moment("Of the telemetry")),
        }
    ),
    "DroneStatus": text(enum=[status.value for status in DroneStatus]),
    "DronePage": shown({"drones": {"type": "array", "items": ref("Drone")}, "next": maybe(text())}),
    "Wish": shown(
        {"drone_id": text(), "wanted": text(enum=["decommissioned", "commissioned"]), "at": moment("")}
    ),
    "Zones": {
        "type": "object",
        "description": "A GeoJSON FeatureCollection (RFC 7946); each feature's properties hold `kind` (boundary: exactly "
        "one, zone, charge_point with `capacity` and `zone`, no_fly) and a unique `id`.",
        "properties": {
            "type": {"const": "FeatureCollection"},
            "features": {"type": "array", "minItems": 1, "maxItems": 500, "items": {"type": "object"}},
        },
        "required": ["type", "features"],
    },
    "Figures": shown(
        {
            "at": moment(""),
            "pending": COUNT,
            "assigned": COUNT,
            "in_progress": COUNT,
            "delivered": COUNT,
            "orders_per_minute": COUNT,
            "to_assign_mean_s": maybe(NUMBER),
            "to_deliver_mean_s": maybe(NUMBER),
            "sample": COUNT,
            "drones": {"type": "object", "additionalProperties": COUNT},
            "speed": NUMBER,
        },
        "The dashboard's key figures; means over the last `sample` deliveries.",
    ),
    "Health": shown(
        {"service": text(), "instance": text(), "live": {"type": "boolean"}, "ready": {"type": "boolean"}}
    ),
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "properties": {
            "type": text(),
            "title": text(),
            "status": {"type": "integer"},
            "detail": text("What is wrong, in one sentence"),
            "field": text("The member, parameter or header that is wrong"),
            "instance": text(),
            "request_id": text("Also in the logs of every service that the request passed"),
        },
        "required": ["type", "title", "status", "detail"],
    },
}
