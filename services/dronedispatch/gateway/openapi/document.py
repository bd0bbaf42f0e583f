"""The whole document."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import msgspec

from dronedispatch.gateway.core.headers import TRACEPARENT, X_REQUEST_ID, Header
from dronedispatch.gateway.core.problem_types import BY_STATUS
from dronedispatch.gateway.core.session import COOKIE
from dronedispatch.gateway.openapi.components import EXAMPLES, Schema, name_of, parameter_schema, ref, schemas
from dronedispatch.gateway.openapi.events import EVENTS
from dronedispatch.gateway.openapi.operations import OPERATIONS, DocumentedAnswer, Operation
from dronedispatch.gateway.openapi.problems import door_example, examples

TAGS = {
    "deliveries": "Orders and what becomes of them",
    "drones": "The fleet",
    "city": "Boundary, zones, charge points and no-fly areas",
    "operator": "Sessions of the operator's browser",
    "live": "What happens, while it happens",
}
ABOUT = (
    "Delivery orders for a city, assigned to a fleet of drones and flown, live. A 201 means that the order is"
    " stored on every in-sync replica. Every error is a problem document (RFC 9457): `errors` names all that "
    "is wrong at once, `type` is one of a few kinds that have a page each. A refused parameter or header is "
    "400, a path that names nothing 404, a wrong type of body 415, a wrong field 422; unknown parameters and "
    "unknown fields are refused too, unknown headers are not. Times are RFC 3339 in UTC, positions WGS84."
)

DOOR = {
    429: "Of the load balancer: this client has asked too often. Ask again after Retry-After seconds",
    502: "Of the load balancer: the gateway's answer broke off. With X-Outcome: unknown it may have been carried out",
    503: "Of the load balancer: nothing was done, ask again after Retry-After seconds",
    504: "Of the load balancer: no answer came in time. With X-Outcome: unknown it may have been carried out",
}
"""What any call may be answered on its way through lb, by status: documents whose `type` is `about:blank`."""


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DroneDispatch",
            "version": version("dronedispatch"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": ABOUT,
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": what} for name, what in TAGS.items()],
        "paths": _paths(),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer", "description": "The operator token"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "A page of this system that has signed in (POST /session)",
                },
            },
        },
    }


def as_text() -> str:
    """As it is committed: docs/openapi.json, so that a change of the API is seen in its diff."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _paths() -> Schema:
    found: Schema = {}
    for operation in OPERATIONS:
        found.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return found


def _operation(operation: Operation) -> Schema:
    found: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        found["description"] = operation.description
    found["parameters"] = _parameters(operation)
    if operation.body is not None:
        name = operation.body if isinstance(operation.body, str) else name_of(operation.body)
        content: Schema = {"schema": ref(name)}
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]
        found["requestBody"] = {
            "required": operation.body_required,
            "content": {operation.body_media: content},
        }
    found["responses"] = _answers(operation)
    if operation.operator:
        found["security"] = [{"operator": []}]
        if operation.id != "sign_in":
            found["security"].append({"session": []})
    if operation.id == "follow_events":
        found["x-events"] = {
            event.name: {"schema": ref(name_of(event.kind)), "id": event.resumable} for event in EVENTS
        }
    return found


def _parameters(operation: Operation) -> list[Schema]:
    found = [_parameter(name, "path", kind, required=True) for name, kind in operation.path_fields]
    found += [
        _parameter(member.encode_name, "query", member.type)
        for member in msgspec.structs.fields(operation.query)
    ]
    headers: tuple[Header, ...] = (*operation.headers, X_REQUEST_ID, TRACEPARENT)
    return found + [_parameter(header.name, "header", header.kind) for header in headers]


def _parameter(name: str, where: str, kind: Any, *, required: bool = False) -> Schema:
    schema = parameter_schema(kind)
    described = schema.pop("description", "")
    return {"name": name, "in": where, "required": required, "description": described, "schema": schema}


def _answers(operation: Operation) -> Schema:
    found = {str(answer.status): _answer(answer) for answer in operation.answers}
    for status in sorted({*operation.bad, 421}):
        found[str(status)] = {
            "description": BY_STATUS[status].title,
            "content": {"application/problem+json": {"schema": ref("Problem"), "examples": examples(status)}},
        }
    for status, what in DOOR.items():
        content = {"schema": ref("Problem"), "examples": {"of-the-door": {"value": door_example(status)}}}
        answer: Schema = {"description": what, "content": {"application/problem+json": content}}
        found.setdefault(str(status), answer)
    return dict(sorted(found.items()))


def _answer(answer: DocumentedAnswer) -> Schema:
    found: Schema = {"description": answer.what}
    if answer.headers:
        found["headers"] = {
            name: {"schema": {"type": "string"}, "description": what} for name, what in answer.headers
        }
    if answer.kind == "events":
        found["content"] = {answer.media: {"schema": {"type": "string"}}}
    elif answer.kind is not None:
        name = answer.kind if isinstance(answer.kind, str) else name_of(answer.kind)
        found["content"] = {answer.media: {"schema": ref(name)}} | {
            media: {"schema": {"type": "string"}} for media in answer.more_media
        }
    return found
