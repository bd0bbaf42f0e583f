"""The schemas of what the API takes and gives, made from the structs that decode and encode it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from dronedispatch.fleet.city import CAPACITY_MAX
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.geojson import KINDS
from dronedispatch.gateway.core.figures import Figures
from dronedispatch.gateway.core.history import FiguresSeries
from dronedispatch.gateway.core.order import DeadlineBody, NoMembers, OrderBody, PriorityBody
from dronedispatch.gateway.core.views import (
    DeliveryPage,
    DesiredStateView,
    DronePage,
    DroneView,
    Placed,
    SessionView,
    WhyView,
)
from dronedispatch.gateway.openapi.events import EVENTS
from dronedispatch.gateway.openapi.problems import ProblemDocument

Schema = dict[str, Any]

BODIES = (OrderBody, PriorityBody, DeadlineBody, NoMembers)
ANSWERS = (
    Placed,
    Delivery,
    DeliveryPage,
    WhyView,
    DroneView,
    DronePage,
    DesiredStateView,
    SessionView,
    Figures,
    FiguresSeries,
    ProblemDocument,
)
NAMES = {
    "OrderBody": "Order",
    "PriorityBody": "PriorityChange",
    "DeadlineBody": "DeadlineChange",
    "NoMembers": "Nothing",
    "WhyView": "Why",
    "DroneView": "Drone",
    "DesiredStateView": "Wish",
    "SessionView": "Session",
    "Commands": "DroneCommands",
    "ProblemDocument": "Problem",
    "LatLon": "Position",
    "Shown": "DroneOnMap",
}
DESCRIPTIONS = {
    "Delivery.ended_at": "Delivered, cancelled or failed",
    "Delivery.weight": "Kilograms",
    "Delivery.priority": "0 is normal, 9 the most urgent",
    "Delivery.deadline": "Should be delivered by then",
    "Delivery.orders_seq": "Of the drone's commands that fly this delivery",
    "Delivery.promised": "What the 201 said, while `eta` is that of the assignment",
    "Delivery.last_pos": "Where a failed parcel was seen last",
    "Delivery.request_id": "Of the request that placed it",
    "Eta.at": "Delivered by then",
    "Eta.confidence": "The share of recent deliveries that came by the time promised to them, 0 to 1",
    "Eta.basis": "What the estimate rests on",
    "Drone.cause": "Why it has this status",
    "Drone.at_charge": "The charge point it is plugged in at",
    "Drone.queued_at": "The charge point it waits at",
    "Drone.at": "Of the telemetry",
}
TIMES = {"Session.until", "FiguresSeries.from", "FiguresSeries.to"}  # beside those whose name says it
EXAMPLES: dict[str, Schema] = {
    "Order": {
        "origin": {"lat": 41.8902, "lon": 12.4922},
        "destination": {"lat": 41.9109, "lon": 12.4818},
        "weight": 2.5,
    },
    "PriorityChange": {"priority": 7},
    "DeadlineChange": {"deadline": "2030-01-31T08:30:00Z"},
    "Nothing": {},
}


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def name_of(kind: type) -> str:
    """The component's name of a struct."""
    return NAMES.get(kind.__name__, kind.__name__)


def schemas() -> Schema:
    """By name."""
    _, asked = msgspec.json.schema_components(BODIES, ref_template="#/components/schemas/{name}")
    _, given = msgspec.json.schema_components(
        (*ANSWERS, *(event.kind for event in EVENTS)), ref_template="#/components/schemas/{name}"
    )
    found = {NAMES.get(name, name): _renamed(schema) for name, schema in asked.items()}
    for name, schema in given.items():
        shown = NAMES.get(name, name)
        if shown not in found:
            found[shown] = _as_answer(shown, _renamed(schema))
    for name, example in EXAMPLES.items():
        found[name]["example"] = example
    found |= {
        "Zones": ZONES,
        "Feature": FEATURE,
        "FeatureKind": {"type": "string", "enum": list(KINDS)},
        "Health": HEALTH,
        "HealthReason": HEALTH_REASON,
        "HealthWord": {"type": "string", "enum": ["healthy", "degraded", "not ready"]},
        "DronesByStatus": DRONES_BY_STATUS,
        "FiguresAnswer": {"anyOf": [ref("Figures"), ref("FiguresSeries")]},
    }
    return dict(sorted(found.items()))


def parameter_schema(kind: Any) -> Schema:
    """The schema of a parameter; UNSET is no value. An enumeration keeps its name, for the sake of generated clients; what
    else it refers to is put in its place.
    """
    [schema], known = msgspec.json.schema_components((kind,), ref_template="#/components/schemas/{name}")
    if "$ref" in schema:
        target = known[schema["$ref"].rpartition("/")[2]]
        if "enum" in target:
            return schema
        schema = {key: value for key, value in target.items() if key not in {"title", "description"}} | {
            key: value for key, value in schema.items() if key != "$ref"
        }
    return schema


def _renamed(schema: Schema) -> Schema:
    found = copy.deepcopy(schema)
    found.pop("title", None)
    if "enum" in found:
        found = {"type": "string"} | found
    if "description" in found:  # a docstring: later Pythons dedent it themselves
        found["description"] = inspect.cleandoc(found["description"])
    for inner in _objects(found):
        if "$ref" in inner:
            path, _, name = inner["$ref"].rpartition("/")
            inner["$ref"] = f"{path}/{NAMES.get(name, name)}"
    return found


def _objects(value: object) -> Iterator[Schema]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from _objects(one)


def _as_answer(name: str, schema: Schema) -> Schema:
    """All members are there, later versions may add more; a text called `at`, or `..._at`, is a time. Counts by status have
    one name, or each place would have one of a generator's own making.
    """
    if schema.get("type") != "object":
        return schema
    members: Schema = schema.get("properties", {})
    for member, one in members.items():
        one.pop("default", None)
        described = DESCRIPTIONS.get(f"{name}.{member}")
        if described is not None:
            one["description"] = described
        if _is_time(name, member):
            for text in _objects(one):
                if text.get("type") == "string":
                    text["format"] = "date-time"
        for inner in [*_objects(one)]:
            if inner.get("additionalProperties") == {"type": "integer"}:
                inner.clear()
                inner |= ref("DronesByStatus")
    schema.pop("additionalProperties", None)
    if not name.startswith(("Problem", "DroneOnMap")):
        schema["required"] = list(members)
    return schema


def _is_time(name: str, member: str) -> bool:
    if f"{name}.{member}" in TIMES:
        return True
    return member in {"at", "deadline"} or (member.endswith("_at") and member != "queued_at")


_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
CHARGE_POINT: Schema = {
    "zone": {"description": "The id of its zone"} | _NAME,
    "capacity": {
        "description": "How many drones charge there at once",
        "type": "integer",
        "minimum": 1,
        "maximum": CAPACITY_MAX,
    },
}
FEATURE: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "Feature"},
        "properties": {
            "type": "object",
            "properties": {
                "kind": ref("FeatureKind"),
                "id": {"description": "Unique in the document"} | _NAME,
                "name": {"type": "string", "maxLength": 200},
            },
            "required": ["kind", "id"],
            "if": {"properties": {"kind": {"const": "charge_point"}}},
            "then": {"properties": CHARGE_POINT, "required": list(CHARGE_POINT)},
        },
        "geometry": {
            "type": "object",
            "properties": {"type": {"type": "string"}},
            "required": ["type", "coordinates"],
        },
    },
    "required": ["type", "properties", "geometry"],
}
DRONES_BY_STATUS: Schema = {
    "type": "object",
    "description": "How many drones have each status",
    "additionalProperties": {"type": "integer"},
}
ZONES: Schema = {
    "type": "object",
    "description": "A city as a GeoJSON FeatureCollection (RFC 7946). It holds exactly one "
    "boundary, and one zone and one charge point or more. What else it must keep is in the 422: `errors` names the place.",
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "minItems": 1,
            "items": ref("Feature"),
        },
    },
    "required": ["type", "features"],
}
HEALTH_REASON: Schema = {
    "type": "object",
    "properties": {
        "kind": {"type": "string"},
        "text": {"type": "string", "description": "One sentence"},
        "next": {"type": "string", "description": "The command to type"},
    },
    "required": ["kind", "text", "next"],
}
HEALTH: Schema = {
    "type": "object",
    "description": "Ready: it can serve; `reason` says why it is not. Degraded: it serves less than it promises.",
    "properties": {
        "service": {"type": "string"},
        "instance": {"type": "string"},
        "live": {"type": "boolean"},
        "ready": {"type": "boolean"},
        "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "health": ref("HealthWord"),
        "reasons": {"type": "array", "items": ref("HealthReason")},
    },
    "required": ["service", "instance", "live", "ready", "health", "reasons"],
}
